"""The audit trail: written with the change it tells of, or not at all."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from app.core.database import transaction
from app.core.logging import fresh_log_context
from app.core.tenancy import NoTenant, tenant
from app.events import service
from app.events.models import EventLevel
from app.extensions import db
from tests.conftest import Library

SUBJECT = UUID("00000000-0000-7000-8000-000000000007")


def written(owner: Engine) -> list[dict[str, Any]]:
    """The events that the tests themselves recorded, the oldest first."""
    with owner.connect() as connection:
        found = connection.execute(text("SELECT * FROM events WHERE type LIKE 'test.%' ORDER BY id"))
        return [dict(row) for row in found.mappings()]


def test_an_event_tells_who_did_what_to_what(in_app: Flask, library: Library, owner: Engine) -> None:
    with tenant(library.id), fresh_log_context(request_id="r-1"):
        service.record("test.done", subject_id=SUBJECT, level=EventLevel.WARNING, books=3)

    [found] = written(owner)
    assert found.pop("id").version == 7
    assert found.pop("at").tzinfo
    assert found == {
        "tenant_id": library.id,
        "type": "test.done",
        "level": "warning",
        "actor_kind": "system",
        "actor_id": None,
        "subject_id": SUBJECT,
        "data": {"books": 3},
        "request_id": "r-1",
    }


def test_an_event_shares_the_fate_of_its_change(in_app: Flask, library: Library, owner: Engine) -> None:
    with tenant(library.id), suppress(ZeroDivisionError), transaction():
        service.record("test.undone")
        raise ZeroDivisionError

    assert written(owner) == []


def test_many_events_are_one_statement(in_app: Flask, library: Library, owner: Engine) -> None:
    inserts: list[str] = []

    @event.listens_for(db.engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "INSERT" in statement:
            inserts.append(statement)

    with tenant(library.id):
        service.record_many("test.many", [(None, {"number": number}) for number in range(500)])
        service.record_many("test.none", [])
    event.remove(db.engine, "before_cursor_execute", count)

    assert sorted(each["data"]["number"] for each in written(owner)) == list(range(500))
    assert len(inserts) == 1


def test_events_of_one_tenant_are_not_another_ones(
    in_app: Flask, library: Library, other_library: Library, owner: Engine
) -> None:
    for each in (library, other_library):
        with tenant(each.id):
            service.record("test.done")

    assert [found["tenant_id"] for found in written(owner)] == [library.id, other_library.id]


def test_outside_of_a_tenant_nothing_is_recorded(in_app: Flask) -> None:
    with pytest.raises(NoTenant):
        service.record("test.nowhere")


def test_the_caller_of_a_request_is_the_actor(library: Library, owner: Engine) -> None:
    made = library.post("/service-accounts", {"name": "x", "role": "lms"}, role="admin").get_json()
    me = library.get("/auth/me", role="admin").get_json()

    with owner.connect() as connection:
        question = text("SELECT actor_kind, actor_id::text FROM events WHERE subject_id = :id")
        assert tuple(connection.execute(question, {"id": made["id"]}).one()) == ("service_account", me["id"])
