"""Nothing that reads the audit trail goes through it from end to end, with 100 000 events in it.

The proof is the blocks that a statement touches, which would be thousands if a table or an index were read through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.database import transaction
from app.core.tenancy import tenant
from app.events import queries
from app.events.service import sealing
from app.extensions import db
from tests.explained import nodes, plan_of
from tests.large import app_over

EVENTS: Final = 100_000
UNSEALED: Final = 100
LARGE: Final = UUID("0193a000-0000-7000-8000-000000000001")
SMALL: Final = UUID("0193a000-0000-7000-8000-000000000002")
TABLES: Final = ("events", "event_seals", "unsealed_events")
# All events of a rare kind, which are sorted for its page, may lie in a block each. The table has more than 2 000.
MOST_BLOCKS: Final = 800
# Totals are exact up to 10 000.
MOST_BLOCKS_OF_A_TOTAL: Final = 2_000

# Nine of ten are of three types; one of ten thousand is an error.
FILLED: Final = (
    """
    INSERT INTO events (tenant_id, id, type, level, actor_kind, actor_id, subject_id, data, at)
    SELECT :tenant, ('0193a000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        CASE WHEN n % 10000 = 77 THEN 'mail.given_up' WHEN n % 10 = 7 THEN 'kind_' || n % 200 || '.happened'
            ELSE (ARRAY['book.created', 'book.updated', 'ingestion_job.requested'])[1 + n % 3] END,
        CASE WHEN n % 10000 = 77 THEN 'error' ELSE 'info' END, 'user', md5((n % 500)::text)::uuid,
        md5((n % 20000)::text)::uuid, '{}', timestamptz '2026-01-01 00:00Z' + n * interval '7 seconds'
    FROM generate_series(1, :events) AS n
    """,
    """
    INSERT INTO event_seals (tenant_id, position, event_id, hash)
    SELECT tenant_id, row_number() OVER (ORDER BY id), id, '' FROM events
    WHERE tenant_id = :tenant ORDER BY id LIMIT :events - 100
    """,
    """
    INSERT INTO unsealed_events (tenant_id, event_id)
    SELECT tenant_id, id FROM events WHERE tenant_id = :tenant ORDER BY id DESC LIMIT 100
    """,
)


@pytest.fixture(scope="module")
def filled(migrated: dict[str, str], owner: Engine) -> Iterator[Flask]:
    """The app over a trail of 100 000 events, all but 100 of them sealed, beside a short one."""
    with owner.begin() as connection:
        for tenant_id, events in ((LARGE, EVENTS), (SMALL, 2_000)):
            for statement in FILLED:
                connection.execute(text(statement), {"tenant": tenant_id, "events": events})
    with app_over(migrated, owner, tables=TABLES) as app:
        yield app


@pytest.fixture
def in_large(filled: Flask) -> Iterator[None]:
    """The app's context and the tenant of the long trail, entered."""
    with filled.app_context(), tenant(LARGE):
        yield
        db.session.remove()


def scanned(plan: dict[str, Any]) -> list[str]:
    """The tables that are read through."""
    return [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


def blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


# — the list ———————————————————————————————————————————————————————————————————————————————————————

FILTERS: Final[list[dict[str, str]]] = [
    {},
    {"type": "book.updated"},
    {"type": "mail.given_up"},
    {"type": "nothing.happened"},
    {"type": "book.*"},
    {"type": "mail.*"},
    {"type": "kind_1*"},
    {"type": "kind_17.*"},
    {"type": "nothing.*"},
    {"level": "info"},
    {"level": "warning"},
    {"level": "error"},
    {"actor_id": "cfcd2084-95d5-65ef-66e7-dff9f98764da"},
    {"actor_id": "00000000-0000-7000-8000-000000000007"},
    {"subject_id": "cfcd2084-95d5-65ef-66e7-dff9f98764da"},
    {"subject_id": "00000000-0000-7000-8000-000000000007"},
    {"since": "2026-01-05T00:00:00Z"},
    {"until": "2026-01-05T00:00:00Z"},
    {"since": "2026-01-05T00:00:00Z", "until": "2026-01-05T00:01:00Z"},
    {"since": "2027-01-01T00:00:00Z"},
    {"type": "book.*", "level": "error"},
    {"type": "book.*", "subject_id": "cfcd2084-95d5-65ef-66e7-dff9f98764da"},
    {"type": "book.updated", "since": "2026-01-05T00:00:00Z"},
]
# Where in the list the second page begins.
MIDDLE: Final = {"after_key": "2026-01-05T00:00:00Z", "after_tie": "0193a000-0000-7000-8000-00000000c0a5"}


@pytest.mark.parametrize("asked", FILTERS, ids=str)
@pytest.mark.parametrize("sort", ["-at", "at"])
def test_a_page_touches_few_blocks_whatever_is_asked_for(in_large: None, asked: dict[str, str], sort: str) -> None:
    chosen = queries.narrowed_by(asked)
    for position in ({}, MIDDLE):
        question = queries.EVENTS._page_sql(frozenset(chosen), sort, bool(position)).asked

        plan = plan_of(question, limit=51, **chosen, **position)

        assert scanned(plan) == []
        assert blocks(plan) < MOST_BLOCKS, (blocks(plan), indexes(plan))


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_so_does_the_total(in_large: None, asked: dict[str, str]) -> None:
    chosen = queries.narrowed_by(asked)

    plan = plan_of(queries.EVENTS._count_sql(frozenset(chosen)), **chosen)

    assert scanned(plan) == []
    assert blocks(plan) < MOST_BLOCKS_OF_A_TOTAL, (blocks(plan), indexes(plan))


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({}, "ix_events_at"),
        ({"since": "2026-01-05T00:00:00Z"}, "ix_events_at"),
        ({"until": "2026-01-05T00:00:00Z"}, "ix_events_at"),
        ({"type": "mail.given_up"}, "ix_events_type"),
        ({"type": "mail.*"}, "ix_events_type"),
        ({"level": "error"}, "ix_events_level"),
        ({"actor_id": "cfcd2084-95d5-65ef-66e7-dff9f98764da"}, "ix_events_actor"),
        ({"subject_id": "cfcd2084-95d5-65ef-66e7-dff9f98764da"}, "ix_events_subject"),
    ],
    ids=str,
)
def test_each_filter_has_its_index(in_large: None, asked: dict[str, str], index: str) -> None:
    chosen = queries.narrowed_by(asked)
    question = queries.EVENTS._page_sql(frozenset(chosen), "-at", False).asked

    assert indexes(plan_of(question, limit=51, **chosen)) == {index}


def test_the_filters_find_what_they_should(in_large: None) -> None:
    def total(**asked: str) -> tuple[int, str]:
        page = queries.EVENTS.page(limit=1, **queries.narrowed_by(asked))
        return page["total"], page["total_relation"]

    assert total() == (10_000, "gte")
    assert total(type="mail.*") == total(level="error") == (10, "eq")
    assert total(type="kind_17.*") == (500, "eq")
    assert total(subject_id="cfcd2084-95d5-65ef-66e7-dff9f98764da") == (5, "eq")


def test_types_that_begin_alike_stand_together_whatever_the_databases_language(filled: Flask, owner: Engine) -> None:
    with owner.connect() as connection:
        collation = connection.scalar(
            text(
                "SELECT collname FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation"
                " WHERE attrelid = 'events'::regclass AND attname = 'type'"
            )
        )

    assert collation == "C"


# — the chain ——————————————————————————————————————————————————————————————————————————————————————


def test_the_sealer_reads_the_queue_and_nothing_that_is_sealed(in_large: None) -> None:
    with transaction():
        newest = plan_of(queries._NEWEST_SEAL)
        queued = plan_of(queries._UNSEALED_EVENTS, after=UUID(int=0), limit=sealing.BATCH)

    assert newest["Actual Rows"] == 1
    assert blocks(newest) < 10
    assert queued["Actual Rows"] == UNSEALED
    assert blocks(queued) < 10 * UNSEALED


def test_the_tenants_with_unsealed_events_are_found_by_a_look_for_each(in_large: None) -> None:
    assert queries.tenants_with_unsealed_events() == [LARGE, SMALL]
    assert blocks(plan_of(queries._NEXT_TENANT, after=UUID(int=0))) < 10


@pytest.mark.parametrize("part", ["chain", "events"])
def test_verifying_a_part_in_the_middle_reads_that_part_alone(in_large: None, part: str) -> None:
    if part == "chain":
        plan = plan_of(queries._SEALED_EVENTS, after=50_000, until=EVENTS, limit=1000)
    else:
        plan = plan_of(queries._PLACES, after=UUID("0193a000-0000-7000-8000-00000000c350"), limit=1000)

    assert scanned(plan) == []
    assert plan["Actual Rows"] == 1000
    assert blocks(plan) < 10_000
