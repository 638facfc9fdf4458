"""Questions asked by `rows`, outside of transactions and within."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest
from flask import Flask
from sqlalchemy import ColumnElement, bindparam, select, text
from sqlalchemy.ext.compiler import compiles

from app.core.clock import new_id
from app.core.database import Question, Shape, transaction
from app.core.errors import QuestionTooSlow
from app.core.tenancy import OWN_TENANT_ID, NoTenant, own, tenant
from app.events import service as events
from app.events.models import Event
from app.extensions import db
from app.tenants.models import PLATFORM_ID, Tenant

EVENTS = select(Event.subject_id, Event.data).where(Event.subject_id == bindparam("subject_id"))
OWN_EVENTS = Question(EVENTS.where(own(Event)))
OTHERS_EVENTS = Question(EVENTS.where(Event.tenant_id != OWN_TENANT_ID))


def found(subject_id: UUID) -> bytes:
    return orjson.dumps(OWN_EVENTS.all(subject_id=subject_id))


def test_a_question_within_a_transaction_sees_what_the_transaction_wrote(in_app: Flask) -> None:
    tenant_id, subject_id = new_id(), new_id()

    with tenant(tenant_id), transaction():
        events.record("book.updated", subject_id=subject_id, fields=["title"], version=2)
        within = found(subject_id)

    with tenant(tenant_id):
        outside = found(subject_id)
    assert orjson.loads(within) == [[str(subject_id), {"fields": ["title"], "version": 2}]]
    assert within == outside, "the same row must have the same bytes, or its ETag would change"


def test_a_question_within_a_transaction_is_asked_as_its_tenant(in_app: Flask) -> None:
    tenant_id, other_id, subject_id = new_id(), new_id(), new_id()
    with tenant(other_id):
        events.record("book.updated", subject_id=subject_id)

    with tenant(tenant_id), transaction():
        answer = OTHERS_EVENTS.all(subject_id=subject_id)

    assert answer == []


def test_a_slow_question_within_a_transaction_is_given_up(in_app: Flask) -> None:
    sleep = Question(text("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)"))

    with tenant(new_id()), pytest.raises(QuestionTooSlow), transaction():
        sleep.all()


# — the tenant of the moment ———————————————————————————————————————————————————————————————————————


def test_one_statement_is_about_the_tenant_in_which_it_is_executed(in_app: Flask) -> None:
    subject_id, tenants = new_id(), [new_id(), new_id()]
    for number, tenant_id in enumerate(tenants):
        with tenant(tenant_id):
            events.record("book.updated", subject_id=subject_id, number=number)
    entities = select(Event).where(own(Event), Event.subject_id == subject_id)

    asked, read = [], []
    for tenant_id in tenants:
        with tenant(tenant_id):
            asked.append(orjson.loads(found(subject_id)))
            read += [event.data for event in db.session.scalars(entities)]

    assert asked == [[[str(subject_id), {"number": 0}]], [[str(subject_id), {"number": 1}]]]
    assert read == [{"number": 0}, {"number": 1}]


def test_rows_of_a_tenant_are_not_asked_for_outside_of_any(in_app: Flask) -> None:
    with tenant(new_id()):
        assert OWN_EVENTS.all(subject_id=new_id()) == []

    with pytest.raises(NoTenant):
        OWN_EVENTS.all(subject_id=new_id())


# — what an answer looks like ——————————————————————————————————————————————————————————————————————


def test_an_answer_comes_as_rows_or_records_or_as_one_of_them(in_app: Flask) -> None:
    slugs = Question(select(*Shape(Tenant, "slug", "kind")).where(Tenant.slug == bindparam("slug")))

    assert slugs.all(slug="platform") == [("platform", "library")]
    assert slugs.one(slug="platform") == ("platform", "library")
    assert slugs.value(slug="platform") == "platform"
    assert slugs.records(slug="platform") == [{"slug": "platform", "kind": "library"}]
    assert slugs.record(slug="platform") == {"slug": "platform", "kind": "library"}


def test_nothing_found_is_nothing(in_app: Flask) -> None:
    ids = Question(select(Tenant.id).where(Tenant.slug == bindparam("slug")))

    assert ids.id(slug="platform") == PLATFORM_ID
    assert (ids.all(slug="nowhere"), ids.records(slug="nowhere")) == ([], [])
    assert [ids.one(slug="nowhere"), ids.value(slug="nowhere"), ids.id(slug="nowhere")] == [None] * 3
    assert ids.record(slug="nowhere") is None


def test_a_question_is_compiled_once(in_app: Flask) -> None:
    compiled = []

    class Counted(ColumnElement[int]):
        inherit_cache = False

    @compiles(Counted)
    def count(*_: Any, **__: Any) -> str:
        compiled.append(1)
        return "1"

    question = Question(select(Counted()))
    assert compiled == []

    assert [question.value(), question.value()] == [1, 1]
    assert compiled == [1]


def test_a_shape_says_of_an_entity_what_it_asks_of_its_row(in_app: Flask) -> None:
    shape = Shape(Tenant, "slug", "name")
    record = Question(select(*shape).where(Tenant.slug == "platform")).record()

    assert shape.of(db.session.get_one(Tenant, PLATFORM_ID)) == record
    assert list(record or {}) == ["slug", "name"]


def test_a_shape_of_columns_that_are_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="slugg"):
        Shape(Tenant, "slugg")
