"""Questions asked by `rows`, outside of transactions and within."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest
from flask import Flask
from sqlalchemy import bindparam, select

from app.core.clock import new_id
from app.core.database import Question, compiled, rows, transaction
from app.core.errors import QuestionTooSlow
from app.core.tenancy import tenant
from app.events import service as events
from app.events.models import Event

EVENTS = compiled(
    select(Event.subject_id, Event.data).where(
        Event.tenant_id == bindparam("tenant_id"), Event.subject_id == bindparam("subject_id")
    )
)


def found(tenant_id: UUID, subject_id: UUID) -> bytes:
    return orjson.dumps(rows(EVENTS, {"tenant_id": tenant_id, "subject_id": subject_id}))


def test_a_question_within_a_transaction_sees_what_the_transaction_wrote(in_app: Flask) -> None:
    tenant_id, subject_id = new_id(), new_id()

    with tenant(tenant_id), transaction():
        events.record("book.updated", subject_id=subject_id, fields=["title"], version=2)
        within = found(tenant_id, subject_id)

    with tenant(tenant_id):
        outside = found(tenant_id, subject_id)
    assert orjson.loads(within) == [[str(subject_id), {"fields": ["title"], "version": 2}]]
    assert within == outside, "the same row must have the same bytes, or its ETag would change"


def test_a_question_within_a_transaction_is_asked_as_its_tenant(in_app: Flask) -> None:
    tenant_id, other_id, subject_id = new_id(), new_id(), new_id()
    with tenant(other_id):
        events.record("book.updated", subject_id=subject_id)

    with tenant(tenant_id), transaction():
        answer = found(other_id, subject_id)

    assert orjson.loads(answer) == []


def test_a_slow_question_within_a_transaction_is_given_up(in_app: Flask) -> None:
    sleep = Question("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)", {})

    with tenant(new_id()), pytest.raises(QuestionTooSlow), transaction():
        rows(sleep)
