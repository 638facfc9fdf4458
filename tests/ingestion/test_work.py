"""Who works on what, and what becomes of work that is broken off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.database import transaction
from app.core.tenancy import tenant as as_tenant
from app.extensions import db, redis
from app.ingestion import queries, service
from app.ingestion.service import leases
from app.ingestion.service.errors import LeaseLost
from app.ingestion.service.fetching import fetch, order_of
from app.ingestion.service.leases import Slice
from app.ingestion.service.recording import record_page
from app.ingestion.service.work import MOST_CLAIMS
from app.tenants import service as tenants
from tests.ingestion.conftest import Desk, work_all, work_once
from tests.stand_in import StandIn


def let_leases_end(owner: Engine) -> None:
    """As if every worker had been silent for longer than its lease."""
    with owner.begin() as connection:
        connection.execute(text("UPDATE ingestion_queue SET leased_until = now() - interval '1 second'"))


def test_a_small_job_does_not_wait_for_anothers_large_one(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(1000)
    key = site.add_work("Only One")
    large = desk.ask(query="subject:Generated")
    work_once(desk.library.app)
    small = other_desk.ask(open_library_keys=[key])

    work_once(desk.library.app)

    assert other_desk.job(small)["status"] == "completed"
    assert desk.job(large)["progress"]["done"] == 100


def test_two_large_jobs_of_two_tenants_advance_together(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(400)
    first, second = desk.ask(query="subject:Generated"), desk.ask(query="subject:Generated")
    third = other_desk.ask(query="subject:Generated")

    for _ in range(4):
        work_once(desk.library.app)

    assert desk.job(first)["progress"]["done"] + desk.job(second)["progress"]["done"] == 200
    assert other_desk.job(third)["progress"]["done"] == 200


def test_jobs_of_one_tenant_advance_together(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(300)
    first, second = desk.ask(query="subject:Generated"), desk.ask(query="subject:Generated")

    for _ in range(4):
        work_once(desk.library.app)

    assert (desk.job(first)["progress"]["done"], desk.job(second)["progress"]["done"]) == (200, 200)


def test_a_job_is_claimed_by_one_worker_only(app: Flask, desk: Desk) -> None:
    desk.ask(open_library_keys=["OL1W"])

    claims = []
    gate = threading.Barrier(8)

    def claim() -> None:
        with app.app_context():
            gate.wait()
            claims.append(leases.claim())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert len([each for each in claims if each is not None]) == 1


def test_claims_of_many_jobs_never_meet(app: Flask, desk: Desk, other_desk: Desk) -> None:
    jobs = {owner.ask(open_library_keys=["OL1W"]) for owner in (desk, other_desk) for _ in range(6)}

    claims: list[Slice | None] = []

    def claim() -> None:
        with app.app_context():
            claims.extend(leases.claim() for _ in range(4))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    taken = [each.job_id for each in claims if each is not None]
    assert len(taken) == 12
    assert set(taken) == jobs


def test_a_job_whose_worker_fell_silent_is_taken_up_where_it_stood(
    app: Flask, desk: Desk, site: StandIn, owner: Engine
) -> None:
    site.generated_catalogue(250)
    job_id = desk.ask(query="subject:Generated")
    work_once(app)
    with app.app_context():
        assert leases.claim() is not None
    assert work_all(app) == 0
    let_leases_end(owner)

    work_all(app)

    job = desk.job(job_id)
    assert (job["status"], job["attempts"]) == ("completed", 2)
    assert job["progress"]["created"] == job["progress"]["total"] == 250


def test_a_worker_that_lost_its_lease_writes_nothing(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    site.generated_catalogue(50)
    job_id = desk.ask(query="subject:Generated")
    with app.app_context():
        slow = leases.claim()
        assert slow is not None
        with as_tenant(desk.library.id):
            page = fetch(order_of(service.existing_job(job_id)))
        let_leases_end(owner)
        work_all(app)

        with as_tenant(desk.library.id), pytest.raises(LeaseLost):
            record_page(slow, page)

    assert desk.job(job_id)["progress"]["created"] == 50
    assert len(desk.logs()) == 50


def test_a_cancelled_jobs_page_is_not_written(app: Flask, desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(50)
    job_id = desk.ask(query="subject:Generated")
    with app.app_context():
        taken = leases.claim()
        assert taken is not None
        with as_tenant(desk.library.id):
            page = fetch(order_of(service.existing_job(job_id)))
            service.cancel_job(job_id)

            with pytest.raises(LeaseLost):
                record_page(taken, page)

    assert desk.books() == {}
    assert desk.job(job_id)["status"] == "cancelled"


def test_a_lease_is_renewed_while_its_worker_is_at_work(app: Flask, desk: Desk, owner: Engine) -> None:
    desk.ask(open_library_keys=["OL1W"])
    with app.app_context():
        taken = leases.claim()
        assert taken is not None
        with owner.connect() as connection:
            before = connection.scalar(text("SELECT leased_until FROM ingestion_queue"))

        with leases.kept(taken):
            # The tests' lease is 2 s, renewed every two thirds of a second.
            threading.Event().wait(1)

    with owner.connect() as connection:
        after = connection.scalar(text("SELECT leased_until FROM ingestion_queue"))
    assert after - before > timedelta(seconds=0.5)


def test_work_that_breaks_off_lets_the_job_go_at_once(app: Flask, desk: Desk) -> None:
    desk.ask(open_library_keys=["OL1W"])
    with app.app_context():
        taken = leases.claim()
        assert taken is not None

        with pytest.raises(ZeroDivisionError), leases.kept(taken):
            raise ZeroDivisionError

        again = leases.claim()
    assert again is not None
    assert (again.was_lost, again.claims) == (True, 2)


def test_a_job_that_ends_its_workers_is_given_up(app: Flask, desk: Desk, owner: Engine) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])
    for _ in range(MOST_CLAIMS):
        with app.app_context():
            assert leases.claim() is not None
        let_leases_end(owner)

    work_all(app)

    job = desk.job(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "interrupted"


def test_a_suspended_tenants_jobs_are_passed_over_and_stopped(
    app: Flask, desk: Desk, other_desk: Desk, site: StandIn
) -> None:
    site.generated_catalogue(30)
    stopped, running = desk.ask(query="subject:Generated"), other_desk.ask(query="subject:Generated")
    with app.app_context(), as_tenant(desk.library.id):
        tenants.suspend_tenant(desk.library.id)
        db.session.remove()

    work_all(app)
    before_sweep = desk.job(stopped)["status"]
    with app.app_context():
        service.sweep()

    assert before_sweep == "pending"
    assert desk.job(stopped)["status"] == "cancelled"
    assert desk.books() == {}
    assert other_desk.job(running)["status"] == "completed"


def test_a_task_started_twice_finds_nothing_to_do(app: Flask, desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(30)
    desk.done(query="subject:Generated")

    assert work_all(app) == 0
    assert len(desk.books()) == 30


def test_a_nudge_is_sent_after_the_commit_and_not_after_a_rollback(app: Flask, desk: Desk) -> None:
    def ask_in_vain() -> None:
        with as_tenant(desk.library.id), transaction():
            service.request_ingestion(open_library_keys=["OL1W"])
            raise ZeroDivisionError

    with app.app_context():
        with pytest.raises(ZeroDivisionError):
            ask_in_vain()
        after_rollback = messages("ingestion")
        desk.ask(open_library_keys=["OL1W"])
        after_commit = messages("ingestion")

    assert (after_rollback, after_commit) == (0, 1)


def test_the_sweep_nudges_only_where_something_is_due(app: Flask, desk: Desk, owner: Engine) -> None:
    with app.app_context():
        service.sweep()
        without_jobs = messages("ingestion")
        desk.ask(open_library_keys=["OL1W"])
        with owner.begin() as connection:
            connection.execute(text("UPDATE ingestion_queue SET available_at = now() + interval '1 hour'"))
        service.sweep()
        before_its_time = messages("ingestion")
        with owner.begin() as connection:
            connection.execute(text("UPDATE ingestion_queue SET available_at = now()"))
        service.sweep()
        when_due = messages("ingestion")

    assert (without_jobs, before_its_time, when_due) == (0, 1, 2)


def test_without_redis_a_job_is_accepted_all_the_same(
    make_app: Callable[..., Flask], site: StandIn, desk: Desk
) -> None:
    lonely = make_app(REDIS_URL="redis://127.0.0.1:9/0", OPEN_LIBRARY_URL=site.url)
    with lonely.app_context(), as_tenant(desk.library.id):
        job = service.request_ingestion(open_library_keys=["OL1W"])
        assert queries.shown(job)["status"] == "pending"
        db.session.remove()


def messages(queue: str) -> int:
    """How many messages wait in a queue."""
    return int(cast("int", redis.client.llen(queue)))
