"""What readers are told by mail."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import Engine

from app.circulation import service
from app.core.tenancy import tenant
from app.extensions import db
from app.mail import service as mail
from tests.auth.people import execute
from tests.circulation.desk import Desk
from tests.conftest import Person
from tests.core.conftest import LogLines, log_lines

__all__ = ["log_lines"]


@pytest.fixture
def lent(desk: Desk, anna: Person) -> dict[str, Any]:
    """What a reader has."""
    return desk.lent(anna, book_id=desk.book(copies=1))


def promise(desk: Desk) -> int:
    """Do what beat has done now and then."""
    with desk.library.app.app_context(), tenant(desk.library.id):
        promised = service.promise_notices()
        db.session.remove()
    return promised


def sent(desk: Desk, log_lines: LogLines) -> list[tuple[str, str, str]]:
    """Whom the worker has written to since it was asked last, with what."""
    before = len(log_lines.all("mail.shown"))
    with desk.library.app.app_context():
        mail.send_due_mails()
        db.session.remove()
    return [(each["to"], each["subject"], each["text"]) for each in log_lines.all("mail.shown")[before:]]


def let_days_go_by(owner: Engine, days: int) -> None:
    """As many, for all loans."""
    moved = "borrowed_at = borrowed_at - make_interval(days => :days), due_at = due_at - make_interval(days => :days)"
    execute(owner, f"UPDATE loans SET {moved}", days=days)


@pytest.mark.parametrize(
    ("days", "told_of"),
    [(13, ("Due soon at Riverside", "is due on")), (15, ("Overdue at Riverside", "was due on"))],
    ids=["due", "overdue"],
)
@pytest.mark.usefixtures("lent")
def test_readers_are_told_once_of_what_is_due(
    desk: Desk, owner: Engine, log_lines: LogLines, days: int, told_of: tuple[str, str]
) -> None:
    assert promise(desk) == 0
    let_days_go_by(owner, days)

    assert (promise(desk), promise(desk)) == (1, 0)

    [(to, subject, text)] = sent(desk, log_lines)
    assert (to, subject) == ("anna@example.org", told_of[0])
    assert text.startswith(f"Hello Anna Smith,\n\n“Dune”, which you have on loan, {told_of[1]}")
    assert sent(desk, log_lines) == []


def test_a_loan_that_was_renewed_is_told_of_again(desk: Desk, anna: Person, owner: Engine, log_lines: LogLines) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))
    let_days_go_by(owner, 13)
    promise(desk)
    desk.renew(loan)

    # By the time the mail is written, the loan is not due any more.
    assert sent(desk, log_lines) == []
    let_days_go_by(owner, 13)
    assert promise(desk) == 1
    assert len(sent(desk, log_lines)) == 1


def test_nobody_is_told_of_what_is_back(desk: Desk, anna: Person, owner: Engine, log_lines: LogLines) -> None:
    loan = desk.lent(anna, book_id=desk.book(copies=1))
    let_days_go_by(owner, 15)
    promise(desk)
    desk.give_back(loan)

    assert (sent(desk, log_lines), promise(desk)) == ([], 0)


def test_a_loan_that_lasts_no_longer_than_the_warning_is_not_announced(desk: Desk, anna: Person, owner: Engine) -> None:
    desk.library.patch("", {"settings": {"loan_days": 1}}, role="admin")
    desk.lent(anna, book_id=desk.book(copies=1))

    assert promise(desk) == 0
    let_days_go_by(owner, 2)
    assert promise(desk) == 1


@pytest.mark.parametrize("fields", [{}, {"email": "kim@example.org", "is_active": False}], ids=["no address", "out"])
def test_who_has_no_address_or_is_kept_out_is_told_nothing(
    desk: Desk, owner: Engine, log_lines: LogLines, fields: dict[str, Any]
) -> None:
    is_active = fields.pop("is_active", True)
    kim = desk.library.person("reader", **fields)
    desk.lent(kim, book_id=desk.book(copies=1))
    desk.library.patch(f"/users/{kim.id}", {"is_active": is_active}, role="admin")
    let_days_go_by(owner, 15)
    promise(desk)

    assert sent(desk, log_lines) == []


def test_readers_are_told_that_a_copy_waits(desk: Desk, anna: Person, bob: Person, log_lines: LogLines) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(bob, book_id=book)
    hold = desk.held(book, by=anna)
    assert sent(desk, log_lines) == []

    desk.give_back(loan)

    [(to, subject, text)] = sent(desk, log_lines)
    assert (to, subject) == ("anna@example.org", "Ready to be fetched at Riverside")
    assert f"“Dune” waits for you until {desk.again(hold)['expires_at'][:10]}." in text


def test_a_copy_that_was_fetched_is_not_announced(desk: Desk, anna: Person, log_lines: LogLines) -> None:
    book = desk.book(copies=1)
    desk.held(book, by=anna)
    desk.lent(anna, book_id=book)

    assert sent(desk, log_lines) == []
