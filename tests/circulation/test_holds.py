"""Waiting for a book."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.circulation import queries, service
from app.core.tenancy import tenant
from app.extensions import db
from tests.auth.people import events, execute, told
from tests.circulation.desk import Desk
from tests.conftest import Answer, Library, Person


def test_a_copy_that_comes_back_goes_to_the_first_in_the_queue(desk: Desk, anna: Person, bob: Person) -> None:
    book, rea = desk.book(copies=1), desk.library.person("reader")
    loan = desk.lent(rea, book_id=book)
    first, second = desk.held(book, by=anna), desk.held(book, by=bob)

    assert [(each["status"], each["position"]) for each in (first, second)] == [("queued", 1), ("queued", 2)]
    desk.give_back(loan)

    first, second = desk.again(first), desk.again(second)
    assert [(each["status"], each["position"]) for each in (first, second)] == [("ready", 1), ("queued", 2)]
    assert (first["copy_id"], second["copy_id"]) == (loan["copy_id"], None)
    assert desk.statuses(book) == ["on_hold"]
    assert desk.counts(book) == (1, 0, 1)


def test_a_copy_that_waits_goes_to_whoever_it_waits_for(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book(copies=1)
    hold = desk.held(book, by=anna)

    refused = desk.lend(bob, copy_id=hold["copy_id"])
    loan = desk.lend(anna, copy_id=hold["copy_id"])

    assert told(refused) == (409, "held_for_another_reader")
    assert told(desk.lend(bob, book_id=book)) == (409, "no_copy_available")
    assert loan.status_code == 201
    assert (desk.again(hold)["status"], desk.again(hold)["position"]) == ("fulfilled", None)


def test_a_free_copy_is_set_aside_at_once(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)

    hold = desk.held(book, by=anna)

    assert (hold["status"], hold["position"], desk.statuses(book)) == ("ready", 1, ["on_hold"])


def test_whoever_takes_another_copy_lets_the_one_that_waited_go_to_the_next(
    desk: Desk, anna: Person, bob: Person
) -> None:
    book, rea = desk.book(copies=1), desk.library.person("reader")
    hold = desk.held(book, by=anna)
    # Registered when nobody is left to wait, so that it is on the shelf.
    other = desk.copy(book)
    behind = desk.held(book, by=bob)
    assert behind["copy_id"] == other["id"]
    desk.library.delete(f"/holds/{behind['id']}", token=bob.token)
    waiting = [desk.lend(anna, copy_id=other["id"]), desk.lend(rea, book_id=book)]

    assert [each.status_code for each in waiting] == [201, 201]
    assert desk.again(hold)["status"] == "fulfilled"
    assert desk.statuses(book) == ["on_loan", "on_loan"]


def test_nobody_waits_twice_or_for_what_they_have(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book(copies=1)
    desk.lent(bob, book_id=book)
    desk.held(book, by=anna)

    assert told(desk.hold(book, by=anna)) == (409, "already_on_hold")
    assert told(desk.hold(book, by=bob)) == (409, "already_on_loan")


def test_a_hold_that_is_cancelled_lets_the_next_come(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book(copies=1)
    first, second = desk.held(book, by=anna), desk.held(book, by=bob)

    answers = [desk.library.delete(f"/holds/{first['id']}", token=anna.token) for _ in range(2)]

    assert [each.status_code for each in answers] == [204, 204]
    assert (desk.again(first)["status"], desk.again(second)["status"]) == ("cancelled", "ready")
    assert desk.library.delete(f"/holds/{second['id']}", token=anna.token).status_code == 404
    assert desk.library.delete(f"/holds/{second['id']}", role="librarian").status_code == 204
    assert desk.counts(book) == (1, 1, 0)


def test_what_was_fulfilled_is_not_cancelled(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    hold = desk.held(book, by=anna)
    desk.lent(anna, book_id=book)

    assert told(desk.library.delete(f"/holds/{hold['id']}", token=anna.token)) == (409, "hold_ended")


def test_a_copy_that_is_not_fetched_in_three_days_goes_to_the_next(
    desk: Desk, anna: Person, bob: Person, owner: Engine
) -> None:
    book = desk.book(copies=1)
    first, second = desk.held(book, by=anna), desk.held(book, by=bob)
    assert execute(owner, "SELECT round(extract(epoch FROM expires_at - now()) / 86400) FROM holds WHERE"
                   " status = 'ready'") == [(3,)]  # fmt: skip
    assert expire(desk) == 0
    execute(owner, "UPDATE holds SET expires_at = now() - interval '1 second' WHERE status = 'ready'")

    assert (expire(desk), expire(desk)) == (1, 0)

    assert (desk.again(first)["status"], desk.again(second)["status"]) == ("expired", "ready")
    assert told(desk.lend(anna, copy_id=first["copy_id"])) == (409, "held_for_another_reader")


def test_staff_say_for_whom_and_readers_wait_for_themselves(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book()

    def place(body: dict[str, Any], **options: Any) -> tuple[int, Any]:
        answer = desk.library.post("/holds", {"book_id": book, **body}, **options)
        return answer.status_code, answer.json.get("reader_id")

    assert place({}, role="librarian") == (422, None)
    assert place({"reader_id": str(bob.id)}, token=anna.token) == (403, None)
    assert place({"reader_id": str(anna.id)}, role="librarian") == (201, str(anna.id))
    assert place({}, token=bob.token) == (201, str(bob.id))
    assert place({}, role="kiosk")[0] == 403


def test_readers_see_their_own_holds(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book()
    mine, other = desk.held(book, by=anna), desk.held(book, by=bob)

    def seen(**options: Any) -> list[tuple[str, int]]:
        return [(each["id"], each["position"]) for each in desk.library.get("/holds", **options).json["items"]]

    assert seen(token=bob.token) == [(other["id"], 2)]
    assert seen(role="librarian", query_string={"book_id": book}) == [(mine["id"], 1), (other["id"], 2)]
    assert desk.library.get(f"/holds/{mine['id']}", token=bob.token).status_code == 404


def test_another_librarys_holds_are_not_there(desk: Desk, anna: Person, other_library: Library) -> None:
    hold = desk.held(desk.book(), by=anna)

    for method in ("GET", "DELETE"):
        assert other_library.call(method, f"/holds/{hold['id']}", role="librarian").status_code == 404


def test_of_many_who_wait_at_once_each_has_a_place_of_their_own(desk: Desk) -> None:
    book = desk.book(copies=2)
    readers = [desk.library.person("reader") for _ in range(12)]

    with ThreadPoolExecutor(12) as pool:
        holds = list(pool.map(lambda reader: desk.held(book, by=reader), readers))

    now = [desk.again(hold) for hold in holds]
    assert sorted(each["position"] for each in now) == list(range(1, 13))
    assert [each["status"] for each in sorted(now, key=lambda each: each["position"])] == ["ready"] * 2 + [
        "queued"
    ] * 10


def test_a_copy_is_never_forgotten_between_who_returns_and_who_waits(desk: Desk) -> None:
    readers = [desk.library.person("reader") for _ in range(6)]
    desk.library.key("kiosk")
    for _ in range(5):
        book = desk.book(copies=1)
        loan = desk.lent(readers[0], book_id=book)
        with ThreadPoolExecutor(6) as pool:
            back = pool.submit(desk.give_back, loan)
            holds = list(pool.map(lambda reader: desk.held(book, by=reader), readers[1:]))  # noqa: B023 - done within
        assert back.result().status_code == 200
        assert sorted(desk.again(each)["status"] for each in holds) == ["queued"] * 4 + ["ready"]


# — what happens elsewhere —————————————————————————————————————————————————————————————————————————


def test_whoever_is_erased_waits_for_nothing_and_their_loans_tell_of_nobody(
    desk: Desk, anna: Person, bob: Person, owner: Engine
) -> None:
    book, other = desk.book(copies=1), desk.book(copies=1)
    desk.held(book, by=anna)
    behind = desk.held(book, by=bob)
    loan = desk.lent(anna, book_id=other)

    held = desk.library.get(f"/users/{anna.id}/export", role="admin").json
    erased = desk.library.post(f"/users/{anna.id}/erase", role="admin")

    assert ([each["id"] for each in held["loans"]], len(held["holds"])) == ([loan["id"]], 1)
    assert (erased.status_code, erased.json["erased"]["loans"], erased.json["erased"]["holds"]) == (200, 1, 1)
    assert desk.again(behind)["status"] == "ready"
    assert desk.library.get(f"/loans/{loan['id']}", role="librarian").json["reader_id"] is None
    assert desk.give_back(loan).status_code == 200
    assert desk.counts(other) == (1, 1, 1)


def test_each_step_leaves_an_event_without_the_reader(desk: Desk, anna: Person, bob: Person, owner: Engine) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)
    hold = desk.held(book, by=bob)
    desk.give_back(loan)
    desk.library.delete(f"/holds/{hold['id']}", token=bob.token)

    told_of = {name: events(owner, name)[0] for name in ("loan.created", "loan.returned", "hold.placed", "hold.ready",
                                                         "hold.cancelled")}  # fmt: skip
    assert [str(each[0]) for each in told_of.values()] == [loan["id"]] * 2 + [hold["id"]] * 3
    with owner.connect() as connection:
        trail = connection.execute(text("SELECT * FROM events WHERE type ~ '^(loan|hold)[.]'")).all()
    assert len(trail) == 5
    assert [str(each) for each in trail if str(anna.id) in str(each) or str(bob.id) in str(each)] == []
    assert {each.data["book_id"] for each in trail} == {book}


def test_whoever_is_kept_out_keeps_their_place_and_gets_nothing(desk: Desk, anna: Person, bob: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(desk.library.person("reader"), book_id=book)
    first, second = desk.held(book, by=anna), desk.held(book, by=bob)
    desk.library.patch(f"/users/{anna.id}", {"is_active": False}, role="admin")

    desk.give_back(loan)
    assert [desk.again(each)["status"] for each in (first, second)] == ["queued", "ready"]

    desk.library.patch(f"/users/{anna.id}", {"is_active": True}, role="admin")
    desk.give_back(desk.lent(bob, book_id=book))
    assert desk.again(first)["status"] == "ready"


def test_a_hold_that_is_gone_does_not_keep_the_others_from_expiring(
    desk: Desk, anna: Person, bob: Person, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reader in (anna, bob):
        desk.held(desk.book(copies=1), by=reader)
    execute(owner, "UPDATE holds SET expires_at = now() - interval '1 day'")
    expired = queries.expired_holds
    monkeypatch.setattr(queries, "expired_holds", lambda **asked: [uuid4(), *expired(**asked)])

    assert expire(desk) == 2


def test_with_a_book_goes_whoever_waits_for_it(desk: Desk, anna: Person, owner: Engine) -> None:
    hold = desk.held(desk.book(), by=anna)

    assert desk.library.delete(f"/books/{hold['book_id']}").status_code == 204

    assert [str(each[0]) for each in events(owner, "hold.cancelled")] == [hold["id"]]
    assert desk.library.get(f"/holds/{hold['id']}").status_code == 404


def test_a_copy_that_is_lost_lets_whoever_it_waited_for_wait_on(desk: Desk, anna: Person, owner: Engine) -> None:
    book = desk.book(copies=1)
    hold = desk.held(book, by=anna)

    desk.library.patch(f"/copies/{hold['copy_id']}", {"status": "lost"})

    assert desk.again(hold)["status"] == "queued"
    assert [str(each[0]) for each in events(owner, "hold.queued_again")] == [hold["id"]]


def test_what_was_answered_is_not_told_again_once_its_reader_is_erased(desk: Desk, anna: Person) -> None:
    book, other = desk.book(copies=1), desk.book()
    loan = desk.lent(anna, book_id=book)
    asked = {
        "renew": (f"/loans/{loan['id']}/renew", None),
        "hold": ("/holds", {"reader_id": str(anna.id), "book_id": other}),
        "return": (f"/loans/{loan['id']}/return", None),
        "lend": ("/loans", {"reader_id": str(anna.id), "book_id": book}),
    }

    def ask(key: str) -> Answer:
        path, body = asked[key]
        return desk.library.post(path, body, role="librarian", headers={"Idempotency-Key": key})

    assert [ask(key).json["reader_id"] for key in asked] == [str(anna.id)] * 4
    assert desk.library.post(f"/users/{anna.id}/erase", role="admin").status_code == 200

    answers = [ask(key) for key in asked]
    assert ["Idempotent-Replayed" in each.headers for each in answers] == [False] * 4
    assert [each.text for each in answers if str(anna.id) in each.text] == []


def test_who_borrows_and_is_changed_at_once_meets_no_deadlock(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=30)
    desk.library.patch("", {"settings": {"max_loans_per_reader": 100}}, role="admin")
    desk.library.key("kiosk")

    def lend(number: int) -> int:
        body = {"reader_id": str(anna.id), "book_id": book}
        return desk.library.post("/loans", body, role="kiosk", headers={"Idempotency-Key": f"k{number}"}).status_code

    def change(number: int) -> int:
        return desk.library.patch(f"/users/{anna.id}", {"min_age": number}, role="admin").status_code

    with ThreadPoolExecutor(4) as pool:
        lent, changed = [pool.submit(lend, n) for n in range(30)], [pool.submit(change, n) for n in range(30)]
        assert ({each.result() for each in lent}, {each.result() for each in changed}) == ({201}, {200})


def expire(desk: Desk) -> int:
    """Do what beat has done now and then."""
    with desk.library.app.app_context(), tenant(desk.library.id):
        expired = service.expire_holds()
        db.session.remove()
    return expired
