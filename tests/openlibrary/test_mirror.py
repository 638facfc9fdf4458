from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from app.core.clock import utc_now
from app.extensions import db
from app.openlibrary import mirror
from app.openlibrary.query import parse_query
from app.openlibrary.records import (
    AuthorRef,
    Contributor,
    Deleted,
    NormalizedAuthor,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    Redirect,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)
SHIPPED = Path(__file__).resolve().parents[2] / "app" / "demo" / "records" / "open_library.jsonl"

pytestmark = pytest.mark.usefixtures("in_app")

HOBBIT = NormalizedWork(
    "OL1W",
    title="The Hobbit",
    authors=(AuthorRef("J. R. R. Tolkien", "OL1A"),),
    author_keys=("OL1A",),
    subjects=("Fantasy", "Dragons"),
    isbns=("9780261103573",),
    contributors=(Contributor("Alan Lee", "illustrator"),),
    editions=(NormalizedEdition("OL1M", isbn="9780261103573", isbns=("9780261103573",), title="Le Hobbit"),),
)
STORM = NormalizedWork(
    "OL2W", title="Ett drag i Łódź", authors=(AuthorRef("Åsa Ström"),), subjects=("Hobbits in fiction",)
)


@contextmanager
def counted(statements: list[str]) -> Iterator[None]:
    """Note every statement sent to the database."""

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield
    event.remove(db.engine, "before_cursor_execute", note)


def titles(query: str) -> list[str]:
    return [work.title for work in mirror.search(parse_query(query), offset=0, limit=10).works]


@pytest.mark.parametrize(
    "record",
    [
        HOBBIT,
        STORM,
        NormalizedWork("OL3W", unasked=frozenset({"isbns", "editions"}), revision=4),
        NormalizedEdition("OL4M", isbns=("9780261103573",), contributors=(Contributor("A"),), work_keys=("OL1W",)),
        NormalizedAuthor("OL5A", "A", alternate_names=("B", "C"), revision=2),
        Redirect("OL6W", "OL1W", 3),
        Deleted("OL7W", 2),
    ],
)
def test_a_record_comes_back_as_it_was(record: ParsedRecord) -> None:
    mirror.store([record], fetched_at=NOW)

    (kept,) = mirror.records(["OL1W", "OL2W", "OL3W", "OL4M", "OL5A", "OL6W", "OL7W"]).values()

    assert kept == record


def test_only_records_fetched_after_a_moment_are_fresh() -> None:
    mirror.store([HOBBIT], fetched_at=EARLIER)
    mirror.store([STORM], fetched_at=NOW)

    assert set(mirror.records(["OL1W", "OL2W", "OL404W"], fetched_after=EARLIER)) == {"OL2W"}


def test_an_older_telling_does_not_replace_a_newer_one() -> None:
    mirror.store([NormalizedWork("OL1W", title="Newer")], fetched_at=NOW)

    mirror.store([NormalizedWork("OL1W", title="Older")], fetched_at=EARLIER)

    assert mirror.records(["OL1W"])["OL1W"] == NormalizedWork("OL1W", title="Newer")


def test_silence_blanks_nothing() -> None:
    mirror.store([HOBBIT], fetched_at=EARLIER)

    mirror.store([NormalizedWork("OL1W", title="Hobbit", unasked=frozenset({"isbns", "authors"}))], fetched_at=NOW)

    kept = mirror.records(["OL1W"])["OL1W"]
    assert isinstance(kept, NormalizedWork)
    assert (kept.title, kept.isbns, kept.authors, kept.subjects) == ("Hobbit", HOBBIT.isbns, HOBBIT.authors, ())
    assert titles("isbn:9780261103573") == ["Hobbit"]
    assert titles("subject:dragons") == []


def test_a_work_may_become_a_redirect_and_a_work_again() -> None:
    mirror.store([HOBBIT], fetched_at=EARLIER)
    mirror.store([Redirect("OL1W", "OL2W")], fetched_at=NOW)
    assert titles("hobbit") == []

    mirror.store([HOBBIT], fetched_at=NOW + timedelta(seconds=1))

    assert titles("hobbit") == ["The Hobbit"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("author:tolkien", ["The Hobbit"]),
        ("author:J. R. R. Tolkien", ["The Hobbit"]),
        ("author:OL1A", ["The Hobbit"]),
        ("author:hobbit", []),
        ("title:hobbit", ["The Hobbit"]),
        ("title:le hobbit", ["The Hobbit"]),
        ("title:tolkien", []),
        ("subject:FANTASY", ["The Hobbit"]),
        ("subject:fantasy author:tolkien", ["The Hobbit"]),
        ("subject:fantasy author:lewis", []),
        ("isbn:0261103571", ["The Hobbit"]),
        ("tolkien dragons", ["The Hobbit"]),
        ("author:asa strom", ["Ett drag i Łódź"]),
        ("lodz", ["Ett drag i Łódź"]),
        ("hobbits", ["Ett drag i Łódź"]),
        ("nothing", []),
    ],
)
def test_works_are_found_by_words_and_fields(query: str, found: list[str]) -> None:
    mirror.store([HOBBIT, STORM, NormalizedAuthor("OL1A", "Hobbit Tolkien")], fetched_at=NOW)

    assert titles(query) == found


def test_a_search_is_paged() -> None:
    works = [NormalizedWork(f"OL{number}W", subjects=("Serial",)) for number in range(1, 8)]
    mirror.store(works, fetched_at=NOW)

    pages = [mirror.search(parse_query("subject:serial"), offset=offset, limit=3) for offset in (0, 3, 6, 9)]

    assert [page.total for page in pages] == [7, 7, 7, 7]
    assert sorted(work.open_library_key for page in pages for work in page.works) == [f"OL{n}W" for n in range(1, 8)]


def test_a_search_uses_its_index(owner: Engine) -> None:
    works = [NormalizedWork(f"OL{number}W", title=f"Work {number}") for number in range(1, 3_000)]
    mirror.store(works, fetched_at=NOW)

    with owner.begin() as connection:
        connection.execute(text("ANALYZE open_library_records"))
        plan = connection.scalars(
            text("EXPLAIN SELECT * FROM open_library_records WHERE words @@ CAST('''t:77''' AS tsquery)")
        ).all()

    assert any("ix_open_library_records_words" in line for line in plan)


def test_an_isbn_leads_to_its_work_by_either_record() -> None:
    other = NormalizedEdition("OL9M", isbn="9780670034826", isbns=("9780670034826",), work_keys=("OL2W",))
    lost = NormalizedEdition("OL8M", isbn="9780062225269", isbns=("9780062225269",), work_keys=("OL404W",))
    mirror.store([HOBBIT, STORM, other, lost], fetched_at=NOW)

    found = mirror.works_by_isbns(["9780261103573", "9780670034826", "9780062225269", "9780819130839"])

    assert {isbn: work.title for isbn, work in found.items()} == {
        "9780261103573": "The Hobbit",
        "9780670034826": "Ett drag i Łódź",
    }
    assert other in found["9780670034826"].editions


def test_no_isbns_find_nothing() -> None:
    mirror.store([HOBBIT], fetched_at=NOW)

    assert mirror.works_by_isbns([]) == {}


def remember(query: str, keys: list[str], *, offset: int = 0, total: int, fetched_at: datetime = NOW) -> None:
    mirror.remember_page(parse_query(query), offset=offset, keys=keys, total=total, fetched_at=fetched_at)


def test_a_remembered_answer_keeps_its_order() -> None:
    mirror.store([HOBBIT, STORM], fetched_at=NOW)
    remember("fiction", ["OL2W", "", "OL1W"], total=3)

    page = mirror.remembered_page(parse_query("FICTION"), offset=0, limit=100)

    assert page == mirror.Page(total=3, works=(STORM, HOBBIT))


def test_part_of_a_remembered_answer_is_taken_from_where_it_lies() -> None:
    mirror.store([HOBBIT, STORM], fetched_at=NOW)
    remember("fiction", ["OL404W"], offset=0, total=4)
    remember("fiction", ["OL2W", "", "OL1W"], offset=1, total=4)

    page = mirror.remembered_page(parse_query("fiction"), offset=3, limit=1)

    assert page == mirror.Page(total=4, works=(HOBBIT,))


def test_an_answer_that_is_not_all_there_is_none() -> None:
    mirror.store([HOBBIT], fetched_at=NOW)
    remember("fiction", ["OL1W"], total=2)
    remember("fantasy", ["OL1W", "OL404W"], total=2)
    remember("stale", ["OL1W"], total=1, fetched_at=EARLIER)

    assert mirror.remembered_page(parse_query("fiction"), offset=0, limit=2) is None
    assert mirror.remembered_page(parse_query("fantasy"), offset=0, limit=2) is None
    assert mirror.remembered_page(parse_query("stale"), offset=0, limit=2, fetched_after=EARLIER) is None
    assert mirror.remembered_page(parse_query("unknown"), offset=0, limit=2) is None


def test_old_answers_are_forgotten_and_their_works_kept() -> None:
    mirror.store([HOBBIT], fetched_at=NOW)
    remember("old", ["OL1W"], total=1, fetched_at=utc_now() - timedelta(days=91))
    remember("recent", ["OL1W"], total=1, fetched_at=utc_now() - timedelta(days=89))

    mirror.forget_old_answers()

    assert mirror.remembered_total(parse_query("old")) == 0
    assert mirror.remembered_total(parse_query("recent")) == 1
    assert titles("hobbit") == ["The Hobbit"]


def test_writers_of_the_same_records_do_not_lock_each_other_out(in_app: Flask) -> None:
    works = [NormalizedWork(f"OL{number}W", unasked=frozenset({"isbns"})) for number in range(1, 60)]
    editions = [NormalizedEdition(f"OL{number}M", work_keys=(f"OL{number}W",)) for number in range(1, 60)]

    def write(number: int) -> None:
        with in_app.app_context():
            for turn in range(6):
                told: list[ParsedRecord] = [*works, *editions]
                if (number + turn) % 2:
                    told = [*reversed(editions), *reversed(works[:30])]
                mirror.store(told, fetched_at=NOW + timedelta(seconds=turn))
            db.session.remove()

    with ThreadPoolExecutor(max_workers=4) as pool:
        for written in [pool.submit(write, number) for number in range(4)]:
            written.result(timeout=60)

    assert len(mirror.records([work.open_library_key for work in works])) == 59


def test_a_thousand_records_are_one_write() -> None:
    works = [NormalizedWork(f"OL{number}W", title=f"Work {number}") for number in range(1, 1_001)]
    statements: list[str] = []

    with counted(statements):
        mirror.store(works, fetched_at=NOW)

    assert len([statement for statement in statements if "INSERT" in statement]) == 1
    assert len(mirror.records([work.open_library_key for work in works])) == 1_000


def test_the_shipped_records_fill_the_mirror() -> None:
    works = mirror.load_shipped(SHIPPED)

    assert len(works) >= 100
    assert all(work.authors for work in works)
    assert sum(bool(work.isbns) for work in works) >= 95
    assert sum(work.cover_id is not None for work in works) >= 70
    assert {work.open_library_key: work for work in works} == mirror.records([w.open_library_key for w in works])
    for query, least in (
        ("author:Tolkien", 20),
        ("author:Sanderson", 15),
        ("author:Rothfuss", 8),
        ("subject:fantasy", 20),
    ):
        assert mirror.search(parse_query(query), offset=0, limit=100).total >= least
    assert titles("isbn:9780486437910") == ["The Brothers Karamazov"]


def test_shipped_records_keep_their_old_dates() -> None:
    works = mirror.load_shipped(SHIPPED)

    assert mirror.records([w.open_library_key for w in works], fetched_after=datetime(2026, 10, 1, tzinfo=UTC)) == {}


def test_shipped_records_replace_nothing_newer() -> None:
    newer = NormalizedWork("OL27448W", title="Fetched today")
    mirror.store([newer], fetched_at=NOW)

    mirror.load_shipped(SHIPPED)

    assert mirror.records(["OL27448W"])["OL27448W"] == newer


def test_shipped_records_tell_facts_and_no_prose() -> None:
    longest = max(len(word) for line in SHIPPED.read_text(encoding="utf-8").splitlines() for word in line.split('"'))

    assert longest < 300
    assert '"description"' not in SHIPPED.read_text(encoding="utf-8")
