"""Two books that become one, with copies, loans and queues of both."""

from __future__ import annotations

from app.catalog import service as catalog
from app.core.tenancy import tenant
from app.extensions import db
from tests.catalog.reading import a_book, shelve
from tests.circulation.desk import Desk
from tests.conftest import Person


def test_nobody_waits_for_what_they_have(desk: Desk, anna: Person, bob: Person) -> None:
    loser, survivor = (str(each) for each in shelve(desk.library, a_book(1, "Dune"), a_book(2, "Dune")))
    desk.copy(loser)
    loan, queued, behind = desk.lent(anna, book_id=loser), desk.held(survivor, by=anna), desk.held(survivor, by=bob)

    merge(desk)

    assert [desk.again(each)["status"] for each in (queued, behind)] == ["cancelled", "queued"]
    desk.give_back(loan)
    assert desk.again(behind)["status"] == "ready"


def test_a_book_that_became_another_is_lent_and_waited_for_by_its_old_id(desk: Desk, anna: Person, bob: Person) -> None:
    loser, survivor = (str(each) for each in shelve(desk.library, a_book(1, "Dune"), a_book(2, "Dune")))
    desk.copy(survivor)
    merge(desk)

    assert desk.lent(anna, book_id=loser)["book_id"] == survivor
    assert desk.held(loser, by=bob)["book_id"] == survivor


def merge(desk: Desk) -> None:
    """Let the first book become the second."""
    with desk.library.app.app_context(), tenant(desk.library.id):
        catalog.record_redirects([("OL1W", a_book(2, "Dune"))])
        db.session.remove()


def test_copies_loans_and_queues_follow_to_the_book_that_stays(desk: Desk, anna: Person, bob: Person) -> None:
    loser, survivor = (str(each) for each in shelve(desk.library, a_book(1, "Dune"), a_book(2, "Dune")))
    rea = desk.library.person("reader")
    out, waits = desk.copy(loser), desk.copy(survivor)
    loan = desk.lent(rea, copy_id=out["id"])
    queued, behind = desk.held(loser, by=anna), desk.held(loser, by=bob)
    ready = desk.held(survivor, by=anna)
    assert (ready["status"], queued["status"]) == ("ready", "queued")

    merge(desk)

    assert desk.library.get(f"/loans/{loan['id']}").json["book_id"] == survivor
    assert [desk.again(each)["status"] for each in (ready, queued, behind)] == ["ready", "cancelled", "queued"]
    assert (desk.again(behind)["book_id"], desk.again(behind)["position"]) == (survivor, 1)
    assert desk.counts(survivor) == (2, 0, 1)
    desk.give_back(loan)
    assert desk.again(behind)["copy_id"] == out["id"]
    assert desk.again(ready)["copy_id"] == waits["id"]
