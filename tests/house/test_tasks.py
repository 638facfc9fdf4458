"""Tasks, queues and those who consume them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from app.core.queue import QUEUE_OF, QueueName, TaskName
from app.extensions import celery
from app.schedule import SCHEDULE

ROOT = Path(__file__).parents[2]
WORKER_FILES = ["docker-compose.yml", "Procfile"]


def test_the_list_of_tasks_is_what_the_domains_register(app: Flask) -> None:
    registered = {name for name in celery.tasks if not name.startswith("celery.")}
    listed = {task.value for task in TaskName}

    assert registered == listed, (
        f"Register these in a domain's tasks.py: {sorted(listed - registered)};"
        f" list these in core/queue.py: {sorted(registered - listed)}"
    )


def test_every_task_has_a_queue_and_both_time_limits(app: Flask) -> None:
    assert set(QUEUE_OF) == set(TaskName), "Give every task its queue in QUEUE_OF."
    for task in TaskName:
        soft = celery.tasks[task.value].soft_time_limit or celery.conf.task_soft_time_limit
        hard = celery.tasks[task.value].time_limit or celery.conf.task_time_limit
        assert soft < hard, f"Give {task.value} a soft time limit below its hard one."
        assert hard < celery.conf.broker_transport_options["visibility_timeout"], (
            f"Redis would hand {task.value} to a second worker while the first is still at it."
        )


def test_a_task_is_confirmed_when_it_is_done_and_not_before(app: Flask) -> None:
    assert celery.conf.task_acks_late is True
    assert celery.conf.task_reject_on_worker_lost is True
    assert celery.conf.worker_prefetch_multiplier == 1


def test_beat_runs_only_tasks_that_exist(app: Flask) -> None:
    assert set(SCHEDULE) <= set(TaskName)
    assert {entry["task"] for entry in celery.conf.beat_schedule.values()} == {task.value for task in SCHEDULE}


@pytest.mark.parametrize("name", WORKER_FILES)
def test_every_queue_is_consumed(name: str) -> None:
    given = re.findall(r"--queues[= ]([a-z,]+)", (ROOT / name).read_text())

    consumed = {queue for queues in given for queue in queues.split(",")}
    assert consumed == {queue.value for queue in QueueName}, f"Let the worker in {name} consume every queue."
