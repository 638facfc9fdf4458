"""Nothing that reads the catalogue goes through a table from end to end, with 100 000 books in the library.

Two proofs: PostgreSQL's own count of sequential scans, which sees into functions as well, and the blocks that a
statement touches, which would be thousands if an index were read through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.catalog import queries
from app.catalog.queries import Facet, narrowed_by
from app.catalog.queries.search import _question
from app.core.database import READS
from app.core.tenancy import tenant
from app.extensions import db
from tests.explained import explained
from tests.large import app_over

# A hundred thousand books are written first, which a busy machine takes minutes for.
pytestmark = pytest.mark.timeout(400)

BOOKS: Final = 100_000
LARGE: Final = UUID("0193a000-0000-7000-8000-000000000001")
SMALL: Final = UUID("0193a000-0000-7000-8000-000000000002")
TABLES: Final = (
    "books", "book_terms", "book_search", "editions", "authors", "book_authors", "book_versions", "book_aliases",
    "search_words", "search_deletions",
)  # fmt: skip
# A page of 20 with the look-ups that its filters take. To read through an index takes ten times as many at least: each
# of 100 000 books is three or four to look up.
MOST_BLOCKS: Final = 5_000

# 27 000 words of three syllables, the low numbers far oftener than the high ones, as in any language.
WORDS: Final = """
CREATE TEMP TABLE word ON COMMIT DROP AS
SELECT k, s[1 + k % 30] || s[1 + k / 30 % 30] || s[1 + k / 900 % 30] AS word
FROM generate_series(0, 26999) AS k, (VALUES (string_to_array(
    'ba ke lor min tra ven dis con per el ta ri so mar gen lin ster fo ny qua wil har pot ter sel ga bri ou chi man',
    ' '))) AS syllables (s)
"""
DRAWN: Final = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS edition_id, w, array_to_string(w[1:2 + n % 4], ' ') AS title,
    w[7] || ' ' || w[8] || n % 20000 AS author, 'OL' || n % 20000 + 1 || 'A' AS author_key,
    (ARRAY['eng', 'eng', 'eng', 'fre', 'ger', 'dut', 'spa'])[1 + n % 7] AS language, 1900 + n % 125 AS year,
    (ARRAY['fantasy', 'history', 'fiction', 'science'])[1 + n % 4] AS subject, '978' || lpad(n::text, 10, '0') AS isbn,
    timestamptz '2026-01-01 00:00Z' + n * interval '7 seconds' AS at
FROM (
    SELECT n, array_agg(word) AS w
    FROM (
        SELECT n, floor(27000 * power(random(), 3))::int AS k
        FROM generate_series(1, :books) AS n, generate_series(1, 10)
    ) AS drawn
    JOIN word USING (k)
    GROUP BY n
) AS words (n, w)
"""
FILLED: Final = (
    """
    INSERT INTO books (tenant_id, id, title, authors, first_publish_year, subjects, languages, isbns, cover_id,
        open_library_key, upstream_status, source, listed_total, listed_available, times_borrowed, content_hash,
        sort_title, created_at, updated_at)
    SELECT :tenant, id, title, jsonb_build_array(jsonb_build_object('name', author, 'open_library_key', author_key)),
        year, ARRAY[w[9], subject], ARRAY[language], ARRAY[isbn], n, 'OL' || n || 'W', 'live',
        CASE WHEN n % 5000 = 0 THEN 'manual' ELSE 'open_library' END, 1, CASE WHEN n % 2000 = 0 THEN 1 ELSE 0 END,
        n % 50, '', title, at, at
    FROM made
    """,
    # What a session once planned for the check of a foreign key over a nearly empty table, it would go by for every
    # row: reading the table through, 100 000 times.
    "ANALYZE books",
    """
    INSERT INTO book_terms (tenant_id, kind, term, book_id, display)
    SELECT :tenant, kind, lower(term), id, term
    FROM made, LATERAL (VALUES ('author', author), ('author_key', author_key), ('language', language), ('isbn', isbn),
        ('subject', subject), ('subject', w[9])) AS v (kind, term)
    """,
    """
    INSERT INTO book_search (tenant_id, book_id, title_words, vector)
    SELECT :tenant, id, 2 + n % 4, search_vector(k, title, 'A') || search_vector(k, author, 'B')
        || search_vector(k, w[9] || ' ' || subject, 'C')
    FROM made, search_key(:tenant) AS k
    """,
    """
    INSERT INTO editions (tenant_id, id, book_id, isbn) SELECT :tenant, edition_id, id, isbn FROM made
    """,
    """
    INSERT INTO authors (tenant_id, id, name, sort_name, open_library_key)
    SELECT DISTINCT ON (author_key) :tenant, md5(author_key || :tenant)::uuid, author, author, author_key FROM made
    """,
    "ANALYZE authors",
    """
    INSERT INTO book_authors (tenant_id, book_id, position, author_id)
    SELECT :tenant, id, 0, md5(author_key || :tenant)::uuid FROM made
    """,
    """
    INSERT INTO book_versions (tenant_id, book_id, number, origin, changed_fields, snapshot, content_hash, actor_kind)
    SELECT :tenant, id, 1, 'open_library', '{}', '{}', '', 'system' FROM made
    """,
    """
    INSERT INTO book_aliases (tenant_id, alias, book_id)
    SELECT :tenant, 'OL9' || n || 'W', id FROM made WHERE n % 10 = 0
    """,
    "DROP TABLE made",
)
DICTIONARY: Final = (
    "INSERT INTO search_words SELECT word FROM word",
    "INSERT INTO search_deletions SELECT one_letter_less(word), word FROM word",
)


@dataclass
class Large:
    """A library of 100 000 books beside a small one, and the app over them."""

    app: Flask
    owner: Engine


@pytest.fixture(scope="module")
def large(migrated: dict[str, str], owner: Engine) -> Iterator[Large]:
    """Filled as the owner, set by set, which takes some twenty seconds."""
    with owner.begin() as connection:
        connection.execute(text("SELECT setseed(0.25)"))
        connection.execute(text(WORDS))
        for tenant_id, slug, books in ((LARGE, "large", BOOKS), (SMALL, "small", 2_000)):
            values = {"tenant": str(tenant_id), "slug": slug, "books": books}
            connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), values)
            connection.execute(
                text(
                    "INSERT INTO tenants (id, slug, name, kind, status, resync_interval_hours)"
                    " VALUES (:tenant, :slug, :slug, 'library', 'active', 6)"
                ),
                values,
            )
            for statement in (DRAWN, *FILLED):
                connection.execute(text(statement), values)
        for statement in DICTIONARY:
            connection.execute(text(statement))
    with app_over(migrated, owner, tables=TABLES) as app:
        yield Large(app, owner)


@pytest.fixture
def in_large(large: Large) -> Iterator[Large]:
    """The app, with its context and the large library entered."""
    with large.app.app_context(), tenant(LARGE):
        yield large
        db.session.remove()


# — what is asked ——————————————————————————————————————————————————————————————————————————————————

FILTERS: Final[list[dict[str, Any]]] = [
    {},
    {"author": ["OL77A"]},
    {"subject": ["fantasy"]},
    {"subject": ["bababa"]},
    {"subject": ["chimanman"]},
    {"subject": ["nothing of the kind"]},
    {"language": ["eng"]},
    {"language": ["ger", "fre"]},
    {"subject": ["fantasy"], "language": ["ger"]},
    {"isbn": ["9780000000077"]},
    {"year_from": 1950, "year_to": 1951},
    {"year_from": 2030},
    {"available": True},
    {"available": False},
    {"source": ["manual"]},
    {"source": ["open_library"]},
    {"source": ["import"]},
    {"label": ["inspiring"]},
    {"subject": ["fantasy"], "available": True},
]
SEARCHES: Final = [
    "bababa", "bababa kebaba", "kebaba lorbaba", "kebaba lorbba", "lorbba", "chimanmn", "chi", "wil", "fantasy",
    "fantasy bababa", "qqqqqqqq", "bababa nothing", "of the",
]  # fmt: skip
# The commonest words are in too many books for a bound on blocks; that no table is scanned is proved for them as well.
RARE_SEARCHES: Final = ["kebaba lorbaba", "kebaba lorbba", "chimanmn", "qqqqqqqq", "of the"]


def page(sort: str = "-created_at", cursor: str | None = None, **asked: Any) -> dict[str, Any]:
    """A page of the list of books."""
    return queries.BOOKS.page(limit=20, sort=sort, cursor=cursor, **narrowed_by(asked))


def far_on(sort: str, **asked: Any) -> str:
    """A cursor some hundreds of rows into the list."""
    cursor: str | None = queries.BOOKS.page(limit=500, sort=sort, **narrowed_by(asked))["next_cursor"]
    assert cursor
    return cursor


# — proofs —————————————————————————————————————————————————————————————————————————————————————————


@contextmanager
def no_table_scanned(large: Large) -> Iterator[None]:
    """Fails when a sequential scan of any of the tables began within the block."""
    before = scans(large)
    yield
    # The counts of a connection are complete when it is closed.
    db.engines[READS].dispose()
    deadline = time.monotonic() + 10
    while connections(large) and time.monotonic() < deadline:
        time.sleep(0.02)
    after = scans(large)
    assert {table: after[table] - before[table] for table in TABLES if after[table] != before[table]} == {}


def scans(large: Large) -> dict[str, int]:
    with large.owner.connect() as connection:
        found = connection.execute(text("SELECT relname, seq_scan FROM pg_stat_user_tables"))
        return {row.relname: row.seq_scan for row in found}


def connections(large: Large) -> int:
    with large.owner.connect() as connection:
        found: int = connection.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND datname = current_database()")
        )
        return found


def plan_of(question: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The plan of a question, run as the application's role behind row-level security."""
    answer = explained(question, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)").value(**{"limit": 21, **parameters})
    plan: dict[str, Any] = orjson.loads(orjson.dumps(answer))[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def list_plan(sort: str, asked: dict[str, Any], after: tuple[Any, Any] | None = None) -> dict[str, Any]:
    narrowed = narrowed_by(asked)
    question = queries.BOOKS._page_sql(frozenset(narrowed), sort, after is not None).asked
    position = {"after_key": after[0], "after_tie": after[1]} if after else {}
    return plan_of(question, {**narrowed, **position})


# — lists ——————————————————————————————————————————————————————————————————————————————————————————


def test_no_list_scans_a_table(in_large: Large) -> None:
    with no_table_scanned(in_large):
        for sort in queries.BOOKS.sort_names:
            for asked in FILTERS:
                page(sort, **asked)
            page(sort, cursor=far_on(sort))
            page(sort, cursor=far_on(sort, language=["eng"]), language=["eng"])


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_a_filtered_page_touches_few_blocks(in_large: Large, asked: dict[str, Any]) -> None:
    for sort in ("-created_at", "title", "first_publish_year", "times_borrowed"):
        plan = list_plan(sort, asked)

        assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
        assert blocks(plan) < MOST_BLOCKS, (sort, blocks(plan))


@pytest.mark.parametrize(
    ("sort", "after", "index"),
    [
        ("-created_at", "2026-01-04 00:00Z", "ix_books_created_at"),
        ("created_at", "2026-01-04 00:00Z", "ix_books_created_at"),
        ("title", "lorbaba", "ix_books_sort_title"),
        ("-title", "lorbaba", "ix_books_sort_title"),
        ("first_publish_year", 1960, "ix_books_sort_year"),
        ("-times_borrowed", 25, "ix_books_times_borrowed"),
    ],
)
def test_a_page_in_the_middle_costs_what_the_first_one_costs(
    in_large: Large, sort: str, after: Any, index: str
) -> None:
    first, middle = list_plan(sort, {}), list_plan(sort, {}, (after, str(LARGE)))

    for plan in (first, middle):
        assert {node.get("Index Name") for node in nodes(plan)} - {None} == {index}
        assert blocks(plan) < 100


def test_the_total_of_a_long_list_says_that_there_are_more(in_large: Large) -> None:
    everything, english, none = page(), page(language=["eng"]), page(source=["import"])

    assert (everything["total"], everything["total_relation"]) == (10_000, "gte")
    assert (english["total"], english["total_relation"]) == (10_000, "gte")
    assert (none["total"], none["total_relation"]) == (0, "eq")
    assert page(available=True)["total"] == BOOKS // 2000


# — search —————————————————————————————————————————————————————————————————————————————————————————


def search(q: str, *, facets: tuple[Facet, ...] = (), cursor: str | None = None, **asked: Any) -> dict[str, Any]:
    return queries.search(q, limit=20, cursor=cursor, facets=facets, narrowed=narrowed_by(asked))


def test_no_search_scans_a_table(in_large: Large) -> None:
    with no_table_scanned(in_large):
        for q in SEARCHES:
            search(q)
            search(q, language=["eng"], year_from=1950)
        search("kebaba lorbaba", facets=tuple(Facet))
        search("bababa", cursor=search("bababa")["next_cursor"])


def test_the_searches_find_what_they_should(in_large: Large) -> None:
    exact, mistyped = search("kebaba lorbaba"), search("kebaba lorbba")

    assert 0 < exact["total"] < 10_000
    assert exact["total"] == mistyped["total"]
    assert (search("bababa")["total"], search("bababa")["total_relation"]) == (10_000, "gte")
    assert search("qqqqqqqq")["total"] == 0


@pytest.mark.parametrize("q", RARE_SEARCHES)
def test_a_search_for_rarer_words_touches_few_blocks(in_large: Large, q: str) -> None:
    words = q.split()

    plan = plan_of(search_question(), {"words": words, "last_is_prefix": True, "at_most": 10_001})

    assert blocks(plan) < MOST_BLOCKS, blocks(plan)


def search_question() -> Any:
    return _question(frozenset(), (), after=False)


# — one thing ——————————————————————————————————————————————————————————————————————————————————————


def one_book() -> UUID:
    return UUID(page(isbn=["9780000000077"])["items"][0]["id"])


def test_nothing_that_shows_one_thing_scans_a_table(in_large: Large) -> None:
    book_id = one_book()
    asked: list[Callable[[], Any]] = [
        lambda: queries.book(book_id),
        lambda: queries.holder_of("9780000000077"),
        lambda: queries.cover_address(book_id, size="S"),
        lambda: queries.survivor_of(book_id),
        lambda: queries.author(UUID(queries.AUTHORS.page(limit=1)["items"][0]["id"])),
    ]

    with no_table_scanned(in_large):
        for ask in asked:
            ask()

    assert queries.holder_of("9780000000077") == book_id
    assert queries.holder_of("9780000999999") is None


def test_no_list_of_authors_scans_a_table(in_large: Large) -> None:
    with no_table_scanned(in_large):
        first = queries.AUTHORS.page(limit=20)
        queries.AUTHORS.page(limit=20, sort="-name")
        queries.AUTHORS.page(limit=20, cursor=first["next_cursor"])
        some = queries.AUTHORS.page(limit=20, q="lor")

    assert all(author["book_count"] == 5 for author in first["items"])
    assert all(author["name"].startswith("lor") for author in some["items"])


def test_a_page_of_authors_counts_only_their_books(in_large: Large) -> None:
    for asked in ({}, {"q": "lor"}):
        question = queries.AUTHORS._page_sql(frozenset(asked), "name", False).asked

        assert blocks(plan_of(question, dict(asked))) < MOST_BLOCKS
