"""Works that were merged at Open Library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from app.catalog.service import (
    RecordedAction,
    create_book,
    follow_merges,
    merges,
    record_redirects,
    record_works,
    update_book,
)
from app.core.tenancy import tenant
from tests.catalog.stored import Stored, at_once
from tests.catalog.works import ISBNS, a_work, an_edition
from tests.conftest import Library

OLD, NEW = "OL1W", "OL2W"
REDIRECTED = RecordedAction.REDIRECTED


def books(stored: Stored) -> dict[str, UUID]:
    return {row["open_library_key"]: row["id"] for row in stored.rows("SELECT open_library_key, id FROM books")}


def aliases(stored: Stored) -> dict[str, UUID]:
    return {row["alias"]: row["book_id"] for row in stored.rows("SELECT alias, book_id FROM book_aliases")}


@pytest.fixture
def followed() -> Iterator[list[tuple[UUID, UUID]]]:
    """The merges that a domain above was told of."""
    told: list[tuple[UUID, UUID]] = []
    follow = follow_merges(lambda loser, survivor: told.append((loser, survivor)))
    yield told
    merges._followers.remove(follow)


def test_a_book_moves_to_the_key_its_work_has_now(stored: Stored) -> None:
    [known] = record_works([a_work(OLD)])

    [answer] = record_redirects([(OLD, a_work(NEW, title="Dune, merged"))])

    assert (answer.open_library_key, answer.book_id, answer.action) == (OLD, known.book_id, REDIRECTED)
    assert books(stored) == {NEW: known.book_id}
    assert stored.book(known.book_id)["title"] == "Dune, merged"
    assert stored.versions(known.book_id)[1:] == [(2, "redirect", ["title", "open_library_key"])]
    assert aliases(stored) == {OLD: known.book_id}


def test_the_same_redirect_again_changes_nothing(stored: Stored) -> None:
    [known] = record_works([a_work(OLD)])
    record_redirects([(OLD, a_work(NEW))])
    generation = stored.generation()

    [again] = record_redirects([(OLD, a_work(NEW))])

    assert (again.book_id, again.action) == (known.book_id, REDIRECTED)
    assert len(stored.versions(known.book_id)) == 2
    assert stored.generation() == generation


def test_two_books_of_merged_works_become_one(stored: Stored, followed: list[tuple[UUID, UUID]]) -> None:
    [loser] = record_works([a_work(OLD, isbns=ISBNS[:1], editions=(an_edition("OL1M", ISBNS[0]),))])
    [survivor] = record_works([a_work(NEW, isbns=ISBNS[1:2])])
    stored.rows("UPDATE books SET times_borrowed = 3 RETURNING id")

    [answer] = record_redirects([(OLD, a_work(NEW, isbns=ISBNS[:2]))])

    assert (answer.book_id, answer.action) == (survivor.book_id, REDIRECTED)
    assert books(stored) == {NEW: survivor.book_id}
    assert stored.isbns(survivor.book_id) == sorted(ISBNS[:2])
    assert stored.column("SELECT open_library_key FROM editions WHERE isbn = :isbn", isbn=ISBNS[0]) == ["OL1M"]
    book = stored.book(survivor.book_id)
    assert book["times_borrowed"] == 6
    assert stored.versions(survivor.book_id)[1:] == [(2, "redirect", ["isbns"])]
    assert stored.versions(loser.book_id) == []
    assert aliases(stored) == {OLD: survivor.book_id, str(loser.book_id): survivor.book_id}
    assert followed == [(loser.book_id, survivor.book_id)]
    assert stored.column("SELECT count(*) FROM book_terms WHERE book_id <> :id", id=survivor.book_id) == [0]
    assert stored.events()[2:] == [
        ("book.updated", survivor.book_id),
        ("book.merged", survivor.book_id),
        ("book.deleted", loser.book_id),
    ]


def test_a_merge_without_other_content_is_a_version_all_the_same(stored: Stored) -> None:
    record_works([a_work(OLD, isbns=())])
    [survivor] = record_works([a_work(NEW)])

    record_redirects([(OLD, a_work(NEW))])

    assert stored.versions(survivor.book_id)[1:] == [(2, "redirect", [])]


def test_the_survivor_keeps_its_overrides_and_takes_those_it_lacks(stored: Stored) -> None:
    [loser] = record_works([a_work(OLD, isbns=())])
    [survivor] = record_works([a_work(NEW)])
    update_book(loser.book_id, {"title": "Their title", "description": "By hand."})
    update_book(survivor.book_id, {"title": "Our title"})

    record_redirects([(OLD, a_work(NEW))])

    book = stored.book(survivor.book_id)
    assert (book["title"], book["description"]) == ("Our title", "By hand.")
    assert book["overrides"] == {"title": "Our title", "description": "By hand."}


def test_two_former_works_become_the_one_that_nobody_had(stored: Stored) -> None:
    [first] = record_works([a_work("OL1W")])
    [second] = record_works([a_work("OL2W", isbns=ISBNS[1:])])

    answers = record_redirects([("OL2W", a_work("OL3W")), ("OL1W", a_work("OL3W"))])

    assert [(answer.open_library_key, answer.book_id) for answer in answers] == [
        ("OL2W", first.book_id),
        ("OL1W", first.book_id),
    ]
    assert books(stored) == {"OL3W": first.book_id}
    assert stored.isbns(first.book_id) == sorted(ISBNS)
    assert aliases(stored) == {
        "OL1W": first.book_id,
        "OL2W": first.book_id,
        str(second.book_id): first.book_id,
    }


def test_a_chain_of_merges_is_followed_to_its_end(stored: Stored) -> None:
    first, second = record_works([a_work("OL1W", isbns=()), a_work("OL2W", isbns=())])

    answers = record_redirects([("OL1W", a_work("OL2W", isbns=())), ("OL2W", a_work("OL3W", isbns=()))])

    assert books(stored) == {"OL3W": first.book_id}
    assert [answer.book_id for answer in answers] == [first.book_id, first.book_id]
    assert aliases(stored) == {
        "OL1W": first.book_id,
        "OL2W": first.book_id,
        str(second.book_id): first.book_id,
    }


@pytest.mark.parametrize("pairs", [[("OL1W", "OL1W")], [("OL1W", "OL2W"), ("OL2W", "OL1W")]])
def test_a_circle_of_merges_loses_no_book(stored: Stored, pairs: list[tuple[str, str]]) -> None:
    record_works([a_work("OL1W", isbns=()), a_work("OL2W", isbns=())])

    record_redirects([(former, a_work(target, isbns=())) for former, target in pairs])

    assert set(books(stored)) == {"OL1W", "OL2W"}


def test_aliases_follow_from_merge_to_merge(stored: Stored) -> None:
    record_works([a_work("OL1W", isbns=()), a_work("OL2W", isbns=())])
    record_redirects([("OL1W", a_work("OL2W", isbns=()))])
    [last] = record_works([a_work("OL3W", isbns=())])

    record_redirects([("OL2W", a_work("OL3W", isbns=()))])

    assert set(aliases(stored).values()) == {last.book_id}
    assert len(aliases(stored)) == 4


def test_a_library_that_has_neither_gets_the_new_work(stored: Stored) -> None:
    [answer] = record_redirects([(OLD, a_work(NEW))])

    assert (answer.open_library_key, answer.action) == (OLD, REDIRECTED)
    assert books(stored) == {NEW: answer.book_id}
    assert stored.versions(answer.book_id)[0][1] == "open_library"


def test_a_stale_hit_of_a_former_key_makes_no_book(stored: Stored) -> None:
    record_redirects([(OLD, a_work(NEW))])

    stale, other = record_works([a_work(OLD, title="Stale"), a_work("OL7W", isbns=())])

    assert (stale.book_id, stale.action) == (books(stored)[NEW], REDIRECTED)
    assert other.action is RecordedAction.CREATED
    assert stored.column("SELECT count(*) FROM books") == [2]
    assert stored.column("SELECT count(*) FROM books WHERE title = 'Stale'") == [0]


def test_a_live_document_of_a_former_key_stands_for_itself_again(stored: Stored) -> None:
    record_redirects([(OLD, a_work(NEW))])

    [revived] = record_works([replace(a_work(OLD, isbns=()), revision=9)])

    assert revived.action is RecordedAction.CREATED
    assert set(books(stored)) == {OLD, NEW}
    assert aliases(stored) == {}


def test_a_merge_leaves_other_libraries_and_books_alone(stored: Stored, other_library: Library) -> None:
    by_hand = create_book(title="By hand", authors=[{"name": "N. N.", "open_library_key": None}])
    record_works([a_work(OLD), a_work(NEW, isbns=())])
    with tenant(other_library.id):
        theirs = record_works([a_work(OLD), a_work(NEW, isbns=())])

    record_redirects([(OLD, a_work(NEW))])

    other = Stored(other_library)
    assert set(books(other)) == {OLD, NEW}
    assert all(len(other.versions(answer.book_id)) == 1 for answer in theirs)
    assert stored.book(by_hand)["version"] == 1
    assert aliases(other) == {}


def test_merges_and_recordings_of_the_same_works_do_not_wait_for_each_other_in_a_circle(
    stored: Stored, library: Library
) -> None:
    keys = [f"OL{number}W" for number in range(1, 13)]

    def record() -> int:
        return sum(
            len(record_works([a_work(key, title=f"Title {turn}", isbns=ISBNS) for key in keys[:: (-1) ** turn]]))
            for turn in range(6)
        )

    def merge() -> int:
        pairs = [(keys[number], a_work(keys[-1 - number], isbns=ISBNS)) for number in range(3)]
        return sum(len(record_redirects(pairs[:: (-1) ** turn])) for turn in range(6))

    assert at_once(library, record, merge, record, merge) == [72, 18, 72, 18]
    assert set(books(stored)) == set(keys[3:])
    assert stored.column("SELECT count(*) FROM editions") == [3]
