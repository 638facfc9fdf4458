"""Whether what the service stands on answers. Every probe has two seconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as ProbeTimeout
from functools import cache

from flask import Flask, current_app
from redis.exceptions import RedisError
from sqlalchemy import literal, select
from sqlalchemy.exc import SQLAlchemyError

from app.core.database import Question, compiled, rows
from app.core.errors import DomainError
from app.core.queue import WORKER_HEARTBEAT_KEY
from app.extensions import redis

PROBE_SECONDS = 2.0
OK, UNAVAILABLE = "ok", "unavailable"

# A probe that hangs keeps its thread; these are few, so that a dependency that hangs can't take more.
_threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="probe")


def probe_all() -> dict[str, str]:
    """The state of database, Redis and workers, asked at the same time."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - threads need the app itself
    asked = {name: _threads.submit(_within, app, probe) for name, probe in _PROBES.items()}
    states = {}
    for name, answer in asked.items():
        try:
            states[name] = OK if answer.result(timeout=PROBE_SECONDS) else UNAVAILABLE
        except (ProbeTimeout, DomainError, RedisError, SQLAlchemyError, OSError):
            states[name] = UNAVAILABLE
    return states


def _within(app: Flask, probe: Callable[[], bool]) -> bool:
    with app.app_context():
        return probe()


def _database_answers() -> bool:
    return bool(rows(_one()))


@cache
def _one() -> Question:
    return compiled(select(literal(1)))


def _redis_answers() -> bool:
    return bool(redis.client.ping())


def _worker_lives() -> bool:
    return bool(redis.client.exists(WORKER_HEARTBEAT_KEY))


_PROBES: dict[str, Callable[[], bool]] = {"db": _database_answers, "redis": _redis_answers, "worker": _worker_lives}
