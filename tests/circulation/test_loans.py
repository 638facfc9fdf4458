"""Lending, taking back, renewing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.auth.people import execute, told
from tests.circulation.desk import Desk
from tests.conftest import Library, Person
from tests.ingestion.conftest import wait_until

NOBODY = "01980000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("by", ["barcode", "copy_id", "book_id"])
def test_a_copy_is_lent_by_whatever_names_it(desk: Desk, anna: Person, by: str) -> None:
    book = desk.book()
    copy = desk.copy(book)

    answer = desk.lend(anna, **{by: {"barcode": copy["barcode"], "copy_id": copy["id"], "book_id": book}[by]})

    loan = answer.json
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(f"/loans/{loan['id']}")
    assert (loan["reader_id"], loan["book_id"], loan["title"]) == (str(anna.id), book, "Dune")
    assert (loan["copy_id"], loan["barcode"]) == (copy["id"], copy["barcode"])
    assert (loan["status"], loan["returned_at"], loan["renewals"]) == ("active", None, 0)
    assert desk.statuses(book) == ["on_loan"]
    assert desk.counts(book) == (1, 0, 1)


def test_a_loan_lasts_as_long_as_the_library_says(desk: Desk, anna: Person, owner: Engine) -> None:
    desk.library.patch("", {"settings": {"loan_days": 3}}, role="admin")
    desk.lent(anna, book_id=desk.book(copies=1))

    assert execute(owner, "SELECT round(extract(epoch FROM due_at - borrowed_at) / 86400) FROM loans") == [(3,)]


def test_a_copy_comes_back_once_however_often_it_is_said(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)

    first, second = desk.give_back(loan), desk.give_back(loan)

    assert (first.status_code, first.json["status"]) == (200, "returned")
    assert second.json == first.json
    assert desk.counts(book) == (1, 1, 1)


def test_what_is_out_lost_or_withdrawn_is_not_lent(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book()
    out, lost, gone = desk.copy(book), desk.copy(book, status="lost"), desk.copy(book, status="withdrawn")
    desk.lent(anna, copy_id=out["id"])

    refused = [desk.lend(bob, barcode=each["barcode"]) for each in (out, lost, gone)] + [desk.lend(bob, book_id=book)]

    assert [told(each) for each in refused] == [(409, "no_copy_available")] * 4


def test_nobody_has_more_loans_than_the_library_allows(desk: Desk, anna: Person, bob: Person) -> None:
    desk.library.patch("", {"settings": {"max_loans_per_reader": 2}}, role="admin")
    book = desk.book(copies=4)
    first, _ = desk.lent(anna, book_id=book), desk.lent(anna, book_id=book)

    assert told(desk.lend(anna, book_id=book)) == (409, "loan_limit_reached")
    assert desk.lend(bob, book_id=book).status_code == 201
    desk.give_back(first)
    assert desk.lend(anna, book_id=book).status_code == 201


def test_nobody_gets_past_the_limit_by_asking_at_once(desk: Desk, anna: Person) -> None:
    desk.library.patch("", {"settings": {"max_loans_per_reader": 3}}, role="admin")
    books = [desk.book(copies=1) for _ in range(8)]
    desk.library.key("kiosk")

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda book: desk.lend(anna, book_id=book).status_code, books))

    assert statuses == [201] * 3 + [409] * 5


def test_of_a_hundred_who_want_the_last_copy_at_once_one_gets_it(desk: Desk, owner: Engine) -> None:
    book = desk.book(copies=1)
    readers = [desk.library.person("reader") for _ in range(100)]
    desk.library.key("kiosk")

    with ThreadPoolExecutor(100) as pool:
        statuses = sorted(pool.map(lambda reader: desk.lend(reader, book_id=book).status_code, readers))

    assert statuses == [201] + [409] * 99
    assert desk.counts(book) == (1, 0, 1)
    assert execute(owner, "SELECT count(*) FROM loans") == [(1,)]


def test_the_database_has_no_second_loan_of_a_copy(desk: Desk, anna: Person, owner: Engine) -> None:
    desk.lent(anna, book_id=desk.book(copies=1))
    again = (
        "INSERT INTO loans (tenant_id, id, book_id, copy_id, due_at)"
        " SELECT tenant_id, gen_random_uuid(), book_id, copy_id, due_at FROM loans"
    )

    with pytest.raises(Exception, match="uq_loans_open_copy"), owner.begin() as connection:
        connection.execute(text(again))


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("reader_id", {"reader_id": NOBODY, "book_id": "book"}),
        ("book_id", {"book_id": NOBODY}),
        ("copy_id", {"copy_id": NOBODY}),
        ("barcode", {"barcode": "nobody-s"}),
        ("barcode", {"barcode": "no spaces"}),
        ("body", {}),
        ("body", {"book_id": "book", "barcode": "x"}),
        ("days", {"book_id": "book", "days": 3}),
    ],
)
def test_what_names_no_reader_or_copy_is_refused(desk: Desk, anna: Person, field: str, body: dict[str, Any]) -> None:
    book = desk.book(copies=1)
    body = {"reader_id": str(anna.id), **{name: book if value == "book" else value for name, value in body.items()}}

    refused = desk.library.post("/loans", body, role="kiosk")

    assert told(refused) == (422, "invalid_input")
    assert [each["field"] for each in refused.json["errors"]] == [field]


def test_staff_guardians_and_those_who_are_kept_out_borrow_nothing(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    desk.library.patch(f"/users/{anna.id}", {"is_active": False}, role="admin")

    for person in (anna, desk.library.person("librarian"), desk.library.person("guardian")):
        refused = desk.lend(person, book_id=book)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "reader_id")


def test_a_request_that_is_repeated_lends_once(desk: Desk, anna: Person) -> None:
    body = {"reader_id": str(anna.id), "book_id": desk.book(copies=2)}
    options = {"role": "kiosk", "headers": {"Idempotency-Key": "k-1"}}

    first, second = (desk.library.post("/loans", body, **options) for _ in range(2))

    assert (first.status_code, second.status_code, first.json) == (201, 201, second.json)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert desk.counts(body["book_id"]) == (2, 1, 1)


def test_a_loan_begins_when_the_one_before_is_over(desk: Desk, anna: Person, bob: Person, owner: Engine) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)

    with ThreadPoolExecutor(2) as pool, owner.begin() as connection:
        # Both transactions have begun before the book is theirs.
        connection.execute(text("SELECT FROM books WHERE id = :book FOR UPDATE"), {"book": book})
        back = pool.submit(desk.give_back, loan)
        wait_until(lambda: waiting(owner) == 1, seconds=10, what="whoever brings it back waits")
        again = pool.submit(desk.lend, bob, book_id=book)
        wait_until(lambda: waiting(owner) == 2, seconds=10, what="whoever wants it waits")
        connection.commit()
        assert (back.result().status_code, again.result().status_code) == (200, 201)

    [(returned_at,), (borrowed_at,)] = execute(
        owner, "SELECT coalesce(returned_at, borrowed_at) FROM loans ORDER BY borrowed_at"
    )
    assert returned_at <= borrowed_at


def waiting(owner: Engine) -> int:
    """How many wait for a lock."""
    [(count,)] = execute(owner, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(count)


def test_a_kiosk_sees_what_a_copy_is_lent_to_and_no_more(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    past = desk.lent(anna, book_id=book)
    desk.give_back(past)
    barcode = desk.library.get(f"/books/{book}/copies").json["items"][0]["barcode"]
    loan = desk.lent(anna, barcode=barcode)
    desk.held(book, by=desk.library.person("reader"))

    assert [each["id"] for each in desk.library.get(f"/loans?barcode={barcode}", role="kiosk").json["items"]] == [
        loan["id"]
    ]
    assert desk.library.get(f"/loans?reader_id={anna.id}", role="kiosk").status_code == 403
    assert desk.library.get(f"/loans?barcode={barcode}&status=returned", role="kiosk").json["items"] == []
    assert desk.library.get("/holds", role="kiosk").json["items"] == []


# — renewing ———————————————————————————————————————————————————————————————————————————————————————


def test_a_loan_is_renewed_as_often_as_the_library_allows(desk: Desk, anna: Person, owner: Engine) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))

    answers = [desk.renew(loan, by=anna), desk.renew(loan), desk.renew(loan, by=anna)]

    assert [each.status_code for each in answers] == [200, 200, 409]
    assert answers[2].json["code"] == "renewal_limit_reached"
    assert [each.json["renewals"] for each in answers[:2]] == [1, 2]
    days = "SELECT round(extract(epoch FROM due_at - borrowed_at) / 86400) FROM loans"
    assert execute(owner, days) == [(42,)]


def test_an_overdue_loan_is_renewed_from_now(desk: Desk, anna: Person, owner: Engine) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))
    make_overdue(owner)
    assert desk.library.get(f"/loans/{loan['id']}", token=anna.token).json["status"] == "overdue"

    renewed = desk.renew(loan, by=anna)

    assert renewed.json["status"] == "active"
    assert execute(owner, "SELECT round(extract(epoch FROM due_at - now()) / 86400) FROM loans") == [(14,)]


def test_what_somebody_waits_for_is_not_renewed(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)
    desk.held(book, by=bob)

    assert told(desk.renew(loan, by=anna)) == (409, "book_has_holds")


def test_what_is_over_is_not_renewed(desk: Desk, anna: Person) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))
    desk.give_back(loan)

    assert told(desk.renew(loan, by=anna)) == (409, "loan_returned")


def test_readers_renew_their_own_loans_and_guardians_none(desk: Desk, anna: Person, bob: Person) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))
    guardian = desk.library.person("guardian")
    desk.library.call("PUT", f"/users/{guardian.id}/readers/{anna.id}", role="admin")

    assert told(desk.renew(loan, by=bob)) == (404, "not_found")
    assert told(desk.renew(loan, by=guardian)) == (403, "forbidden")


# — who sees what ——————————————————————————————————————————————————————————————————————————————————


def test_readers_see_their_own_loans_and_guardians_those_of_theirs(desk: Desk, anna: Person, bob: Person) -> None:
    mine, other = desk.lent(anna, book_id=desk.book(copies=1)), desk.lent(bob, book_id=desk.book(copies=1))
    guardian = desk.library.person("guardian")
    desk.library.call("PUT", f"/users/{guardian.id}/readers/{bob.id}", role="admin")

    assert seen(desk, token=anna.token) == [mine["id"]]
    assert seen(desk, token=guardian.token) == [other["id"]]
    assert seen(desk, role="librarian") == [other["id"], mine["id"]]
    assert seen(desk, token=anna.token, query_string={"reader_id": str(bob.id)}) == []
    assert desk.library.get(f"/loans/{other['id']}", token=anna.token).status_code == 404
    assert desk.library.get(f"/loans/{other['id']}", token=guardian.token).status_code == 200


def test_loans_are_found_by_reader_book_copy_state_and_date(
    desk: Desk, anna: Person, bob: Person, owner: Engine
) -> None:
    book = desk.book(copies=1)
    back = desk.lent(anna, book_id=book)
    desk.give_back(back)
    late = desk.lent(bob, book_id=book)
    make_overdue(owner)
    open_one = desk.lent(anna, book_id=desk.book(copies=1))

    for narrowed, ids in {
        ("reader_id", str(anna.id)): [open_one["id"], back["id"]],
        ("book_id", book): [back["id"], late["id"]],
        ("copy_id", late["copy_id"]): [back["id"], late["id"]],
        ("barcode", open_one["barcode"]): [open_one["id"]],
        ("status", "active"): [open_one["id"]],
        ("status", "overdue"): [late["id"]],
        ("status", "returned"): [back["id"]],
        ("due_before", "2020-01-01T00:00:00Z"): [],
    }.items():
        assert seen(desk, role="librarian", query_string=dict([narrowed])) == ids, narrowed
    assert seen(desk, role="librarian", query_string={"sort": "due_at"})[0] == late["id"]


def test_another_librarys_loans_are_not_there(desk: Desk, anna: Person, other_library: Library) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))

    for method, path in (("GET", ""), ("POST", "/return"), ("POST", "/renew")):
        answer = other_library.call(method, f"/loans/{loan['id']}{path}", role="librarian")
        assert told(answer) == (404, "not_found")
    refused = other_library.post("/loans", {"reader_id": str(anna.id), "copy_id": loan["copy_id"]}, role="kiosk")
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "reader_id")


def seen(desk: Desk, **options: Any) -> list[str]:
    """The ids of the loans that somebody is shown."""
    answer = desk.library.get("/loans", **options)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json["items"]]


def make_overdue(owner: Engine) -> None:
    """Let a month go by since all loans were made."""
    execute(
        owner,
        "UPDATE loans SET borrowed_at = borrowed_at - interval '30 days', due_at = due_at - interval '30 days'"
        " WHERE returned_at IS NULL",
    )
