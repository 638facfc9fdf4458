"""Queries that were ingested once are run again."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.ingestion import queries, service
from app.tenants import service as tenants
from tests.conftest import Library
from tests.ingestion.conftest import Desk, work_all, work_once
from tests.stand_in import StandIn


def let_hours_pass(owner: Engine, hours: int) -> None:
    """As if every interval had begun so much earlier."""
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE resync_schedule SET counted_from = counted_from - make_interval(hours => :hours)"),
            {"hours": hours},
        )


def jobs_of(desk: Desk) -> list[dict[str, Any]]:
    """The tenant's re-sync jobs, the newest first."""
    with desk.library.app.app_context(), as_tenant(desk.library.id):
        items: list[dict[str, Any]] = queries.JOBS.page(limit=100, trigger="resync")["items"]
    return items


def resync(app: Flask) -> int:
    """Play the scheduler."""
    with app.app_context(), acting_as(SYSTEM):
        return service.resync_due()


def test_a_query_is_run_again_when_its_interval_is_over(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    key = site.add_work("Before", subjects=["Kept"])
    desk.done(query="subject:Kept")
    site.edit(key, title="After")
    site.add_work("Newcomer", subjects=["Kept"])
    let_hours_pass(owner, 5)
    too_early = resync(app)
    let_hours_pass(owner, 1)

    jobs = resync(app)
    work_all(app)

    assert (too_early, jobs) == (0, 1)
    (job,) = jobs_of(desk)
    assert (job["trigger"], job["query"], job["status"]) == ("resync", "subject:Kept", "completed")
    assert (job["progress"]["created"], job["progress"]["updated"]) == (1, 1)
    assert sorted(desk.books().values()) == ["After", "Newcomer"]
    assert resync(app) == 0


def test_the_same_query_spelt_otherwise_is_run_once(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    site.add_work("Kept", subjects=["Kept"])
    desk.done(query="subject:Kept")
    desk.done(query="SUBJECT:  kept")
    desk.done(open_library_keys=[site.add_work("By Key")])
    let_hours_pass(owner, 6)

    assert resync(app) == 1


def test_the_interval_is_the_tenants_own(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    site.add_work("Kept", subjects=["Kept"])
    desk.done(query="subject:Kept")
    with app.app_context(), as_tenant(desk.library.id):
        tenants.update_tenant(desk.library.id, {"settings": {"resync_interval_hours": 48}})
        db.session.remove()
    let_hours_pass(owner, 47)
    too_early = resync(app)
    let_hours_pass(owner, 1)

    assert (too_early, resync(app)) == (0, 1)


def test_a_merged_work_is_followed_and_a_withdrawn_one_marked(
    app: Flask, desk: Desk, site: StandIn, owner: Engine
) -> None:
    old, new, gone, stays = (site.add_work(name, subjects=["Kept"]) for name in ("Old", "New", "Gone", "Stays"))
    desk.done(query="subject:Kept")
    site.merge(old, new)
    site.delete(gone)
    let_hours_pass(owner, 6)

    resync(app)
    work_all(app)

    (job,) = jobs_of(desk)
    assert job["status"] == "completed"
    assert job["progress"]["total"] == job["progress"]["done"] == 4
    assert set(desk.books()) == {new, gone, stays}
    assert (old, "redirected") in desk.logs(job_id=str(job["id"]))
    with owner.connect() as connection:
        status = connection.scalar(
            text("SELECT upstream_status FROM books WHERE open_library_key = :key"), {"key": gone}
        )
    assert status == "deleted"


def test_what_is_no_more_is_looked_for_once(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    old, new, gone = (site.add_work(name, subjects=["Kept"]) for name in ("Old", "New", "Gone"))
    desk.done(query="subject:Kept")
    site.merge(old, new)
    site.delete(gone)
    for _ in range(2):
        let_hours_pass(owner, 6)
        resync(app)
        work_all(app)

    latest, _ = jobs_of(desk)

    assert latest["progress"]["total"] == latest["progress"]["unchanged"] == 1


def test_a_work_that_left_the_query_is_kept_up_to_date(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    stays = site.add_work("Stays", subjects=["Kept"])
    leaves = site.add_work("Leaves", subjects=["Kept"])
    desk.done(query="subject:Kept")
    site.edit(leaves, title="Left", subjects=["Something Else"])
    let_hours_pass(owner, 6)

    resync(app)
    work_all(app)

    assert desk.books() == {stays: "Stays", leaves: "Left"}


def test_two_schedulers_do_no_harm(app: Flask, desk: Desk, other_desk: Desk, site: StandIn, owner: Engine) -> None:
    site.add_work("Kept", subjects=["Kept"])
    for each in (desk, other_desk):
        each.done(query="subject:Kept")
    let_hours_pass(owner, 6)
    requested: list[int] = []
    gate = threading.Barrier(4)

    def schedule() -> None:
        gate.wait()
        requested.append(resync(app))

    threads = [threading.Thread(target=schedule) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sum(requested) == 2
    assert (len(jobs_of(desk)), len(jobs_of(other_desk))) == (1, 1)


def test_a_schedule_that_another_scheduler_is_at_keeps_no_other_waiting(
    app: Flask, desk: Desk, other_desk: Desk, site: StandIn, owner: Engine
) -> None:
    site.add_work("Kept", subjects=["Kept"])
    for each in (desk, other_desk):
        each.done(query="subject:Kept")
    let_hours_pass(owner, 6)

    with owner.begin() as connection:
        held = text("SELECT FROM resync_schedule WHERE tenant_id = :id FOR UPDATE")
        connection.execute(held, {"id": desk.library.id})

        assert resync(app) == 1

    assert (len(jobs_of(desk)), len(jobs_of(other_desk))) == (0, 1)


def test_a_suspended_tenant_is_left_alone(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    site.add_work("Kept", subjects=["Kept"])
    desk.done(query="subject:Kept")
    with app.app_context(), as_tenant(desk.library.id):
        tenants.suspend_tenant(desk.library.id)
        db.session.remove()
    let_hours_pass(owner, 100)

    assert resync(app) == 0
    assert jobs_of(desk) == []


def test_a_query_that_a_job_is_busy_with_is_left_out(app: Flask, desk: Desk, site: StandIn, owner: Engine) -> None:
    site.generated_catalogue(150)
    desk.done(query="subject:Generated")
    desk.ask(query="subject:Generated", refresh=True)
    work_once(app)
    let_hours_pass(owner, 6)

    assert resync(app) == 0


def test_while_open_library_is_down_nothing_is_taken_for_gone(
    app: Flask, desk: Desk, site: StandIn, owner: Engine
) -> None:
    keys = {site.add_work(f"Kept {number}", subjects=["Kept"]) for number in range(5)}
    desk.done(query="subject:Kept")
    let_hours_pass(owner, 6)
    site.down()

    resync(app)
    work_all(app)

    assert set(desk.books()) == keys
    (job,) = jobs_of(desk)
    assert (job["source"], job["progress"]["unchanged"]) == ("mirror", 5)


def test_the_state_of_the_re_sync_is_shown(desk: Desk, site: StandIn, library: Library) -> None:
    fresh = library.get("/ingestion/resync")
    site.generated_catalogue(3)
    desk.done(query="subject:Generated")

    shown = library.get("/ingestion/resync")

    assert fresh.json == {
        "enabled": True,
        "interval_hours": 6,
        "last_run_at": None,
        "next_run_at": None,
        "queries": [],
    }
    assert shown.json["next_run_at"] is not None
    (query,) = shown.json["queries"]
    assert (query["query"], query["works"]) == ("subject:Generated", 3)


def test_a_librarian_runs_it_at_once(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(3)
    desk.done(query="subject:Generated")

    answer = library.post("/ingestion/resync")
    again = library.post("/ingestion/resync")
    work_all(library.app)

    assert answer.status_code == 202
    (job,) = answer.json["jobs"]
    assert (job["trigger"], job["query"], job["batch_id"]) == ("resync", "subject:Generated", answer.json["batch_id"])
    # The first one's job is still at it.
    assert again.json == {"batch_id": None, "jobs": []}
    assert desk.job(job["id"])["progress"]["unchanged"] == 3
    assert library.get("/ingestion/resync").json["last_run_at"] is not None


def test_lines_that_say_nothing_new_are_forgotten_after_a_month(
    app: Flask, desk: Desk, site: StandIn, owner: Engine
) -> None:
    site.generated_catalogue(3)
    desk.done(query="subject:Generated")
    let_hours_pass(owner, 6)
    resync(app)
    work_all(app)
    with owner.begin() as connection:
        connection.execute(text("UPDATE ingestion_logs SET at = at - interval '31 days'"))
    let_hours_pass(owner, 6)

    resync(app)

    assert {action for _, action in desk.logs()} == {"created"}
