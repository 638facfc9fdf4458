"""Lending, taking back and renewing.

Everything that moves a copy of a book holds the book first, and so comes one after the other; copies of different books
do not wait for each other. A reader is held as well, before the book, while something is lent to them: for the number
that they may have.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import CTE, DateTime, Integer, Row, ScalarSelect, Select, bindparam, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert

from app.catalog.models import Book
from app.circulation import queries
from app.circulation.models import Hold, HoldStatus, Loan
from app.circulation.service.errors import (
    BookHasHolds,
    HeldForAnotherReader,
    LoanLimitReached,
    LoanReturned,
    NoCopyAvailable,
    RenewalLimitReached,
)
from app.circulation.service.queues import free_copies, serve_queue
from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction
from app.core.errors import Forbidden, Invalid, NotFound
from app.core.security import Permission, current_actor
from app.core.sets import one_id, run, table_of
from app.core.tenancy import OWN_TENANT_ID, current_tenant_id, own
from app.events import service as events
from app.holdings import queries as holdings
from app.holdings.models import Copy, CopyStatus
from app.members.models import Reader, User
from app.tenants import queries as tenants
from app.tenants.models import Tenant

_BOOKS, _COPIES, _HOLDS, _LOANS = (table_of(each) for each in (Book, Copy, Hold, Loan))
_READERS, _USERS, _TENANTS = (table_of(each) for each in (Reader, User, Tenant))
# How a copy can be asked for, and what is said where there is none.
_UNKNOWN: Final = {
    "barcode": "No copy bears this barcode.",
    "copy_id": "There is no such copy.",
    "book_id": "There is no such book.",
}


def check_out(*, reader_id: UUID, by: str, wanted: Any) -> UUID:
    """Lend a reader one copy: `wanted` is its `barcode` or `copy_id`, or the `book_id` of which any will do.

    One that waits for the reader counts as free, and comes first. Answers the loan's id.

    Raises:
        Invalid: there is no such reader, copy or book.
        LoanLimitReached: the reader has as many loans as the library allows.
        HeldForAnotherReader: this copy waits for somebody else.
        NoCopyAvailable: this copy, or every one of the book, is not there to be lent.
    """
    with transaction():
        terms = hold_reader_and_book(reader_id, by=by, wanted=wanted)
        loan = run(
            _lending(by),
            wanted=wanted,
            reader=reader_id,
            of_book=terms.book_id,
            new_loan=new_id(),
            until=utc_now() + timedelta(days=terms.loan_days),
            most=terms.max_loans_per_reader,
        )
        if not loan:
            _refuse(reader_id, by=by, wanted=wanted, most=terms.max_loans_per_reader)
        [lent] = loan
        events.record("loan.created", subject_id=lent.id, copy_id=str(lent.copy_id), book_id=str(terms.book_id))
        if lent.hold_id is not None:
            events.record("hold.fulfilled", subject_id=lent.hold_id)
        if lent.held_copy_id not in (None, lent.copy_id):
            # The reader has taken another one than that which waited.
            free_copies([lent.held_copy_id])
            serve_queue(terms.book_id)
        touch(Generation.CATALOGUE)
    return UUID(str(lent.id))


def return_loan(loan_id: UUID | None) -> None:
    """Take a copy back; it goes to the first who waits for the book. A loan that is over stays as it is.

    Raises:
        NotFound: this tenant has no such loan.
    """
    with transaction():
        book_id = _hold_book_of(loan_id)
        over = update(_LOANS).values(returned_at=func.now()).returning(_LOANS.c.copy_id)
        open_one = (own(_LOANS.c), _LOANS.c.id == one_id("loan_id"), _LOANS.c.returned_at.is_(None))
        for (copy_id,) in run(over.where(*open_one), loan_id=loan_id):
            free_copies([copy_id])
            serve_queue(book_id)
            events.record("loan.returned", subject_id=loan_id, copy_id=str(copy_id), book_id=str(book_id))
            touch(Generation.CATALOGUE)


def renew_loan(loan_id: UUID | None) -> None:
    """Extend a loan by the library's `loan_days`, from the day it is due at, or from now where that is over.

    Raises:
        NotFound: there is no such loan, or none that the caller may see.
        Forbidden: it is somebody else's, and the caller lends nothing.
        LoanReturned: it is over.
        RenewalLimitReached: it was renewed as often as the library allows.
        BookHasHolds: somebody waits for the book.
    """
    seen, actor = visible_loan(loan_id), current_actor()
    if not actor.may(Permission.LOANS_MANAGE) and seen["reader_id"] != str(actor.id):
        raise Forbidden("A loan is renewed by whoever has it, and by the library.")
    with transaction() as session:
        book_id = _hold_book_of(loan_id)
        loan, library = queries.loan(loan_id, lock=True), tenants.tenant(current_tenant_id())
        assert loan is not None  # noqa: S101 - for the type checker: its book is held
        assert library is not None  # noqa: S101 - the same: the caller came by it
        if loan.returned_at is not None:
            raise LoanReturned("This loan is over.")
        if loan.renewals >= library.max_renewals:
            raise RenewalLimitReached(f"A loan can be renewed {library.max_renewals} times here.")
        if queries.is_waited_for(book_id):
            raise BookHasHolds("Somebody waits for this book.")
        loan.due_at = max(loan.due_at, utc_now()) + timedelta(days=library.loan_days)
        loan.renewals += 1
        session.flush()
        events.record("loan.renewed", subject_id=loan.id, renewals=loan.renewals)


def visible_loan(loan_id: UUID | None) -> dict[str, Any]:
    """One loan as clients see it.

    Raises:
        NotFound: there is none, or none that the caller may see.
    """
    found = queries.visible_loan(loan_id)
    if found is None:
        raise NotFound("There is no such loan.")
    return found


def hold_reader_and_book(reader_id: UUID, *, by: str, wanted: Any) -> Row[Any]:
    """Hold both until the transaction ends: `book_id`, and the terms on which the library lends.

    Raises:
        Invalid: there is no such reader, or nothing that is `wanted`.
    """
    # Once more, in case that two books became one while this waited.
    found = run(_holding(by), reader=reader_id, wanted=wanted) or run(_holding(by), reader=reader_id, wanted=wanted)
    if not found:
        if run(_reader(), reader=reader_id):
            raise Invalid.field(by, _UNKNOWN[by])
        raise Invalid.field("reader_id", "There is no such reader, or they are kept out.")
    return found[0]


def _hold_book_of(loan_id: UUID | None) -> UUID:
    """Hold the book of a loan.

    Raises:
        NotFound: this tenant has no such loan.
    """
    book_id = holdings.lock_book_of(lambda: queries.book_of_loan(loan_id))
    if book_id is None:
        raise NotFound("There is no such loan.")
    return book_id


def _refuse(reader_id: UUID, *, by: str, wanted: Any, most: int) -> NoReturn:
    if queries.open_loans(reader_id) >= most:
        raise LoanLimitReached(f"The reader has {most} loans, as many as the library allows.")
    if by == "book_id":
        raise NoCopyAvailable("No copy of this book is there to be lent.")
    statuses = run(select(_COPIES.c.status).where(own(_COPIES.c), _asked(by)), wanted=wanted)
    status = statuses[0].status if statuses else None
    if status == CopyStatus.ON_HOLD:
        raise HeldForAnotherReader("This copy waits for another reader.")
    raise NoCopyAvailable(f"This copy is not there to be lent: its status is {status}.")


# — statements —————————————————————————————————————————————————————————————————————————————————————


def _asked(by: str) -> Any:
    """The copies that will do."""
    return {
        "barcode": _COPIES.c.barcode == bindparam("wanted"),
        "copy_id": _COPIES.c.id == one_id("wanted"),
        "book_id": true(),
    }[by]


def _book_wanted(by: str) -> Any:
    if by == "book_id":
        return one_id("wanted")
    return select(_COPIES.c.book_id).where(own(_COPIES.c), _asked(by)).scalar_subquery()


@cache
def _reader() -> Select[Any]:
    return (
        select(_READERS.c.id)
        .join(_USERS, (_USERS.c.tenant_id == _READERS.c.tenant_id) & (_USERS.c.id == _READERS.c.id))
        .where(own(_READERS.c), _READERS.c.id == one_id("reader"), _USERS.c.is_active)
    )


@cache
def _holding(by: str) -> Select[Any]:
    return (
        _reader()
        .join(_TENANTS, _TENANTS.c.id == _READERS.c.tenant_id)
        .join(_BOOKS, (_BOOKS.c.tenant_id == _READERS.c.tenant_id) & (_BOOKS.c.id == _book_wanted(by)))
        .with_only_columns(_BOOKS.c.id.label("book_id"), _TENANTS.c.loan_days, _TENANTS.c.max_loans_per_reader)
        .with_for_update(of=[_READERS, _BOOKS], key_share=True)
    )


@cache
def _lending(by: str) -> Select[Any]:
    """One free copy, if there is one and the reader may have it, with what becomes of it, the reader's hold and a loan.

    What is held stays as it is while this is read: the number of loans, and which copies are free.
    """
    chosen = _chosen(by)
    moved = (
        update(_COPIES)
        .values(status=CopyStatus.ON_LOAN, updated_at=func.now())
        .where(own(_COPIES.c), _COPIES.c.id == chosen.c.id)
        .returning(_COPIES.c.id, _COPIES.c.book_id)
        .cte("moved")
    )
    loan = select(
        OWN_TENANT_ID,
        one_id("new_loan"),
        moved.c.book_id,
        moved.c.id,
        one_id("reader"),
        bindparam("until", type_=DateTime(timezone=True)),
    )
    names = ["tenant_id", "id", "book_id", "copy_id", "reader_id", "due_at"]
    lent = (
        insert(_LOANS)
        .from_select(names, loan, include_defaults=False)
        .returning(_LOANS.c.id, _LOANS.c.copy_id)
        .cte("lent")
    )
    ended = _ended(lent)
    return select(
        lent.c.id, lent.c.copy_id, ended.c.id.label("hold_id"), ended.c.copy_id.label("held_copy_id")
    ).select_from(lent.outerjoin(ended, true()))


def _chosen(by: str) -> CTE:
    waits = _COPIES.c.status == CopyStatus.ON_HOLD
    return (
        select(_COPIES.c.id)
        .outerjoin(_HOLDS, (_HOLDS.c.tenant_id == _COPIES.c.tenant_id) & (_HOLDS.c.copy_id == _COPIES.c.id))
        .where(
            own(_COPIES.c),
            _COPIES.c.book_id == one_id("of_book"),
            _asked(by),
            or_(_COPIES.c.status == CopyStatus.AVAILABLE, waits & (_HOLDS.c.reader_id == one_id("reader"))),
            _loans_of_reader() < bindparam("most", type_=Integer),
        )
        .order_by(waits.desc(), _COPIES.c.id)
        .limit(1)
        .with_for_update(of=_COPIES, key_share=True)
        .cte("chosen")
    )


def _loans_of_reader() -> ScalarSelect[int]:
    theirs = (own(_LOANS.c), _LOANS.c.reader_id == one_id("reader"), _LOANS.c.returned_at.is_(None))
    return select(func.count()).select_from(_LOANS).where(*theirs).scalar_subquery()


def _ended(lent: CTE) -> CTE:
    """The reader's hold of the book, where there is one, with the copy that has waited for them."""
    former = (
        select(_HOLDS.c.id, _HOLDS.c.copy_id)
        .where(
            own(_HOLDS.c),
            _HOLDS.c.book_id == one_id("of_book"),
            _HOLDS.c.reader_id == one_id("reader"),
            _HOLDS.c.ended_at.is_(None),
        )
        .cte("former")
    )
    return (
        update(_HOLDS)
        .values(status=HoldStatus.FULFILLED, copy_id=None, expires_at=None, ended_at=func.now())
        .where(own(_HOLDS.c), _HOLDS.c.id == former.c.id, select(lent.c.id).exists())
        .returning(_HOLDS.c.id, former.c.copy_id)
        .cte("ended")
    )
