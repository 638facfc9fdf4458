"""Real workers on real servers that die, stop and come back: no work is lost, none is counted twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app import create_app
from app.core.errors import DatabaseUnavailable
from app.extensions import db, redis
from app.settings import Settings
from app.tenants import service as tenants
from deploy.local.engines import Engines
from tests.conftest import Library, empty
from tests.ingestion.conftest import Desk, wait_until
from tests.ingestion.processes import Processes, processes
from tests.stand_in import StandIn

pytestmark = pytest.mark.timeout(90)

# Slow enough to do something to a job of a thousand works while it runs.
PAGES_PER_SECOND = 5


@dataclass
class Scene:
    """The service with real processes around it."""

    app: Flask
    site: StandIn
    servers: Engines
    processes: Processes
    owner: Engine

    def desk(self, slug: str) -> Desk:
        """A tenant's ingestion."""
        with self.app.app_context():
            tenant = tenants.create_tenant(slug=slug, name=slug.title(), kind="library")
            db.session.remove()
        return Desk(Library(self.app, slug, tenant.id))

    def number(self, question: str) -> int:
        """Count what is really stored."""
        with self.owner.connect() as connection:
            return int(connection.scalar(text(question)) or 0)


@pytest.fixture
def scene(prepared: dict[str, str], servers: Engines, tmp_path: Path) -> Iterator[Scene]:
    """Open Library, an app, and no process yet."""
    with StandIn(recorded=False) as site:
        environment = {
            **prepared,
            "OPEN_LIBRARY_URL": site.url,
            "OPEN_LIBRARY_REQUESTS_PER_SECOND": str(PAGES_PER_SECOND),
        }
        app = create_app(Settings.from_environment(environment))
        owner = create_engine(Settings.from_environment(prepared).database_owner_url, poolclass=NullPool)
        with processes(environment, tmp_path) as started:
            yield Scene(app, site, servers, started, owner)
        empty(owner)
        with app.app_context():
            db.session.remove()
            redis.client.flushdb()
            for engine in db.engines.values():
                engine.dispose()


def assert_exact(scene: Scene, desk: Desk, job_id: UUID, *, works: int) -> dict[str, Any]:
    """Every work is there once, and was counted and logged once."""
    job = desk.job(job_id)
    assert job["status"] == "completed", job
    progress = job["progress"]
    assert (progress["total"], progress["done"], progress["created"]) == (works, works, works), job
    assert scene.number("SELECT count(*) FROM books") == works
    assert scene.number("SELECT count(DISTINCT open_library_key) FROM books") == works
    assert scene.number("SELECT count(*) FROM book_versions") == works
    assert scene.number("SELECT count(*) FROM ingestion_logs") == works
    assert scene.number("SELECT count(*) FROM ingestion_queue") == 0
    return job


def wait_for_end(desk: Desk, job_id: UUID, *, seconds: float = 30) -> None:
    """Wait until a job has ended."""
    wait_until(lambda: desk.job(job_id)["finished_at"], seconds=seconds, what=f"the job's end: {desk.job(job_id)}")


def wait_for_works(desk: Desk, job_id: UUID, *, number: int) -> None:
    """Wait until a job has done so many works."""
    wait_until(lambda: desk.job(job_id)["progress"]["done"] >= number, seconds=30, what=f"{number} works")


def test_a_job_survives_the_death_of_its_worker(scene: Scene) -> None:
    scene.site.generated_catalogue(1000)
    desk = scene.desk("riverside")
    scene.processes.start_beat()
    (first,) = scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=300)
    scene.site.fault("slow_first_byte", seconds=10)
    asked = len(scene.site.requests)
    wait_until(lambda: len(scene.site.requests) > asked, seconds=10, what="a page on its way")

    first.kill()
    scene.processes.start_workers(1)
    wait_for_end(desk, job_id)

    job = assert_exact(scene, desk, job_id, works=1000)
    assert job["attempts"] == 2


def test_two_workers_share_the_jobs_of_several_tenants(scene: Scene) -> None:
    scene.site.generated_catalogue(400)
    desks = [scene.desk(slug) for slug in ("riverside", "hillside", "lakeside")]
    workers = scene.processes.start_workers(2, OPEN_LIBRARY_REQUESTS_PER_SECOND="1000")

    jobs = [(desk, desk.ask(query="subject:Generated")) for desk in desks for _ in range(2)]
    for desk, job_id in jobs:
        wait_for_end(desk, job_id)

    for desk, job_id in jobs:
        progress = desk.job(job_id)["progress"]
        assert (progress["done"], progress["failed"]) == (400, 0)
    assert scene.number("SELECT count(*) FROM books") == 1200
    assert scene.number("SELECT count(*) FROM book_versions") == 1200
    assert sum(desk.job(job_id)["progress"]["created"] for desk, job_id in jobs) == 1200
    for worker in workers:
        worker.wait_for("ingestion.finished")


def test_a_small_job_does_not_wait_for_a_large_one(scene: Scene) -> None:
    scene.site.generated_catalogue(10_000)
    large_desk, small_desk = scene.desk("riverside"), scene.desk("hillside")
    key = scene.site.add_work("Only One")
    scene.processes.start_workers(1)
    large = large_desk.ask(query="subject:Generated", max_works=10_000)
    wait_for_works(large_desk, large, number=200)

    small = small_desk.ask(open_library_keys=[key])
    wait_for_end(small_desk, small, seconds=10)

    # One page of the other's may have been on its way, and one may come between.
    assert small_desk.job(small)["status"] == "completed"
    assert large_desk.job(large)["progress"]["done"] <= 1000


def test_a_job_is_cancelled_while_a_worker_is_at_it(scene: Scene) -> None:
    scene.site.generated_catalogue(1000)
    desk = scene.desk("riverside")
    scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=200)

    answer = desk.library.post(f"/ingestion/jobs/{job_id}/cancel")
    done = answer.json["progress"]["done"]
    requests = len(scene.site.requests)
    other = desk.ask(open_library_keys=["OL1W"])
    wait_for_end(desk, other)

    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    assert desk.job(job_id)["progress"]["done"] == done == scene.number("SELECT count(*) FROM books")
    # The page that was on its way, and the other job's own requests.
    assert len(scene.site.requests) <= requests + 4


def test_redis_may_stop_and_start(scene: Scene) -> None:
    scene.site.generated_catalogue(1000)
    desk = scene.desk("riverside")
    key = desk.library.key("librarian")
    headers = {"Authorization": f"Bearer {key}"}
    scene.processes.start_beat()
    scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=200)

    scene.servers.stop_redis()
    try:
        posted = desk.library.post("/ingestion/jobs", {"query": "subject:Fiction", "max_works": 100}, headers=headers)
        shown = desk.library.get(f"/ingestion/jobs/{job_id}", headers=headers)
    finally:
        scene.servers.start_redis()
    wait_for_end(desk, job_id, seconds=45)
    wait_for_end(desk, UUID(posted.json["id"]), seconds=45)

    assert (posted.status_code, shown.status_code) == (202, 200)
    assert desk.job(posted.json["id"])["status"] == "completed"
    assert desk.job(job_id)["progress"]["done"] == 1000
    assert scene.number("SELECT count(*) FROM books") == 1000
    assert scene.number("SELECT count(*) FROM book_versions") == 1000


def test_a_job_that_no_message_reached_is_found(scene: Scene) -> None:
    scene.site.generated_catalogue(30)
    desk = scene.desk("riverside")
    headers = {"Authorization": f"Bearer {desk.library.key('librarian')}"}
    scene.processes.start_beat()
    scene.processes.start_workers(1)

    # This Redis keeps nothing over its end: whatever waited in it is lost.
    scene.servers.stop_redis()
    try:
        posted = desk.library.post("/ingestion/jobs", {"query": "subject:Generated"}, headers=headers)
    finally:
        scene.servers.start_redis()
    wait_for_end(desk, UUID(posted.json["id"]), seconds=45)

    assert posted.status_code == 202
    assert_exact(scene, desk, UUID(posted.json["id"]), works=30)


def test_postgresql_may_be_restarted(scene: Scene) -> None:
    scene.site.generated_catalogue(1000)
    desk = scene.desk("riverside")
    scene.processes.start_beat()
    (worker,) = scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=200)

    scene.servers.restart_postgres()
    wait_until(lambda: _answers(desk, job_id), seconds=10, what="an answer of the restarted database")
    wait_for_end(desk, job_id, seconds=45)

    assert_exact(scene, desk, job_id, works=1000)
    assert worker.family()


def test_open_library_may_be_away_for_a_while(scene: Scene) -> None:
    scene.site.generated_catalogue(600)
    desk = scene.desk("riverside")
    scene.processes.start_beat()
    scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=200)

    scene.site.down()
    wait_until(lambda: desk.job(job_id)["error"], seconds=30, what="the job's waiting")
    waiting = desk.job(job_id)
    scene.site.up()
    wait_for_end(desk, job_id, seconds=45)

    assert (waiting["status"], waiting["error"]["code"]) == ("pending", "upstream_unavailable")
    assert_exact(scene, desk, job_id, works=600)


def test_a_job_survives_the_death_of_its_workers_child(scene: Scene) -> None:
    scene.site.generated_catalogue(1000)
    desk = scene.desk("riverside")
    scene.processes.start_beat()
    (first,) = scene.processes.start_workers(1)
    job_id = desk.ask(query="subject:Generated")
    wait_for_works(desk, job_id, number=200)
    for process in first.family()[1:]:
        # What the kernel does where memory runs out: the child goes, its parent starts another.
        process.send_signal(signal.SIGKILL)

    wait_for_end(desk, job_id, seconds=45)

    assert_exact(scene, desk, job_id, works=1000)


def _answers(desk: Desk, job_id: UUID) -> bool:
    try:
        return bool(desk.job(job_id))
    except (OperationalError, DatabaseUnavailable):
        return False
