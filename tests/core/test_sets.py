"""Many rows by one statement: values come through as they are, and only into the tenant's own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from app.core.clock import new_id
from app.core.database import transaction
from app.core.sets import inserting, lock_names, run, table_of, try_lock_name
from app.core.tenancy import NoTenant, tenant
from app.events.models import Event
from app.extensions import db
from tests.conftest import Library

EVENTS = table_of(Event)
SUBJECT = UUID("00000000-0000-7000-8000-000000000007")
NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
COLUMNS = ("id", "type", "level", "actor_kind", "subject_id", "data", "at")
ROW: dict[str, Any] = {
    "type": "test.set",
    "level": "info",
    "actor_kind": "system",
    "subject_id": None,
    "data": {},
    "at": NOON,
}


def test_values_of_every_kind_come_through(in_app: Flask, library: Library, owner: Engine) -> None:
    told = {"title": 'Ünï "quoted" \\u0041 {1,2}', "numbers": [1, 2.5, None], "is_kept": True}
    row = {**ROW, "id": new_id(), "subject_id": SUBJECT, "data": told}

    with tenant(library.id), transaction():
        run(inserting(EVENTS, *COLUMNS), [row])

    with owner.connect() as connection:
        found = connection.execute(text("SELECT * FROM events WHERE type = 'test.set'")).mappings().one()
    assert {name: found[name] for name in COLUMNS} == row
    assert found["tenant_id"] == library.id


def test_a_thousand_rows_are_the_statement_that_one_row_is(in_app: Flask, library: Library, owner: Engine) -> None:
    inserts: list[str] = []

    @event.listens_for(db.engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT"):
            inserts.append(statement)

    with tenant(library.id), transaction():
        for number in (1, 1000):
            run(inserting(EVENTS, *COLUMNS), [{**ROW, "id": new_id()} for _ in range(number)])
    event.remove(db.engine, "before_cursor_execute", note)

    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM events WHERE type = 'test.set'")) == 1001
    assert len(inserts) == 2
    assert inserts[0] == inserts[1]


def test_no_rows_are_written_outside_of_a_tenant(in_app: Flask) -> None:
    with pytest.raises(NoTenant):
        run(inserting(EVENTS, *COLUMNS), [{**ROW, "id": new_id()}])


@pytest.mark.parametrize(
    ("kind", "name", "owner_of_it", "waits"),
    [
        ("book", "a", "library", True),
        ("book", "b", "library", False),
        ("shelf", "a", "library", False),
        ("book", "a", "other_library", False),
    ],
)
def test_a_name_that_is_held_is_waited_for(
    app: Flask, library: Library, request: pytest.FixtureRequest, *, kind: str, name: str, owner_of_it: str, waits: bool
) -> None:
    whose: Library = request.getfixturevalue(owner_of_it)
    got = threading.Event()

    def take() -> None:
        with app.app_context(), tenant(whose.id), transaction():
            lock_names([name], kind=kind)
            got.set()

    other = threading.Thread(target=take)
    with app.app_context(), tenant(library.id), transaction():
        lock_names(["a"], kind="book")
        other.start()
        was_free = got.wait(0.5 if waits else 5)
    other.join(5)

    assert was_free is not waits
    assert got.is_set()


@pytest.mark.parametrize(("name", "is_got"), [("a", False), ("b", True)])
def test_a_name_that_somebody_holds_is_not_waited_for(app: Flask, library: Library, name: str, *, is_got: bool) -> None:
    got: list[bool] = []

    def take() -> None:
        with app.app_context(), tenant(library.id), transaction():
            got.append(try_lock_name(name, kind="book"))

    other = threading.Thread(target=take)
    with app.app_context(), tenant(library.id), transaction():
        assert try_lock_name("a", kind="book")
        other.start()
        other.join(5)

    assert got == [is_got]
