"""No list of holdings goes through a table from end to end, and no plan for few rows is used for many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.holdings import queries, service
from app.holdings.queries.collections import _COLLECTION
from app.holdings.queries.items import _HELD, _ITEMS_OF, _STATISTICS
from bench.dataset import isbn13
from tests.explained import nodes, plan_of
from tests.holdings.recount import wrong_counts
from tests.large import app_over, assert_frugal

pytestmark = pytest.mark.timeout(300)

LARGE: Final = UUID("0193a000-0000-7000-8000-000000000021")
SMALL: Final = UUID("0193a000-0000-7000-8000-000000000022")
MAIN: Final = UUID("0193a000-0000-7000-8000-000000000023")
READER: Final = UUID("0193a000-0000-7000-8000-000000000024")
BOOKS: Final = 60_000
# A page of 50, each item with the look-ups of its edition and its book.
MOST_BLOCKS: Final = 2_000
# The words of the search first, whose books are looked up one by one.
MOST_BLOCKS_SEARCHING: Final = 20_000

ISBN: Final = "978' || lpad(n::text, 10, '0')"
# What refers to a table is filled after that table is analysed, or each row's check would read it through.
FILLED: Final = (
    """
    INSERT INTO tenants (id, slug, name, kind, status, resync_interval_hours)
    VALUES (:tenant, :slug, :slug, 'library', 'active', 6)
    """,
    """
    INSERT INTO books (tenant_id, id, title, source, content_hash, sort_title, labels, created_at)
    SELECT :tenant, md5(:slug || n)::uuid, 'Title ' || n, 'manual', '', 'title ' || n,
        CASE WHEN n % 10 = 0 THEN '{}'::jsonb END, timestamptz '2026-01-01 00:00Z' + n * interval '1 second'
    FROM generate_series(1, :books) AS n
    """,
    "ANALYZE books",
    f"""
    INSERT INTO editions (tenant_id, id, book_id, isbn)
    SELECT :tenant, gen_random_uuid(), md5(:slug || n)::uuid, '{ISBN}
    FROM generate_series(1, :books) AS n WHERE n % 20 <> 0
    """,
    """
    INSERT INTO book_search (tenant_id, book_id, title_words, vector)
    SELECT :tenant, md5(:slug || n)::uuid, 2, search_vector(k, 'title n' || n % 500, 'A')
    FROM generate_series(1, :books) AS n, search_key(:tenant) AS k
    """,
    """
    INSERT INTO users (tenant_id, id, type, sealed_profile, key_id)
    SELECT :tenant, CASE WHEN n = 1 AND :slug = 'large' THEN :reader ELSE gen_random_uuid() END, 'reader', 'sealed',
        'key'
    FROM generate_series(1, :books / 3) AS n
    """,
    "ANALYZE users",
    "INSERT INTO readers (tenant_id, id) SELECT tenant_id, id FROM users WHERE tenant_id = :tenant",
    "ANALYZE readers",
    # Everybody has a collection at home, newer than all of the library's.
    """
    INSERT INTO collections (tenant_id, id, name, owner_id, created_at)
    SELECT tenant_id, gen_random_uuid(), 'At home', id, timestamptz '2026-02-01 00:00Z'
    FROM users WHERE tenant_id = :tenant
    """,
    """
    INSERT INTO collections (tenant_id, id, name, created_at)
    SELECT :tenant, CASE WHEN n = 1 AND :slug = 'large' THEN :main ELSE gen_random_uuid() END, 'Branch ' || n,
        timestamptz '2026-01-01 00:00Z'
    FROM generate_series(1, 60) AS n
    """,
    "ANALYZE collections",
    f"""
    INSERT INTO collection_items (tenant_id, collection_id, isbn, is_owned, copies_total, copies_available)
    SELECT :tenant, id, '{ISBN}, false, 1 + n % 3, CASE WHEN n % 100 = 0 THEN 0 ELSE 1 END
    FROM (SELECT id FROM collections WHERE tenant_id = :tenant AND owner_id IS NULL ORDER BY id LIMIT 1) AS main,
        generate_series(1, :books) AS n
    """,
    f"""
    INSERT INTO collection_items (tenant_id, collection_id, isbn, is_owned, copies_total, copies_available)
    SELECT :tenant, id, '{ISBN}, true, 1, 1
    FROM (SELECT id FROM collections WHERE tenant_id = :tenant AND owner_id IS NOT NULL LIMIT 2000) AS own,
        generate_series(1, 20) AS n
    """,
)
TABLES: Final = ("books", "editions", "book_search", "users", "readers", "collections", "collection_items")


@pytest.fixture(scope="module")
def large(migrated: dict[str, str], owner: Engine) -> Iterator[Flask]:
    with owner.begin() as connection:
        for tenant_id, slug, books in ((LARGE, "large", BOOKS), (SMALL, "small", 3_000)):
            values = {"tenant": str(tenant_id), "slug": slug, "books": books, "main": str(MAIN), "reader": str(READER)}
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


COLLECTIONS: Final[list[dict[str, Any]]] = [
    {},
    {"seen_by": READER},
    {"owner_id": READER},
    {"owner_id": READER, "seen_by": READER},
    {"owner_id": LARGE},
]


@pytest.mark.parametrize("asked", COLLECTIONS, ids=",".join)
@pytest.mark.parametrize(
    ("sort", "after"), [("-created_at", "2026-01-15 00:00Z"), ("created_at", "2026-01-15 00:00Z"), ("name", "B")]
)
def test_a_page_of_collections_touches_few_blocks(in_large: None, asked: dict[str, Any], sort: str, after: str) -> None:
    for position in ({}, {"after_key": after, "after_tie": str(LARGE)}):
        page = queries.COLLECTIONS._page_sql(frozenset(asked), sort, bool(position)).asked

        assert_frugal(plan_of(page, limit=51, **asked, **position), most=MOST_BLOCKS)


@pytest.mark.parametrize("asked", COLLECTIONS, ids=",".join)
def test_a_total_of_collections_scans_no_table(in_large: None, asked: dict[str, Any]) -> None:
    plan = plan_of(queries.COLLECTIONS._count_sql(frozenset(asked)), **asked)

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


def test_one_collection_is_found_by_its_key(in_large: None) -> None:
    assert_frugal(plan_of(_COLLECTION, id=MAIN, actor_id=READER, sees_all=False), most=30)


ITEMS: Final[list[tuple[dict[str, Any], int]]] = [
    ({}, MOST_BLOCKS),
    ({"available": True}, MOST_BLOCKS),
    # One in a hundred: of 60 000 items, a tenth is gone through for a page.
    ({"unavailable": True}, MOST_BLOCKS),
    ({"isbn": "9780000000077"}, MOST_BLOCKS),
    ({"isbn": "9780000999999"}, MOST_BLOCKS),
    ({"book_id": LARGE}, MOST_BLOCKS),
    ({"words": ["n77"]}, MOST_BLOCKS_SEARCHING),
    ({"words": ["nothing"]}, MOST_BLOCKS),
    ({"words": ["n77"], "available": True}, MOST_BLOCKS_SEARCHING),
]


@pytest.mark.parametrize(("asked", "most"), ITEMS, ids=str)
def test_a_page_of_items_touches_few_blocks(in_large: None, asked: dict[str, Any], most: int) -> None:
    chosen = {"collection_id": main(), **asked}
    for position in ({}, {"after_key": "9780000030000", "after_tie": "9780000030000"}):
        page = queries.ITEMS._page_sql(frozenset(chosen), "isbn", bool(position)).asked

        assert_frugal(plan_of(page, limit=51, **chosen, **position), most=most)


@pytest.mark.parametrize(("asked", "most"), ITEMS, ids=str)
def test_a_total_of_items_scans_no_table(in_large: None, asked: dict[str, Any], most: int) -> None:
    chosen = {"collection_id": main(), **asked}
    plan = plan_of(queries.ITEMS._count_sql(frozenset(chosen)), **chosen)

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


def main() -> UUID:
    """The collection with everything in it."""
    found = db.session.scalar(
        text("SELECT id FROM collections WHERE tenant_id = :id AND owner_id IS NULL ORDER BY id LIMIT 1"), {"id": LARGE}
    )
    assert isinstance(found, UUID)
    return found


def test_what_is_held_of_fifty_books_is_found_by_keys(in_large: None) -> None:
    book_ids = list(
        db.session.scalars(text("SELECT id FROM books WHERE tenant_id = :id ORDER BY id LIMIT 50"), {"id": LARGE})
    )

    assert_frugal(plan_of(_HELD, collection_id=main(), book_ids=book_ids), most=MOST_BLOCKS)


def test_what_is_somebodys_own_is_found_by_keys(in_large: None) -> None:
    assert_frugal(plan_of(_ITEMS_OF, user_id=READER), most=100)


def test_the_statistics_of_a_small_collection_do_not_read_the_others(in_large: None) -> None:
    question = "SELECT id FROM collections WHERE tenant_id = :id AND owner_id IS NOT NULL LIMIT 1"
    small = db.session.scalar(text(question), {"id": LARGE})

    assert_frugal(plan_of(_STATISTICS, collection_id=small), most=MOST_BLOCKS)


def test_the_statistics_of_a_large_one_are_found_in_time(in_large: None) -> None:
    plan = plan_of(_STATISTICS, collection_id=main())

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert plan["Actual Total Time"] < 2_000


# — writing ————————————————————————————————————————————————————————————————————————————————————————

NEWCOMER: Final = UUID("0193a000-0000-7000-8000-000000000025")
MANY: Final = 20_000


def test_a_tenant_that_statistics_do_not_know_is_synchronised_in_time(large: Flask, owner: Engine) -> None:
    """Where a plan made for a few rows went through twenty thousand for each of twenty thousand, minutes would pass."""
    values = {"tenant": str(NEWCOMER), "slug": "newcomer", "books": MANY, "main": str(MAIN), "reader": str(READER)}
    with owner.begin() as connection:
        connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), values)
        for statement in FILLED[:2]:
            connection.execute(text(statement), values)
        connection.exec_driver_sql(
            "CREATE TEMP TABLE known ON COMMIT DROP AS"
            " SELECT unnest(%(isbns)s) AS isbn, generate_series(1, %(many)s) AS n",
            {"isbns": [isbn13(number) for number in range(MANY)], "many": MANY},
        )
        connection.execute(
            text(
                "INSERT INTO editions (tenant_id, id, book_id, isbn)"
                " SELECT :tenant, gen_random_uuid(), md5(:slug || n)::uuid, isbn FROM known"
            ),
            values,
        )
    with large.app_context(), as_tenant(NEWCOMER):
        collection = service.create_collection(name="Main branch")
        took = []
        for total in (1, 2, 2):
            rows = [{"isbn": isbn13(number), "copies_total": total} for number in range(MANY)]
            began = time.monotonic()
            service.replace_items(collection, rows)
            took.append(time.monotonic() - began)
        began = time.monotonic()
        service.replace_items(collection, [])
        took.append(time.monotonic() - began)
        db.session.remove()

    assert max(took) < 10, took
    assert not wrong_counts(owner)
