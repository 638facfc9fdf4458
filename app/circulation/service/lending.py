"""Lending, taking back and renewing.

Everything that moves a copy of a book holds the book first, and so comes one after the other; copies of different books
do not wait for each other. A reader is held as well, before the book, while something is lent to them: for the number
that they may have.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from app.catalog import queries as books
from app.circulation import queries
from app.circulation.models import Loan
from app.circulation.service.errors import (
    BookHasHolds,
    HeldForAnotherReader,
    LoanLimitReached,
    LoanReturned,
    NoCopyAvailable,
    RenewalLimitReached,
)
from app.circulation.service.queues import free_copies, serve_queue
from app.circulation.service.trail import record
from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import Question, transaction
from app.core.errors import Forbidden, Invalid, NotFound
from app.core.security import Permission, current_actor
from app.core.sets import one_id, run, table_of
from app.core.tenancy import current_tenant_id, own
from app.holdings import queries as holdings
from app.holdings.models import CopyStatus
from app.members import queries as people
from app.tenants import queries as tenants

_LOANS: Final = table_of(Loan)
# One statement, whose parts PostgreSQL has plans for: migration 0013 has it.
_LEND: Final = Question(
    select(
        *func.lend_copy(
            one_id("new_loan"), one_id("reader"), bindparam("barcode"), one_id("copy_id"), one_id("book_id")
        )
        .table_valued(
            "id", "reader_id", "book_id", "title", "copy_id", "barcode", "status", "borrowed_at", "due_at",
            "returned_at", "renewals", "hold_id", "held_copy_id",
        )
        .c
    )
)  # fmt: skip
NO_SUCH_READER: Final = "There is no such reader, or they are kept out."
# How a copy can be asked for, and what is said where there is none.
_WAYS: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    "barcode": (holdings.copy_of_barcode, "No copy bears this barcode."),
    "copy_id": (holdings.copy, "There is no such copy."),
    "book_id": (holdings.has_book, "There is no such book."),
}
_NONE: Final = dict.fromkeys(_WAYS)


def check_out(*, reader_id: UUID, by: str, wanted: Any) -> dict[str, Any]:
    """Lend a reader one copy: `wanted` is its `barcode` or `copy_id`, or the `book_id` of which any will do.

    One that waits for the reader counts as free, and comes first. Answers the loan as clients see it.

    Raises:
        Invalid: there is no such reader, copy or book.
        LoanLimitReached: the reader has as many loans as the library allows.
        HeldForAnotherReader: this copy waits for somebody else.
        NoCopyAvailable: this copy, or every one of the book, is not there to be lent.
    """
    with transaction():
        loan = _LEND.record(new_loan=new_id(), reader=reader_id, **{**_NONE, by: wanted})
        if loan is None:
            survivor_id = books.survivor_of(wanted) if by == "book_id" else None
            if survivor_id is not None:
                return check_out(reader_id=reader_id, by=by, wanted=survivor_id)
            _refuse(reader_id, by=by, wanted=wanted)
        hold_id, held_copy_id = loan.pop("hold_id"), loan.pop("held_copy_id")
        record("loan.created", subject_id=UUID(loan["id"]), copy_id=loan["copy_id"], book_id=loan["book_id"])
        if hold_id is not None:
            record("hold.fulfilled", subject_id=UUID(hold_id), book_id=loan["book_id"])
        if held_copy_id not in (None, loan["copy_id"]):
            # The reader has taken another one than that which waited.
            free_copies([UUID(held_copy_id)])
            serve_queue(UUID(loan["book_id"]))
        touch(Generation.CATALOGUE)
    return loan


def return_loan(loan_id: UUID | None) -> None:
    """Take a copy back; it goes to the first who waits for the book. A loan that is over stays as it is.

    Raises:
        NotFound: this tenant has no such loan.
    """
    with transaction():
        book_id = _hold_book_of(loan_id)
        over = update(_LOANS).values(returned_at=func.clock_timestamp()).returning(_LOANS.c.copy_id)
        open_one = (own(_LOANS.c), _LOANS.c.id == one_id("loan_id"), _LOANS.c.returned_at.is_(None))
        for (copy_id,) in run(over.where(*open_one), loan_id=loan_id):
            free_copies([copy_id])
            serve_queue(book_id)
            record("loan.returned", subject_id=loan_id, copy_id=str(copy_id), book_id=str(book_id))
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
        record("loan.renewed", subject_id=loan.id, book_id=str(book_id), renewals=loan.renewals)


def visible_loan(loan_id: UUID | None) -> dict[str, Any]:
    """One loan as clients see it.

    Raises:
        NotFound: there is none, or none that the caller may see.
    """
    found = queries.visible_loan(loan_id)
    if found is None:
        raise NotFound("There is no such loan.")
    return found


def _hold_book_of(loan_id: UUID | None) -> UUID:
    """Hold the book of a loan.

    Raises:
        NotFound: this tenant has no such loan.
    """
    book_id = holdings.lock_book_of(lambda: queries.book_of_loan(loan_id))
    if book_id is None:
        raise NotFound("There is no such loan.")
    return book_id


def _refuse(reader_id: UUID, *, by: str, wanted: Any) -> NoReturn:
    if not people.lock_reader(reader_id):
        raise Invalid.field("reader_id", NO_SUCH_READER)
    find, unknown = _WAYS[by]
    found: Any = find(wanted)
    if not found:
        raise Invalid.field(by, unknown)
    library = tenants.tenant(current_tenant_id())
    assert library is not None  # noqa: S101 - for the type checker: the caller came by it
    most = library.max_loans_per_reader
    if queries.open_loans(reader_id) >= most:
        raise LoanLimitReached(f"The reader has {most} loans, as many as the library allows.")
    if by == "book_id":
        raise NoCopyAvailable("No copy of this book is there to be lent.")
    if found["status"] == CopyStatus.ON_HOLD:
        raise HeldForAnotherReader("This copy waits for another reader.")
    raise NoCopyAvailable(f"This copy is not there to be lent: its status is {found['status']}.")
