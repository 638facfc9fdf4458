"""Sending tasks: after the commit, with the ids of the request, and without waiting for a Redis that is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from flask import Flask

from app.core.database import transaction
from app.core.errors import Conflict
from app.core.logging import fresh_log_context
from app.core.queue import QUEUE_OF, QueueName, TaskName, enqueue
from app.core.tenancy import NoTenant
from app.extensions import celery, redis
from deploy.local.engines import Engines
from tests.core.conftest import LogLines


def sent(queue: QueueName) -> list[dict[str, Any]]:
    """The messages in a queue, the oldest first."""
    found: list[bytes] = redis.client.lrange(queue.value, 0, -1)  # type: ignore[assignment]  # not asynchronous
    return [orjson.loads(message) for message in reversed(found)]


def test_a_task_is_sent_after_the_commit(in_app: Flask) -> None:
    with transaction():
        enqueue(TaskName.UPKEEP_FORGET)
        before = sent(QueueName.UPKEEP)

    assert before == []
    assert [message["headers"]["task"] for message in sent(QueueName.UPKEEP)] == ["upkeep.forget_old_answers"]


def test_a_task_is_never_sent_after_a_rollback(in_app: Flask) -> None:
    with suppress(ZeroDivisionError), transaction():
        enqueue(TaskName.UPKEEP_FORGET)
        raise ZeroDivisionError

    assert sent(QueueName.UPKEEP) == []


def test_a_task_goes_to_its_queue_with_the_ids_of_the_request(in_app: Flask) -> None:
    with fresh_log_context(request_id="r-1", tenant_id="t-1"):
        enqueue(TaskName.UPKEEP_FORGET)

    [message] = sent(QUEUE_OF[TaskName.UPKEEP_FORGET])
    assert message["headers"]["log_context"] == {"request_id": "r-1", "tenant_id": "t-1"}


def test_a_redis_that_is_away_costs_the_sender_little_and_nothing_else(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    with make_breakable_app().app_context():
        enqueue(TaskName.UPKEEP_FORGET)
        breakable.stop_redis()
        try:
            began = time.monotonic()
            for _ in range(20):
                with transaction():
                    enqueue(TaskName.UPKEEP_FORGET)
            lost = time.monotonic() - began
        finally:
            breakable.start_redis()
        time.sleep(1.1)
        enqueue(TaskName.UPKEEP_FORGET)
        found = sent(QueueName.UPKEEP)

    assert lost < 3
    assert len(found) == 1


def test_a_redis_that_hangs_costs_the_sender_little(make_breakable_app: Callable[..., Flask]) -> None:
    with make_breakable_app().app_context():
        enqueue(TaskName.UPKEEP_FORGET)
        redis.client.client_pause(4000)
        began = time.monotonic()
        enqueue(TaskName.UPKEEP_FORGET)
        lost = time.monotonic() - began
        time.sleep(max(0.0, 4.5 - lost))

    assert lost < 1.5


def test_a_task_runs_with_the_ids_of_its_request_and_logs_its_end(in_app: Flask, log_lines: LogLines) -> None:
    @celery.task(name="tests.probe", bind=True)
    def probe(task: object, number: int) -> int:
        del task
        return number + 1

    headers: dict[str, Any] = {"log_context": {"request_id": "r-1"}}
    result = probe.apply(kwargs={"number": 1}, headers=headers)

    del celery.tasks["tests.probe"]
    assert result.get() == 2
    [line] = log_lines.all("task.finished")
    assert (line["request_id"], line["task"]) == ("r-1", "tests.probe")
    assert line["task_id"]


def test_a_refusal_ends_a_task_without_an_error(in_app: Flask, log_lines: LogLines) -> None:
    for name, error in (("tests.conflict", Conflict("Not now.")), ("tests.no-tenant", NoTenant())):

        @celery.task(name=name)
        def probe(error: Exception = error) -> None:
            raise error

        assert probe.apply().get() is None
        del celery.tasks[name]

    assert [line["task"] for line in log_lines.all("task.refused")] == ["tests.conflict", "tests.no-tenant"]
