"""Single copies: registered, moved, struck off; and what follows for loans, holds and counts."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import Engine

from tests.auth.people import told
from tests.circulation.conftest import _nothing_is_wrong, anna, bob, desk
from tests.circulation.desk import Desk
from tests.conftest import Library, Person

__all__ = ["_nothing_is_wrong", "anna", "bob", "desk"]

NOBODY = "01980000-0000-7000-8000-000000000000"


def test_a_copy_is_registered_found_and_counted(desk: Desk) -> None:
    book = desk.book()

    made = desk.library.post(f"/books/{book}/copies", {"barcode": "A-1", "location": "Shelf 12"}, role="lms")

    copy = made.json
    assert made.status_code == 201
    assert made.headers["Location"].endswith(f"/copies/{copy['id']}")
    assert (copy["book_id"], copy["barcode"], copy["status"], copy["location"]) == (
        book,
        "A-1",
        "available",
        "Shelf 12",
    )
    for path in (f"/copies/{copy['id']}", "/copies/by-barcode/A-1"):
        assert desk.library.get(path, role="kiosk").json == copy
    assert desk.library.get(f"/books/{book}/copies", role="lms").json["items"] == [copy]
    assert desk.counts(book) == (1, 1, 0)


def test_a_barcode_is_one_copys_in_each_library(desk: Desk, other_library: Library) -> None:
    book, other = desk.book(), Desk(other_library).book()
    copy, second = desk.copy(book, barcode="A-1"), desk.copy(book, barcode="A-2")

    assert told(desk.library.post(f"/books/{book}/copies", {"barcode": "A-1"})) == (409, "barcode_taken")
    assert told(desk.library.patch(f"/copies/{second['id']}", {"barcode": "A-1"})) == (409, "barcode_taken")
    assert desk.library.patch(f"/copies/{copy['id']}", {"barcode": "A-1"}).status_code == 200
    assert Desk(other_library).copy(other, barcode="A-1")["id"] != copy["id"]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("barcode", {}),
        ("barcode", {"barcode": ""}),
        ("barcode", {"barcode": "with space"}),
        ("barcode", {"barcode": "a/b"}),
        ("barcode", {"barcode": "1" * 65}),
        ("barcode", {"barcode": 31205004567890}),
        ("status", {"barcode": "1", "status": "on_loan"}),
        ("status", {"barcode": "1", "status": "on_hold"}),
        ("location", {"barcode": "1", "location": "x" * 201}),
        ("shelf", {"barcode": "1", "shelf": 3}),
    ],
)
def test_what_is_no_copy_is_refused(desk: Desk, field: str, body: dict[str, Any]) -> None:
    refused = desk.library.post(f"/books/{desk.book()}/copies", body)

    assert told(refused) == (422, "invalid_input")
    assert {each["field"] for each in refused.json["errors"]} == {field}


def test_copies_of_no_book_and_of_another_librarys_are_not_there(desk: Desk, other_library: Library) -> None:
    book = desk.book(copies=1)
    copy = desk.library.get(f"/books/{book}/copies").json["items"][0]

    for path in (f"/books/{NOBODY}/copies", "/books/junk/copies"):
        assert desk.library.get(path).status_code == 404
        assert desk.library.post(path, {"barcode": "1"}).status_code == 404
    for method in ("GET", "PATCH", "DELETE"):
        body: dict[str, Any] = {"json": {"location": "x"}} if method == "PATCH" else {}
        assert other_library.call(method, f"/copies/{copy['id']}", role="lms", **body).status_code == 404
    assert other_library.get(f"/copies/by-barcode/{copy['barcode']}").status_code == 404
    assert other_library.get(f"/books/{book}/copies").status_code == 404


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("available", "lost", True),
        ("available", "withdrawn", True),
        ("available", "on_loan", False),
        ("available", "on_hold", False),
        ("lost", "available", True),
        ("lost", "withdrawn", True),
        ("lost", "on_loan", False),
        ("withdrawn", "available", True),
        ("withdrawn", "lost", False),
    ],
)
def test_a_status_moves_only_where_it_may(desk: Desk, before: str, after: str, *, allowed: bool) -> None:
    copy = desk.copy(desk.book(), status=before)

    answer = desk.library.patch(f"/copies/{copy['id']}", {"status": after})

    assert answer.status_code == (200 if allowed else 409)
    assert desk.library.get(f"/copies/{copy['id']}").json["status"] == (after if allowed else before)


@pytest.mark.parametrize("status", ["lost", "withdrawn"])
def test_what_is_lost_or_withdrawn_counts_no_more(desk: Desk, status: str) -> None:
    book = desk.book(copies=2)
    copy = desk.library.get(f"/books/{book}/copies").json["items"][0]

    desk.library.patch(f"/copies/{copy['id']}", {"status": status})

    assert desk.counts(book) == (1, 1, 0)


def test_a_copy_that_is_lost_on_loan_ends_the_loan(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)

    answers = [desk.library.patch(f"/copies/{loan['copy_id']}", {"status": each}) for each in ("available", "lost")]

    assert [each.status_code for each in answers] == [409, 200]
    assert desk.library.get(f"/loans/{loan['id']}").json["status"] == "returned"
    assert desk.counts(book) == (0, 0, 1)


@pytest.mark.parametrize("going", ["lost", "withdrawn", "struck off"])
def test_whoever_a_copy_waited_for_waits_on_when_it_goes(desk: Desk, anna: Person, bob: Person, going: str) -> None:
    book = desk.book(copies=1)
    first, second = desk.held(book, by=anna), desk.held(book, by=bob)
    path = f"/copies/{first['copy_id']}"

    gone = desk.library.delete(path) if going == "struck off" else desk.library.patch(path, {"status": going})

    assert gone.status_code in (200, 204)
    assert [(desk.again(each)["status"], desk.again(each)["position"]) for each in (first, second)] == [
        ("queued", 1),
        ("queued", 2),
    ]
    # The next copy is for the first.
    assert desk.copy(book)["status"] == "on_hold"
    assert [desk.again(each)["status"] for each in (first, second)] == ["ready", "queued"]


def test_a_copy_that_is_found_again_goes_to_whoever_waits(desk: Desk, anna: Person) -> None:
    book = desk.book()
    copy = desk.copy(book, status="lost")
    hold = desk.held(book, by=anna)

    found = desk.library.patch(f"/copies/{copy['id']}", {"status": "available"})

    assert (hold["status"], found.json["status"], desk.again(hold)["status"]) == ("queued", "on_hold", "ready")


def test_a_copy_on_loan_is_not_struck_off_and_others_leave_their_loans(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)

    assert told(desk.library.delete(f"/copies/{loan['copy_id']}")) == (409, "copy_in_use")
    assert told(desk.library.delete(f"/books/{book}")) == (409, "book_in_use")
    desk.give_back(loan)
    assert desk.library.delete(f"/copies/{loan['copy_id']}").status_code == 204
    left = desk.library.get(f"/loans/{loan['id']}").json
    assert (left["copy_id"], left["barcode"], left["book_id"]) == (None, None, book)
    assert desk.counts(book) == (0, 0, 1)
    assert desk.library.delete(f"/books/{book}").status_code == 204


def test_a_copy_that_has_changed_is_not_overwritten_unseen(desk: Desk) -> None:
    copy = desk.copy(desk.book())
    path = f"/copies/{copy['id']}"
    seen = desk.library.get(path).headers["ETag"]
    desk.library.patch(path, {"location": "Shelf 1"})

    for method, body in {"PATCH": {"location": "Shelf 2"}, "DELETE": None}.items():
        options: dict[str, Any] = {"json": body} if body else {}
        assert told(desk.library.call(method, path, headers={"If-Match": seen}, **options)) == (
            412,
            "precondition_failed",
        )


def test_copies_count_and_lists_only_where_there_are_none(desk: Desk, owner: Engine) -> None:
    made = desk.library.post("/books", {"title": "Dune", "authors": [{"name": "F"}], "isbns": ["9780441172719"]}).json
    shelf = desk.library.post("/collections", {"name": "Main"}, role="lms").json["id"]
    rows = {"items": [{"isbn": "9780441172719", "copies_total": 5, "copies_available": 4}]}
    desk.library.call("PUT", f"/collections/{shelf}/items", role="lms", json=rows)

    listed = desk.counts(made["id"])
    copy = desk.copy(made["id"])
    single = desk.counts(made["id"])
    desk.library.delete(f"/copies/{copy['id']}")

    assert (listed, single, desk.counts(made["id"])) == ((5, 4, 0), (1, 1, 0), (5, 4, 0))
