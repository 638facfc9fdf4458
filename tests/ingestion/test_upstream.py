"""What jobs do while Open Library is down, slow, refusing, flaky or talking nonsense."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.ingestion.service.work import pause_seconds
from tests.ingestion.conftest import Desk, wait_until, work_all, work_once
from tests.stand_in import FaultKind, StandIn


def ended(desk: Desk, job_id: object, *, seconds: float = 60) -> dict[str, Any]:
    """Play the worker until the job has ended; jobs that wait come back when they are due."""

    def look() -> dict[str, Any] | None:
        work_all(desk.library.app)
        job = desk.job(str(job_id))
        return job if job["finished_at"] else None

    job: dict[str, Any] = wait_until(look, seconds=seconds, what="the job's end")
    return job


def test_a_job_waits_while_open_library_is_down_and_goes_on_when_it_is_back(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(150)
    site.down()
    job_id = desk.ask(query="subject:Generated")

    work_all(desk.library.app)
    waiting = desk.job(job_id)
    site.up()
    job = ended(desk, job_id)

    assert waiting["status"] == "pending"
    assert waiting["error"]["code"] == "upstream_unavailable"
    assert job["status"] == "completed"
    assert job["error"] is None
    assert job["progress"]["created"] == 150
    assert job["attempts"] >= 2


def test_a_job_that_waited_too_long_has_failed_and_can_be_retried(desk: Desk, site: StandIn, owner: Engine) -> None:
    keys = [site.add_work("Waiting")]
    site.down()
    job_id = desk.ask(open_library_keys=keys)
    work_all(desk.library.app)
    with owner.begin() as connection:
        # Ten leases of 2 s are the tests' patience.
        connection.execute(
            text("UPDATE ingestion_queue SET available_at = now(), unavailable_since = now() - interval '21 s'")
        )

    job = ended(desk, job_id, seconds=10)
    site.up()
    retried = desk.library.post(f"/ingestion/jobs/{job_id}/retry")
    again = ended(desk, job_id, seconds=10)

    assert job["status"] == "failed"
    assert job["error"]["code"] == "upstream_unavailable"
    assert retried.status_code == 202
    assert (again["status"], again["progress"]["created"]) == ("completed", 1)


def test_an_outage_in_the_middle_does_not_cut_the_job_short(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(300)
    job_id = desk.ask(query="subject:Generated")
    work_once(desk.library.app)
    site.down()

    work_all(desk.library.app)
    in_the_middle = desk.job(job_id)
    site.up()
    job = ended(desk, job_id)

    # Our copy holds the first hundred works, which is not what the job still wants.
    assert in_the_middle["status"] == "pending"
    assert in_the_middle["progress"]["done"] == 100
    assert job["progress"]["created"] == job["progress"]["total"] == 300


def test_a_refusal_fails_the_job_at_once(desk: Desk, site: StandIn) -> None:
    site.fault("refuse", times=None)

    job = desk.done(query="author:Tolkien")

    assert job["status"] == "failed"
    assert job["error"]["code"] == "upstream_refused"
    assert "OPEN_LIBRARY_CONTACT" in job["error"]["message"]


@pytest.mark.parametrize(
    "kind",
    [
        "server_error",
        "unavailable",
        "html",
        "cut_json",
        "cut_connection",
        "reset",
        "rate_limit",
    ],
)
def test_a_fault_that_passes_costs_nothing(desk: Desk, site: StandIn, kind: FaultKind) -> None:
    site.generated_catalogue(120)
    site.fault(kind, times=2)

    job = ended(desk, desk.ask(query="subject:Generated"), seconds=20)

    assert job["status"] == "completed"
    assert job["progress"]["created"] == 120
    assert len(desk.books()) == 120


def test_html_instead_of_works_is_an_outage_and_not_an_empty_answer(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(10)
    site.fault("html", times=None)
    job_id = desk.ask(query="subject:Generated")

    work_all(desk.library.app)

    job = desk.job(job_id)
    assert (job["status"], job["error"]["code"]) == ("pending", "upstream_unavailable")


def test_a_slow_answer_keeps_the_lease(app: Flask, desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(10)
    # Longer than the tests' lease of 2 s.
    site.fault("slow_first_byte", seconds=3)

    job = desk.done(query="subject:Generated")

    assert (job["status"], job["attempts"]) == ("completed", 1)


def test_while_open_library_is_down_our_copy_serves(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(120)
    desk.done(query="subject:Generated")
    site.down()

    job = other_desk.done(query="subject:Generated", refresh=True)

    assert (job["status"], job["source"]) == ("completed", "mirror")
    assert job["progress"]["created"] == 120


def test_pauses_double_and_end_with_the_patience() -> None:
    def pause(waited: float, wanted: float = 0) -> float | None:
        return pause_seconds(waited_seconds=waited, lease_seconds=60, wanted_seconds=wanted)

    assert 4 <= (pause(0) or 0) <= 6
    assert 16 <= (pause(20) or 0) <= 24
    assert 120 <= (pause(400) or 0) <= 180
    assert 24 <= (pause(0, wanted=30) or 0) <= 36
    assert pause(590) == 10
    assert pause(600) is None


def test_jobs_that_fail_together_do_not_come_back_together() -> None:
    pauses = {pause_seconds(waited_seconds=0, lease_seconds=60, wanted_seconds=0) for _ in range(20)}

    assert len(pauses) > 10


def test_time_is_not_spent_on_jobs_that_wait(desk: Desk, site: StandIn) -> None:
    site.down()
    for number in range(3):
        desk.ask(open_library_keys=[f"OL{number + 1}W"])
    started = time.monotonic()

    work_all(desk.library.app)

    assert time.monotonic() - started < 10
