"""Fixtures of ingestion: an Open Library of the test's own, an app that asks it, and hands to do the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.ingestion import queries, service
from tests.conftest import Library
from tests.stand_in import StandIn


@pytest.fixture
def site() -> Iterator[StandIn]:
    """An Open Library without any works of its own."""
    with StandIn(recorded=False) as running:
        yield running


@pytest.fixture
def app(make_app: Callable[..., Flask], site: StandIn) -> Flask:
    """The app, asking that Open Library as often as it likes."""
    return make_app(OPEN_LIBRARY_URL=site.url, OPEN_LIBRARY_REQUESTS_PER_SECOND="1000")


class Desk:
    """One tenant's ingestion, driven from the test: asks for works and plays the worker."""

    def __init__(self, library: Library) -> None:
        """Work for this tenant."""
        self.library = library

    def ask(self, **wish: Any) -> UUID:
        """Request a job; gives its id."""
        with self.library.app.app_context(), as_tenant(self.library.id):
            return service.request_ingestion(**wish).id

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        """A job as clients see it."""
        with self.library.app.app_context(), as_tenant(self.library.id):
            return queries.shown(service.existing_job(UUID(str(job_id))))

    def done(self, **wish: Any) -> dict[str, Any]:
        """Request a job, work until nothing is due, and show it."""
        job_id = self.ask(**wish)
        work_all(self.library.app)
        return self.job(job_id)

    def logs(self, **filters: Any) -> list[tuple[str | None, str]]:
        """Key and action of the log's lines, the oldest first."""
        with self.library.app.app_context(), as_tenant(self.library.id):
            page = queries.LOGS.page(limit=500, sort="at", **filters)
        return [(line["open_library_key"], line["action"]) for line in page["items"]]

    def books(self) -> dict[str, str]:
        """Titles of the tenant's books by key."""
        with self.library.app.app_context(), as_tenant(self.library.id):
            rows = db.session.execute(text("SELECT open_library_key, title FROM books ORDER BY open_library_key"))
            return {row.open_library_key: row.title for row in rows}


def work_all(app: Flask) -> int:
    """Play the worker until nothing is due; gives the number of pages."""
    with app.app_context():
        return service.work(seconds=60)


def work_once(app: Flask) -> int:
    """Play the worker for one page."""
    with app.app_context():
        return service.work(seconds=0.000_1)


def wait_until(claim: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask again and again until the answer is true; gives it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = claim()
        if answer:
            return answer
        time.sleep(0.05)
    pytest.fail(f"Not within {seconds} s: {what}")


@pytest.fixture
def desk(library: Library) -> Desk:
    """The tenant's ingestion."""
    return Desk(library)


@pytest.fixture
def other_desk(other_library: Library) -> Desk:
    """Another tenant's."""
    return Desk(other_library)


@pytest.fixture
def cursed_title(app: Flask, owner: Engine) -> Iterator[str]:
    """A title with which the database takes no book."""
    with owner.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse_book() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'cursed' USING ERRCODE = 'check_violation'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER refuse_book BEFORE INSERT ON books FOR EACH ROW WHEN (NEW.title = 'Cursed')"
                " EXECUTE FUNCTION refuse_book()"
            )
        )
    yield "Cursed"
    with owner.begin() as connection:
        connection.execute(text("DROP TRIGGER refuse_book ON books"))
        connection.execute(text("DROP FUNCTION refuse_book()"))
