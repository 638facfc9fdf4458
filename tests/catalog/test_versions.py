"""What a book said before: compared, and brought back."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy.exc import ProgrammingError

from app.catalog.service import record_works, restore_version, update_book, version_diff
from app.core.clock import new_id
from app.core.errors import NotFound
from app.core.tenancy import tenant
from tests.catalog.stored import Stored, counted_statements
from tests.catalog.works import ISBNS, a_work
from tests.conftest import Library


@pytest.fixture
def dune(stored: Stored) -> UUID:
    """A book of three versions."""
    [recorded] = record_works([a_work(subtitle="A novel")])
    record_works([a_work(title="Dune, revised", description="A desert planet.", unasked=frozenset())])
    update_book(recorded.book_id, {"title": "Ours", "series": []})
    return recorded.book_id


def test_a_difference_names_what_was_added_removed_and_changed(dune: UUID) -> None:
    assert version_diff(dune, 1, 2) == {
        "from": 1,
        "to": 2,
        "changes": [
            {"field": "title", "op": "changed", "before": "Dune", "after": "Dune, revised"},
            {"field": "subtitle", "op": "removed", "before": "A novel", "after": None},
            {"field": "description", "op": "added", "before": None, "after": "A desert planet."},
        ],
    }


def test_a_difference_may_skip_versions_and_go_backwards(dune: UUID) -> None:
    forwards = version_diff(dune, 1, 3)["changes"]
    backwards = version_diff(dune, 3, 1)

    assert [(change["field"], change["op"]) for change in forwards] == [
        ("title", "changed"),
        ("subtitle", "removed"),
        ("description", "added"),
        ("series", "removed"),
    ]
    assert (backwards["from"], backwards["to"]) == (3, 1)
    assert [(change["field"], change["op"]) for change in backwards["changes"]] == [
        ("title", "changed"),
        ("subtitle", "added"),
        ("description", "removed"),
        ("series", "added"),
    ]


def test_a_version_does_not_differ_from_itself(dune: UUID) -> None:
    assert version_diff(dune, 2, 2) == {"from": 2, "to": 2, "changes": []}


def test_versions_of_equal_content_do_not_differ(dune: UUID) -> None:
    restore_version(dune, 1)

    assert version_diff(dune, 1, 4)["changes"] == []


def test_a_difference_is_asked_in_one_statement(dune: UUID) -> None:
    with counted_statements() as sent:
        version_diff(dune, 1, 2)

    # By `rows`, whose one round trip goes past the transactional engine.
    assert sent == []


def test_versions_that_are_not_there_are_not_found(dune: UUID, other_library: Library) -> None:
    for book_id, first, second in ((dune, 1, 4), (dune, 0, 1), (dune, 999_999_999, 1), (new_id(), 1, 1), (None, 1, 1)):
        with pytest.raises(NotFound):
            version_diff(book_id, first, second)
    with tenant(other_library.id), pytest.raises(NotFound):
        version_diff(dune, 1, 2)


def test_a_restored_version_is_the_newest_with_the_old_content(stored: Stored, dune: UUID) -> None:
    restore_version(dune, 1)

    book = stored.book(dune)
    assert (book["title"], book["subtitle"], book["description"]) == ("Dune", "A novel", None)
    assert book["series"] == ["Dune"]
    assert stored.versions(dune)[3:] == [(4, "restore", ["title", "subtitle", "description", "series"])]


def test_restored_fields_hold_against_the_source_and_no_others_do(stored: Stored, dune: UUID) -> None:
    restore_version(dune, 1)
    record_works([a_work(title="Dune, again", description="Sand.", page_count=700, unasked=frozenset())])

    book = stored.book(dune)
    assert book["overrides"] == {"title": "Dune", "subtitle": "A novel", "description": None}
    assert (book["title"], book["description"], book["page_count"]) == ("Dune", None, 700)


def test_restoring_what_the_source_tells_lifts_the_overrides(stored: Stored, dune: UUID) -> None:
    restore_version(dune, 2)

    assert stored.book(dune)["overrides"] == {}
    assert stored.versions(dune)[3:] == [(4, "restore", ["title", "series"])]


def test_restoring_the_present_version_is_noted_as_one(stored: Stored, dune: UUID) -> None:
    restore_version(dune, 3)

    assert stored.versions(dune)[3:] == [(4, "restore", [])]
    assert stored.book(dune)["version"] == 4


def test_restoring_brings_isbns_and_terms_back(stored: Stored, dune: UUID) -> None:
    update_book(dune, {"isbns": [ISBNS[1]]})

    restore_version(dune, 3)

    assert stored.isbns(dune) == [ISBNS[0]]
    assert stored.column("SELECT term FROM book_terms WHERE kind = 'isbn'") == [ISBNS[0]]


def test_a_version_that_is_not_there_can_not_be_restored(stored: Stored, dune: UUID) -> None:
    with pytest.raises(NotFound):
        restore_version(dune, 9)

    assert stored.book(dune)["version"] == 3


@pytest.mark.parametrize("change", ["UPDATE book_versions SET origin = 'manual'", "DELETE FROM book_versions"])
def test_the_application_can_not_change_a_version(stored: Stored, dune: UUID, change: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        stored.rows(change)

    assert len(stored.versions(dune)) == 3


def test_a_version_tells_who_made_it(stored: Stored, dune: UUID, library: Library) -> None:
    library.patch(f"/books/{dune}", {"title": "By key"})

    kinds = stored.column("SELECT actor_kind FROM book_versions ORDER BY number")
    accounts = stored.column("SELECT count(*) FROM book_versions v JOIN service_accounts a ON a.id = v.actor_id")
    assert kinds == ["system", "system", "system", "service_account"]
    assert accounts == [1]
