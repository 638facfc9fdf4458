"""No question of circulation goes through a table, and nobody's own loans are looked for among everybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.circulation import queries
from app.circulation.queries import _IS_WAITED_FOR, _LOAN, _LOANS_OF, _POPULAR_EVER, _POPULAR_SINCE
from app.circulation.service.queues import _serving
from app.core.clock import utc_now
from app.core.database import Question, transaction
from app.core.pagination import Listing
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from tests.explained import nodes, plan_of, plan_of_command
from tests.large import app_over, assert_frugal

pytestmark = pytest.mark.timeout(300)

LARGE: Final = UUID("0193a000-0000-7000-8000-000000000031")
SMALL: Final = UUID("0193a000-0000-7000-8000-000000000032")
LOANS: Final = 100_000
MOST_BLOCKS: Final = 1_500
# Of what is asked for in another order than it is found in, an index is read to where the page is full.
MOST_BLOCKS_SEARCHING: Final = 5_000

FILLED: Final = (
    """
    INSERT INTO tenants (id, slug, name, kind, status, resync_interval_hours)
    VALUES (:tenant, :slug, :slug, 'library', 'active', 6)
    """,
    """
    INSERT INTO books (tenant_id, id, title, source, content_hash, sort_title)
    SELECT :tenant, md5(:slug || 'b' || n)::uuid, 'Title ' || n, 'manual', '', 'title ' || n
    FROM generate_series(1, :loans / 20) AS n
    """,
    "ANALYZE books",
    """
    INSERT INTO users (tenant_id, id, type, sealed_profile, key_id)
    SELECT :tenant, md5(:slug || 'r' || n)::uuid, 'reader', 'sealed', 'key' FROM generate_series(1, :loans / 20) AS n
    """,
    "ANALYZE users",
    "INSERT INTO readers (tenant_id, id) SELECT tenant_id, id FROM users WHERE tenant_id = :tenant",
    "ANALYZE readers",
    """
    INSERT INTO copies (tenant_id, id, book_id, barcode, status)
    SELECT :tenant, md5(:slug || 'c' || n)::uuid, md5(:slug || 'b' || n)::uuid, 'B-' || n,
        CASE WHEN n % 5 = 0 THEN 'on_loan' ELSE 'available' END
    FROM generate_series(1, :loans / 20) AS n
    """,
    "ANALYZE copies",
    # A year and more; a copy that is out has one that lasts.
    """
    INSERT INTO loans (tenant_id, id, book_id, copy_id, reader_id, borrowed_at, due_at, returned_at)
    SELECT :tenant, gen_random_uuid(), md5(:slug || 'b' || c)::uuid, md5(:slug || 'c' || c)::uuid,
        md5(:slug || 'r' || 1 + n % (:loans / 20))::uuid, t, t + interval '14 days',
        CASE WHEN c % 5 = 0 AND n > :loans * 19 / 20 THEN NULL ELSE t + interval '9 days' END
    FROM generate_series(1, :loans) AS n, LATERAL (
        SELECT 1 + (n * 7919::bigint) % (:loans / 20) AS c, now() - interval '400 days' * (:loans - n) / :loans AS t
    ) AS drawn
    """,
    """
    INSERT INTO holds (tenant_id, id, book_id, reader_id, placed_at)
    SELECT :tenant, gen_random_uuid(), md5(:slug || 'b' || 5 * (1 + n % (:loans / 100)))::uuid,
        md5(:slug || 'r' || n)::uuid, now() - n * interval '1 minute'
    FROM generate_series(1, :loans / 20) AS n
    """,
    # Of those that are over there are many more.
    """
    INSERT INTO holds (tenant_id, id, book_id, reader_id, status, placed_at, ended_at)
    SELECT :tenant, gen_random_uuid(), md5(:slug || 'b' || 1 + n % (:loans / 20))::uuid,
        md5(:slug || 'r' || 1 + n % (:loans / 20))::uuid, 'fulfilled', now() - interval '1 year', now()
    FROM generate_series(1, :loans / 2) AS n
    """,
    """
    UPDATE books SET times_borrowed = counted.loans
    FROM (SELECT book_id, count(*) AS loans FROM loans WHERE tenant_id = :tenant GROUP BY book_id) AS counted
    WHERE tenant_id = :tenant AND id = counted.book_id
    """,
)
TABLES: Final = ("books", "users", "readers", "copies", "loans", "holds")


@pytest.fixture(scope="module")
def large(migrated: dict[str, str], owner: Engine) -> Iterator[Flask]:
    with owner.begin() as connection:
        for tenant_id, slug, loans in ((LARGE, "large", LOANS), (SMALL, "small", 10_000)):
            values = {"tenant": str(tenant_id), "slug": slug, "loans": loans}
            connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), values)
            for statement in FILLED:
                connection.execute(text(statement), values)
    with app_over(migrated, owner, tables=TABLES) as app:
        yield app


@pytest.fixture
def in_large(large: Flask) -> Iterator[None]:
    with large.app_context(), as_tenant(LARGE):
        yield
        db.session.remove()


def one(table: str, condition: str = "true") -> UUID:
    """The id of a row of the large library."""
    found = db.session.scalar(
        text(f"SELECT id FROM {table} WHERE tenant_id = :id AND {condition} LIMIT 1"), {"id": LARGE}
    )
    assert isinstance(found, UUID)
    return found


def asked(names: str) -> dict[str, Any]:
    """Values for these filters."""
    known: dict[str, Callable[[], Any]] = {
        "seen_by": lambda: one("readers"),
        "reader_id": lambda: one("readers"),
        "book_id": lambda: one("books", "title = 'Title 5'"),
        "copy_id": lambda: one("copies"),
        "barcode": lambda: "B-7",
        "due_before": lambda: "2026-01-01 00:00Z",
        "status": lambda: "queued",
    }
    return {name: known[name]() if name in known else True for name in names.split()}


def pages(listing: Listing, names: str, sort: str) -> Iterator[tuple[Question, dict[str, Any]]]:
    """The first page so narrowed, and one further on."""
    chosen = asked(names)
    for position in ({}, {"after_key": "2026-06-01 00:00Z", "after_tie": str(LARGE)}):
        yield listing._page_sql(frozenset(chosen), sort, bool(position)).asked, {**chosen, **position}


OF_LOANS: Final = [
    "",
    "seen_by",
    "reader_id",
    "book_id",
    "copy_id",
    "barcode",
    "due_before",
    "active",
    "overdue",
    "returned",
    "seen_by active",
    "reader_id overdue",
    "book_id returned",
]


@pytest.mark.parametrize("names", OF_LOANS)
@pytest.mark.parametrize("sort", ["-borrowed_at", "due_at"])
def test_a_page_of_loans_touches_few_blocks(in_large: None, names: str, sort: str) -> None:
    most = MOST_BLOCKS_SEARCHING if names in ("active", "due_before") else MOST_BLOCKS
    for page, values in pages(queries.LOANS, names, sort):
        assert_frugal(plan_of(page, limit=51, **values), most=most)


@pytest.mark.parametrize("names", ["", "seen_by", "reader_id", "book_id", "status", "seen_by status", "book_id status"])
def test_a_page_of_holds_touches_few_blocks(in_large: None, names: str) -> None:
    for page, values in pages(queries.HOLDS, names, "placed_at"):
        assert_frugal(plan_of(page, limit=51, **values), most=MOST_BLOCKS)


def test_one_loan_is_found_by_its_key(in_large: None) -> None:
    loan = one("loans")

    assert_frugal(plan_of(_LOAN, loan_id=loan, seen_by=None, sees_all=True), most=30)
    assert_frugal(plan_of(_LOAN, loan_id=loan, seen_by=one("readers"), sees_all=False), most=40)


def test_what_somebody_has_borrowed_is_found_by_an_index(in_large: None) -> None:
    assert_frugal(plan_of(_LOANS_OF, user_id=one("readers")), most=MOST_BLOCKS)


def test_a_queue_is_found_by_the_index_of_those_who_wait(in_large: None) -> None:
    book = one("books", "title = 'Title 5'")

    # As commands ask, whose connections may go through tables.
    with transaction():
        assert_frugal(plan_of(_IS_WAITED_FOR, book_id=book), most=50)
        assert_frugal(plan_of_command(_serving(), of_book=book), most=500)


def test_what_is_popular_is_counted_from_an_index(in_large: None) -> None:
    month = plan_of(_POPULAR_SINCE, limit=10, since=utc_now() - timedelta(days=30))

    assert_frugal(month, most=MOST_BLOCKS)
    assert "ix_loans_borrowed_at" in [node.get("Index Name") for node in nodes(month)]
    assert_frugal(plan_of(_POPULAR_EVER, limit=10), most=200)
