"""Which editions hang beneath a book once works were recorded."""

from __future__ import annotations

from typing import Any

from app.catalog.service import RecordedAction, record_works, update_book
from app.openlibrary.records import NormalizedEdition
from tests.catalog.stored import Stored
from tests.catalog.works import ISBNS, a_work, an_edition


def edition(stored: Stored, isbn: str) -> dict[str, Any]:
    return dict(stored.rows("SELECT * FROM editions WHERE isbn = :isbn", isbn=isbn)[0])


def hit(key: str, *isbns: str, **told: Any) -> NormalizedEdition:
    """An edition as a search answer tells it."""
    return an_edition(key, *isbns, **{"revision": None, **told})


def test_each_isbn_of_a_work_is_an_edition(stored: Stored) -> None:
    [recorded] = record_works([a_work(isbns=ISBNS)])

    assert stored.isbns(recorded.book_id) == sorted(ISBNS)
    assert edition(stored, ISBNS[0])["open_library_key"] is None


def test_an_edition_with_two_isbns_is_two_rows_and_one_without_is_one(stored: Stored) -> None:
    work = a_work(isbns=ISBNS[:2], editions=(an_edition("OL1M", *ISBNS[:2]), an_edition("OL2M", page_count=300)))

    [recorded] = record_works([work])

    found = stored.rows(
        "SELECT isbn, open_library_key, publishers, page_count FROM editions WHERE book_id = :id"
        " ORDER BY open_library_key, isbn",
        id=recorded.book_id,
    )
    assert [tuple(row.values()) for row in found] == [
        ("9780340960196", "OL1M", ["Ace"], None),
        ("9780441172719", "OL1M", ["Ace"], None),
        (None, "OL2M", ["Ace"], 300),
    ]


def test_an_isbn_stays_with_the_book_that_had_it_first(stored: Stored) -> None:
    [first] = record_works([a_work("OL1W", isbns=ISBNS[:1])])
    [second] = record_works([a_work("OL2W", isbns=ISBNS[:2], editions=(an_edition("OL1M", ISBNS[0]),))])

    assert stored.isbns(first.book_id) == [ISBNS[0]]
    assert stored.isbns(second.book_id) == [ISBNS[1]]
    assert edition(stored, ISBNS[0])["open_library_key"] is None


def test_a_document_tells_more_than_is_known_and_a_hit_only_fills_gaps(stored: Stored) -> None:
    record_works([a_work(editions=(hit("OL1M", ISBNS[0], title="From a hit", page_count=541),))])
    record_works([a_work(editions=(an_edition("OL1M", ISBNS[0], title="From its document", physical_format="Cloth"),))])

    record_works([a_work(editions=(hit("OL1M", ISBNS[0], title="From a later hit", subtitle="A novel"),))])

    found = edition(stored, ISBNS[0])
    assert (found["title"], found["subtitle"]) == ("From its document", "A novel")
    assert (found["page_count"], found["physical_format"]) == (541, "Cloth")


def test_an_edition_that_gets_an_isbn_is_not_kept_twice(stored: Stored) -> None:
    record_works([a_work(isbns=(), editions=(an_edition("OL1M"),))])

    record_works([a_work(isbns=ISBNS[:1], editions=(an_edition("OL1M", ISBNS[0]),))])

    assert [tuple(row.values()) for row in stored.rows("SELECT open_library_key, isbn FROM editions")] == [
        ("OL1M", ISBNS[0])
    ]


def test_other_editions_of_the_same_content_are_a_change_without_a_version(stored: Stored) -> None:
    [first] = record_works([a_work()])
    generation = stored.generation()

    [second] = record_works([a_work(editions=(an_edition("OL1M", ISBNS[0]),))])
    changed = stored.generation()
    [third] = record_works([a_work(editions=(an_edition("OL1M", ISBNS[0]),))])

    assert (second.action, third.action) == (RecordedAction.UPDATED, RecordedAction.UNCHANGED)
    assert len(stored.versions(first.book_id)) == 1
    assert changed != generation
    assert stored.generation() == changed


def test_an_edition_without_a_title_has_none(stored: Stored) -> None:
    record_works([a_work(editions=(an_edition("OL1M", ISBNS[0], title="[Untitled]"),))])

    assert edition(stored, ISBNS[0])["title"] is None


def test_isbns_set_by_hand_are_all_the_book_has(stored: Stored) -> None:
    [first] = record_works([a_work(isbns=ISBNS)])
    update_book(first.book_id, {"isbns": [ISBNS[1]]})

    record_works([a_work(isbns=ISBNS, editions=(an_edition("OL1M", ISBNS[0]), an_edition("OL2M", ISBNS[1])))])

    assert stored.isbns(first.book_id) == [ISBNS[1]]
    assert edition(stored, ISBNS[1])["open_library_key"] == "OL2M"
    assert stored.column("SELECT term FROM book_terms WHERE kind = 'isbn'") == [ISBNS[1]]


def test_editions_come_back_when_isbns_are_told_by_the_source_again(stored: Stored) -> None:
    told = a_work(isbns=ISBNS, editions=(an_edition("OL1M", ISBNS[0]),))
    [first] = record_works([told])
    update_book(first.book_id, {"isbns": [ISBNS[1]]})

    update_book(first.book_id, {"overrides": {"isbns": None}})
    bare = edition(stored, ISBNS[0])["open_library_key"]
    record_works([told])

    assert stored.isbns(first.book_id) == sorted(ISBNS)
    assert bare is None
    assert edition(stored, ISBNS[0])["open_library_key"] == "OL1M"
