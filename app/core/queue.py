"""Background work: the tasks' names, their queues, and the way to send one.

The row in the database is the truth and the message only a nudge: a service commits what is to be done, `enqueue` sends
the nudge after that commit, and beat finds whatever no nudge reached. So sending may fail without losing anything, and
every task may run twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.signals import after_task_publish, beat_init, heartbeat_sent, setup_logging, worker_process_init
from flask import Flask
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError as BrokerError
from kombu.pools import producers
from redis.exceptions import RedisError

from app.core.database import READS, on_commit
from app.core.errors import DomainError
from app.core.logging import fresh_log_context, log_context
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import NoTenant
from app.extensions import celery, db
from app.settings import Settings, current_settings

log = logging.getLogger(__name__)


class QueueName(StrEnum):
    """The queues, each consumed by every worker."""

    INGESTION = "ingestion"
    UPKEEP = "upkeep"


class TaskName(StrEnum):
    """Every task; a test holds this list against what the domains register."""

    INGESTION_WORK = "ingestion.work"
    INGESTION_SWEEP = "ingestion.sweep"
    INGESTION_RESYNC = "ingestion.resync"
    INGESTION_ENRICH = "ingestion.enrich"
    UPKEEP_FORGET = "upkeep.forget_old_answers"
    UPKEEP_FORGET_SIGN_INS = "upkeep.forget_sign_ins"
    TENANTS_PURGE = "tenants.purge"
    MAIL_SEND = "mail.send"
    EVENTS_SEAL = "events.seal"
    CIRCULATION_EXPIRE_HOLDS = "circulation.expire_holds"
    CIRCULATION_NOTICES = "circulation.notices"
    INVENTORY_MONTHS = "inventory.make_months"
    LABELS_BY_RULES = "labels.label_by_rules"


# How long a message is worth taking; what is to be done stands in the database, and the sweep sends another message.
# So messages that no worker took do not pile up.
_EXPIRES_SECONDS = {TaskName.INGESTION_WORK: 30, TaskName.INGESTION_ENRICH: 30, TaskName.MAIL_SEND: 30}
QUEUE_OF = {
    TaskName.INGESTION_WORK: QueueName.INGESTION,
    TaskName.INGESTION_SWEEP: QueueName.UPKEEP,
    TaskName.INGESTION_RESYNC: QueueName.UPKEEP,
    TaskName.INGESTION_ENRICH: QueueName.UPKEEP,
    TaskName.UPKEEP_FORGET: QueueName.UPKEEP,
    TaskName.UPKEEP_FORGET_SIGN_INS: QueueName.UPKEEP,
    TaskName.TENANTS_PURGE: QueueName.UPKEEP,
    TaskName.MAIL_SEND: QueueName.UPKEEP,
    TaskName.EVENTS_SEAL: QueueName.UPKEEP,
    TaskName.CIRCULATION_EXPIRE_HOLDS: QueueName.UPKEEP,
    TaskName.CIRCULATION_NOTICES: QueueName.UPKEEP,
    TaskName.INVENTORY_MONTHS: QueueName.UPKEEP,
    TaskName.LABELS_BY_RULES: QueueName.UPKEEP,
}

# Workers renew it with every heartbeat of theirs (each 2 s); `/health` says there is none once it has run out.
WORKER_HEARTBEAT_KEY, WORKER_SILENT_SECONDS = "worker:heartbeat", 15

SOFT_LIMIT_SECONDS = 90
HARD_LIMIT_SECONDS = 120
# A nudge that could not be sent is not tried again by this process for as long, so that requests do not wait for Redis.
PAUSE_SECONDS = 1.0
# Workers wait long for their messages; a request must not wait as long for a Redis that takes commands and is silent.
SEND_SECONDS = 0.25
_state = {"away_until": 0.0}


def init_app(app: Flask, settings: Settings) -> None:
    """Give Celery its broker; tasks run for the system, and with the ids of the request that caused them."""

    class ContextTask(Task[Any, Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            ids = dict((self.request.headers or {}).get("log_context") or {})
            ids["task_id"] = str(self.request.id)
            with app.app_context(), fresh_log_context(**ids), acting_as(SYSTEM):
                return _run_logged(self.name, lambda: self.run(*args, **kwargs))

    celery.task_cls = ContextTask  # type: ignore[assignment]  # typed as a path, a class will do
    celery.Task = ContextTask  # type: ignore[misc]  # a cached property, which may have been read already
    celery.conf.update(
        broker_url=settings.celery_broker_url,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_soft_time_limit=SOFT_LIMIT_SECONDS,
        task_time_limit=HARD_LIMIT_SECONDS,
        worker_max_tasks_per_child=1000,
        worker_soft_shutdown_timeout=10,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
        # The visibility time-out exceeds the longest task; the sweep looks often, so that a dead machine's task is
        # taken up by another within seconds of it.
        broker_transport_options={
            "visibility_timeout": 2 * HARD_LIMIT_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
            "max_retries": 1,
        },
        # A worker that is told nothing takes from all of them. Each has an exchange of its own: without one they would
        # share the default queue's, and every message would reach them all.
        task_queues=[Queue(name.value, Exchange(name.value), routing_key=name.value) for name in QueueName],
        task_default_queue=QueueName.UPKEEP,
        task_routes={name.value: {"queue": queue.value} for name, queue in QUEUE_OF.items()},
        # No schedule file: every periodic task finds out from the database what is due.
        beat_scheduler="celery.beat:Scheduler",
        timezone="UTC",
    )
    celery.set_default()
    app.extensions["celery"] = celery


def _run_logged(name: str, run: Callable[[], Any]) -> Any:
    started = time.monotonic()
    try:
        result = run()
    except (DomainError, NoTenant) as error:
        log.warning("task.refused", extra={"task": name, "error": str(error)})
        return None
    except Exception:
        log.exception("task.failed", extra={"task": name})
        raise
    finally:
        db.session.remove()
    log.info("task.finished", extra={"task": name, "seconds": round(time.monotonic() - started, 3)})
    return result


def enqueue(task: TaskName, **arguments: str | int) -> None:
    """Send a task once the present transaction has committed; arguments are ids and numbers, never personal data."""
    headers = {"log_context": log_context()}

    def send() -> None:
        if time.monotonic() < _state["away_until"]:
            return
        try:
            # Taken from kombu's pools, which know one broker from another; Celery's own pool keeps to the first it met.
            with producers[_impatient_connection()].acquire(block=True) as producer:
                celery.send_task(
                    task.value,
                    kwargs=arguments,
                    headers=headers,
                    queue=QUEUE_OF[task].value,
                    expires=_EXPIRES_SECONDS.get(task),
                    producer=producer,
                )
        except (BrokerError, RedisError, OSError, RuntimeError) as error:
            _state["away_until"] = time.monotonic() + PAUSE_SECONDS
            log.warning("queue.away", extra={"task": task.value, "error": type(error).__name__})

    on_commit(send)


def _impatient_connection() -> Connection:
    options = {**celery.conf.broker_transport_options, "socket_timeout": SEND_SECONDS}
    return celery.connection_for_write().clone(transport_options=options)


def connect_worker_processes(app: Flask) -> None:
    """Let every forked worker process open connections of its own, and keep Celery from rearranging the logs."""
    _give_signs_of_life(app)

    @worker_process_init.connect(weak=False)
    def _forget_parents_connections(**_: Any) -> None:
        with app.app_context():
            for name in (None, READS):
                db.engines[name].dispose(close=False)

    @setup_logging.connect(weak=False)
    def _keep_logging(**_: Any) -> None:
        """Being connected is enough: Celery then sets nothing up itself."""


def _give_signs_of_life(app: Flask) -> None:
    """Touch `HEARTBEAT_FILE` whenever Redis takes a heartbeat or a task from beat; tell `/health` of workers."""
    with app.app_context():
        heartbeat_file = current_settings().heartbeat_file

    def touch_file(**_: Any) -> None:
        if heartbeat_file:
            Path(heartbeat_file).touch()

    @heartbeat_sent.connect(weak=False)
    def _tell_health(**_: Any) -> None:
        try:
            app.extensions["redis"].set(WORKER_HEARTBEAT_KEY, "1", ex=WORKER_SILENT_SECONDS)
        except RedisError as error:
            log.warning("worker.heartbeat_failed", extra={"error": type(error).__name__})
        else:
            touch_file()

    @beat_init.connect(weak=False)
    def _touch_with_every_tick(**_: Any) -> None:
        # In beat alone: a worker that sends tasks and takes none is not well.
        after_task_publish.connect(touch_file, weak=False)


def queue_app() -> Celery:
    """The Celery app, for `celery_worker.py`."""
    return celery
