"""Whether what the service stands on answers. Every probe has two seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from flask import Flask, current_app
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import literal, select
from sqlalchemy.exc import SQLAlchemyError

from app.core.database import Question
from app.core.errors import DomainError
from app.core.queue import WORKER_HEARTBEAT_KEY
from app.extensions import redis

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
OK, UNAVAILABLE = "ok", "unavailable"
_ONE = Question(select(literal(1)))


def probe_all() -> dict[str, str]:
    """The state of database, Redis and workers, asked at the same time."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - threads need the app itself
    asked = {name: _THREADS[name].submit(_within, app, probe) for name, probe in _PROBES.items()}
    wait(asked.values(), timeout=PROBE_SECONDS)
    return {name: OK if answer.done() and answer.result() else UNAVAILABLE for name, answer in asked.items()}


def _within(app: Flask, probe: Callable[[], bool]) -> bool:
    try:
        with app.app_context():
            return probe()
    except (DomainError, RedisError, SQLAlchemyError, OSError):
        return False
    except Exception:
        # Whoever asks about its health wants an answer also where the fault is none that was thought of.
        log.exception("health.probe_failed")
        return False


def _database_answers() -> bool:
    return bool(_ONE.value())


def _redis_answers() -> bool:
    return bool(_plain_redis().ping())


def _worker_lives() -> bool:
    return bool(_plain_redis().exists(WORKER_HEARTBEAT_KEY))


def _plain_redis() -> Redis:
    """The same connections without the memory of an absence: what is asked for here is the present moment."""
    return Redis(connection_pool=redis.client.connection_pool)


_PROBES: dict[str, Callable[[], bool]] = {"db": _database_answers, "redis": _redis_answers, "worker": _worker_lives}
# A probe that hangs keeps its thread: each has two of its own, so that it holds up no other probe.
_THREADS = {name: ThreadPoolExecutor(max_workers=2, thread_name_prefix=f"probe-{name}") for name in _PROBES}
