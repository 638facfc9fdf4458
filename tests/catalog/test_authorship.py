"""Who wrote the books that were recorded."""

from __future__ import annotations

from uuid import UUID

from app.catalog.service import create_book, record_works, update_book
from app.openlibrary.records import AuthorRef
from tests.catalog.stored import Stored
from tests.catalog.works import HERBERT, a_work

ANDERSON = AuthorRef("Kevin J. Anderson", "OL26357A")


def authors(stored: Stored, book_id: UUID) -> list[tuple[str, str | None]]:
    """Name and key of a book's authors, in their order."""
    found = stored.rows(
        "SELECT a.name, a.open_library_key FROM book_authors b JOIN authors a ON a.id = b.author_id"
        " WHERE b.book_id = :id ORDER BY b.position",
        id=book_id,
    )
    return [(row["name"], row["open_library_key"]) for row in found]


def count(stored: Stored) -> int:
    return int(stored.column("SELECT count(*) FROM authors")[0])


def test_authors_stand_in_the_order_of_the_work(stored: Stored) -> None:
    [recorded] = record_works([a_work(authors=(ANDERSON, HERBERT))])

    assert authors(stored, recorded.book_id) == [
        ("Kevin J. Anderson", "OL26357A"),
        ("Frank Herbert", "OL79034A"),
    ]


def test_two_works_of_one_author_share_the_author(stored: Stored) -> None:
    first, second = record_works([a_work("OL1W", isbns=()), a_work("OL2W", isbns=())])

    assert authors(stored, first.book_id) == authors(stored, second.book_id) == [("Frank Herbert", "OL79034A")]
    assert count(stored) == 1


def test_a_book_follows_when_its_authors_change(stored: Stored) -> None:
    [recorded] = record_works([a_work(authors=(HERBERT, ANDERSON))])

    record_works([a_work(authors=(ANDERSON,))])

    assert authors(stored, recorded.book_id) == [("Kevin J. Anderson", "OL26357A")]


def test_an_author_is_renamed_when_open_library_tells_another_name(stored: Stored) -> None:
    [recorded] = record_works([a_work()])

    record_works([a_work(authors=(AuthorRef("Herbert, Frank", "OL79034A"),))])

    assert authors(stored, recorded.book_id) == [("Herbert, Frank", "OL79034A")]
    assert stored.column("SELECT sort_name FROM authors") == ["herbert, frank"]
    assert count(stored) == 1


def test_a_name_set_by_hand_renames_no_author(stored: Stored) -> None:
    [recorded] = record_works([a_work()])

    update_book(recorded.book_id, {"authors": [{"name": "F. Herbert", "open_library_key": "OL79034A"}]})

    assert authors(stored, recorded.book_id) == [("Frank Herbert", "OL79034A")]
    assert stored.book(recorded.book_id)["authors"] == [{"name": "F. Herbert", "open_library_key": "OL79034A"}]


def test_authors_without_a_key_are_one_when_their_folded_names_are(stored: Stored) -> None:
    first = create_book(title="Solaris", authors=[{"name": "Stanisław Lem", "open_library_key": None}])
    second = create_book(title="Eden", authors=[{"name": "stanislaw  LEM", "open_library_key": None}])

    assert authors(stored, first) == authors(stored, second) == [("Stanisław Lem", None)]
    assert count(stored) == 1


def test_an_author_without_a_key_is_the_known_one_of_that_name(stored: Stored) -> None:
    record_works([a_work()])

    by_hand = create_book(title="Notes", authors=[{"name": "FRANK HERBERT", "open_library_key": None}])

    assert authors(stored, by_hand) == [("Frank Herbert", "OL79034A")]


def test_the_same_author_twice_in_one_book_is_linked_once(stored: Stored) -> None:
    twice = (AuthorRef("Frank Herbert"), AuthorRef("frank herbert"), ANDERSON)

    [recorded] = record_works([a_work(authors=twice)])

    assert authors(stored, recorded.book_id) == [("Frank Herbert", None), ("Kevin J. Anderson", "OL26357A")]


def test_a_book_may_have_no_author(stored: Stored) -> None:
    [recorded] = record_works([a_work(authors=())])

    assert authors(stored, recorded.book_id) == []
