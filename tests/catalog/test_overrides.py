"""What librarians set by hand, and how it stands against Open Library."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.catalog.service import (
    IsbnTaken,
    RecordedAction,
    create_book,
    delete_book,
    record_works,
    restore_version,
    update_book,
)
from app.catalog.service.errors import BookInUse
from app.core.clock import new_id
from app.core.errors import Invalid, NotFound
from app.core.tenancy import tenant
from tests.catalog.stored import Stored, at_once
from tests.catalog.works import ISBNS, a_work
from tests.conftest import Library

NOBODY = [{"name": "N. N.", "open_library_key": None}]


@pytest.fixture
def dune(stored: Stored) -> UUID:
    """The id of a book of Open Library."""
    [recorded] = record_works([a_work()])
    return recorded.book_id


def test_an_edit_is_an_override_and_one_version(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"title": "Dune (our copy)", "page_count": 500})

    book = stored.book(dune)
    assert (book["title"], book["page_count"], book["version"]) == ("Dune (our copy)", 500, 2)
    assert book["overrides"] == {"title": "Dune (our copy)", "page_count": 500}
    assert book["source_fields"]["title"] == "Dune"
    assert book["sort_title"] == "dune (our copy)"
    assert stored.versions(dune)[1:] == [(2, "manual", ["title", "page_count"])]


def test_an_override_survives_what_open_library_tells_later(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"title": "Ours"})

    [recorded] = record_works([a_work(title="Theirs", page_count=600)])

    book = stored.book(dune)
    assert recorded.action is RecordedAction.UPDATED
    assert (book["title"], book["page_count"]) == ("Ours", 600)
    assert stored.versions(dune)[2:] == [(3, "open_library", ["page_count"])]


def test_a_change_beneath_an_override_makes_no_version(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"title": "Ours"})
    before = stored.book(dune)

    [recorded] = record_works([a_work(title="Theirs")])

    book = stored.book(dune)
    assert recorded.action is RecordedAction.UNCHANGED
    assert book["version"] == 2
    assert book["source_fields"]["title"] == "Theirs"
    assert book["updated_at"] == before["updated_at"]


def test_lifting_an_override_brings_back_what_the_source_tells_by_now(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"title": "Ours", "page_count": 1})
    record_works([a_work(title="Theirs")])

    update_book(dune, {"overrides": {"title": None}})

    book = stored.book(dune)
    assert (book["title"], book["page_count"], book["overrides"]) == ("Theirs", 1, {"page_count": 1})
    assert stored.versions(dune)[2:] == [(3, "manual", ["title"])]


def test_lifting_what_is_not_overridden_changes_nothing(stored: Stored, dune: UUID) -> None:
    before, events = stored.book(dune), stored.events()

    update_book(dune, {"overrides": {"title": None}})

    assert stored.book(dune) == before
    assert stored.events() == events


def test_an_equal_value_makes_no_version_and_no_override(stored: Stored, dune: UUID) -> None:
    generation = stored.generation()

    update_book(dune, {"title": "Dune", "subjects": ["Science fiction", "Dune (Imaginary place)"], "subtitle": None})

    book = stored.book(dune)
    assert (book["version"], book["overrides"]) == (1, {})
    assert stored.generation() == generation


def test_null_clears_a_field_against_the_source(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"page_count": None, "subjects": None})
    record_works([a_work(page_count=700)])

    book = stored.book(dune)
    assert (book["page_count"], book["subjects"]) == (None, [])
    assert book["overrides"] == {"page_count": None, "subjects": []}
    assert book["version"] == 2


def test_a_field_is_not_set_and_lifted_at_once(stored: Stored, dune: UUID) -> None:
    with pytest.raises(Invalid) as refusal:
        update_book(dune, {"title": "Ours", "overrides": {"title": None}})

    assert [error["field"] for error in refusal.value.errors] == ["overrides.title"]
    assert stored.book(dune)["version"] == 1


def test_an_isbn_of_another_book_is_refused_and_nothing_changes(stored: Stored, dune: UUID) -> None:
    other = create_book(title="Another", authors=NOBODY, isbns=[ISBNS[1]])

    with pytest.raises(IsbnTaken, match="9780441172719"):
        update_book(other, {"title": "Changed", "isbns": [ISBNS[0], ISBNS[2]]})

    assert (stored.book(other)["title"], stored.book(other)["version"]) == ("Another", 1)
    assert stored.isbns(other) == [ISBNS[1]]
    assert stored.isbns(dune) == [ISBNS[0]]


def test_an_isbn_that_is_taken_away_may_be_another_books(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"isbns": []})

    other = create_book(title="Another", authors=NOBODY, isbns=[ISBNS[0]])

    assert stored.isbns(other) == [ISBNS[0]]
    assert stored.isbns(dune) == []


def test_an_isbn_the_source_shares_with_another_book_is_no_obstacle(stored: Stored, dune: UUID) -> None:
    [second] = record_works([a_work("OL2W", isbns=ISBNS[:2])])

    update_book(second.book_id, {"isbns": [*ISBNS[:2], ISBNS[2]]})

    assert stored.isbns(second.book_id) == sorted(ISBNS[1:])


def test_a_book_made_by_hand_is_its_own_source(stored: Stored) -> None:
    book_id = create_book(title="Local history", authors=NOBODY, isbns=[ISBNS[0]], first_publish_year=-30)

    book = stored.book(book_id)
    assert (book["source"], book["open_library_key"], book["upstream_status"]) == ("manual", None, None)
    assert (book["overrides"], book["checked_at"], book["first_publish_year"]) == ({}, None, -30)
    assert stored.versions(book_id) == [(1, "manual", ["title", "authors", "first_publish_year", "isbns"])]
    assert stored.isbns(book_id) == [ISBNS[0]]
    update_book(book_id, {"title": "Changed"})
    update_book(book_id, {"overrides": {"title": None}})
    assert stored.book(book_id)["title"] == "Local history"


def test_a_book_of_open_library_leaves_a_book_made_by_hand_its_isbn(stored: Stored) -> None:
    by_hand = create_book(title="Local history", authors=NOBODY, isbns=[ISBNS[0]])

    [recorded] = record_works([a_work(isbns=ISBNS[:2])])

    assert stored.isbns(by_hand) == [ISBNS[0]]
    assert stored.isbns(recorded.book_id) == [ISBNS[1]]


def test_two_librarians_at_once_lose_nothing(stored: Stored, dune: UUID, library: Library) -> None:
    at_once(
        library,
        lambda: update_book(dune, {"title": "Ours"}),
        lambda: update_book(dune, {"page_count": 1}),
        lambda: update_book(dune, {"description": "By hand."}),
        lambda: record_works([a_work(series=("Dune chronicles",))]),
    )

    book = stored.book(dune)
    assert book["overrides"] == {"title": "Ours", "page_count": 1, "description": "By hand."}
    assert (book["series"], book["version"]) == (["Dune chronicles"], 5)
    assert [number for number, _, _ in stored.versions(dune)] == [1, 2, 3, 4, 5]


def test_deleting_a_book_takes_along_what_is_its_own(stored: Stored, dune: UUID) -> None:
    kept = create_book(title="Kept", authors=NOBODY, isbns=[ISBNS[1]], subjects=["Kept"])

    delete_book(dune)

    for table in ("book_versions", "editions", "book_terms", "book_authors"):
        assert set(stored.column(f"SELECT book_id FROM {table}")) == {kept}
    assert stored.column("SELECT id FROM books") == [kept]
    assert stored.events()[-1] == ("book.deleted", dune)


def test_a_book_of_which_copies_are_on_loan_stays(stored: Stored, dune: UUID) -> None:
    stored.rows("UPDATE books SET listed_total = 2, listed_available = 1 RETURNING id")

    with pytest.raises(BookInUse):
        delete_book(dune)

    assert stored.column("SELECT id FROM books") == [dune]


def test_a_deleted_book_comes_back_as_another_when_it_is_recorded_again(stored: Stored, dune: UUID) -> None:
    delete_book(dune)

    [recorded] = record_works([a_work()])

    assert recorded.action is RecordedAction.CREATED
    assert recorded.book_id != dune


def test_another_librarys_book_is_not_there(stored: Stored, dune: UUID, other_library: Library) -> None:
    for book_id in (dune, new_id(), None):
        with tenant(other_library.id):
            with pytest.raises(NotFound):
                update_book(book_id, {"title": "Theirs"})
            with pytest.raises(NotFound):
                delete_book(book_id)
            with pytest.raises(NotFound):
                restore_version(book_id, 1)

    assert stored.book(dune)["title"] == "Dune"
