"""Waiting for a book: placed, cancelled, expired; and what becomes of it where copies, books or people go."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Subquery, func, select, update

from app.catalog import queries as books
from app.catalog import service as catalog
from app.circulation import queries
from app.circulation.models import Hold, HoldStatus, Loan
from app.circulation.service.errors import AlreadyOnHold, AlreadyOnLoan, HoldEnded
from app.circulation.service.lending import NO_SUCH_READER
from app.circulation.service.queues import free_copies, serve_queue
from app.circulation.service.trail import record
from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction
from app.core.errors import Forbidden, Invalid, NotFound
from app.core.security import Permission, current_actor
from app.core.sets import one_id, run, table_of
from app.core.tenancy import own
from app.holdings import queries as holdings
from app.holdings.models import Copy, CopyStatus
from app.holdings.service import follow_copies
from app.members import queries as people
from app.members import service as members

_HOLDS, _LOANS = table_of(Hold), table_of(Loan)
# In one go; what is left waits for the next.
_MOST_EXPIRED = 500


def place_hold(*, book_id: UUID, reader_id: UUID | None) -> UUID:
    """Let a reader wait for a book: the caller, or whom the library says; answers the hold's id.

    Where a copy is free, it is set aside at once.

    Raises:
        Forbidden: a reader places one for somebody else.
        Invalid: there is no such reader or book, or the library does not say for whom.
        AlreadyOnHold: the reader waits for it already.
        AlreadyOnLoan: the reader has it.
    """
    reader_id = _who_waits(reader_id)
    with transaction() as session:
        if not people.lock_reader(reader_id):
            raise Invalid.field("reader_id", NO_SUCH_READER)
        if not holdings.lock_book(book_id):
            survivor_id = books.survivor_of(book_id)
            if survivor_id is None or not holdings.lock_book(survivor_id):
                raise Invalid.field("book_id", "There is no such book.")
            book_id = survivor_id
        if queries.waits_for(reader_id, book_id):
            raise AlreadyOnHold("The reader waits for this book already.")
        if queries.has_on_loan(reader_id, book_id):
            raise AlreadyOnLoan("The reader has this book on loan.")
        # By this clock and not the transaction's, which may have waited for the book: who is served first is before.
        hold = Hold(id=new_id(), book_id=book_id, reader_id=reader_id, placed_at=func.clock_timestamp())
        session.add(hold)
        session.flush()
        record("hold.placed", subject_id=hold.id, book_id=str(book_id))
        serve_queue(book_id)
        touch(Generation.CATALOGUE)
    return hold.id


def cancel_hold(hold_id: UUID | None) -> None:
    """Wait no longer; once more changes nothing.

    Raises:
        NotFound: there is no such hold, or none that the caller may see.
        HoldEnded: it was fulfilled, or has expired.
    """
    visible_hold(hold_id)
    with transaction():
        hold = _held(hold_id)
        if hold.status in (HoldStatus.FULFILLED, HoldStatus.EXPIRED):
            raise HoldEnded(f"This hold is over: it is {hold.status}.")
        if hold.ended_at is None:
            _end(hold, HoldStatus.CANCELLED)


def expire_holds() -> int:
    """End the holds of the current tenant whose copies were not fetched in time; returns how many."""
    expired = 0
    for hold_id in queries.expired_holds(limit=_MOST_EXPIRED):
        with transaction():
            hold = _held_if_there(hold_id)
            # It may have been fetched in the last moment, or be gone with the reader.
            if hold is not None and hold.expires_at is not None and hold.expires_at < utc_now():
                _end(hold, HoldStatus.EXPIRED)
                expired += 1
    return expired


def visible_hold(hold_id: UUID | None) -> dict[str, Any]:
    """One hold as clients see it.

    Raises:
        NotFound: there is none, or none that the caller may see.
    """
    found = queries.visible_hold(hold_id)
    if found is None:
        raise NotFound("There is no such hold.")
    return found


def _who_waits(reader_id: UUID | None) -> UUID:
    actor = current_actor()
    if actor.may(Permission.USERS_READ):
        if reader_id is None:
            raise Invalid.field("reader_id", "Say for whom.")
        return reader_id
    if actor.id is None or reader_id not in (None, actor.id):
        raise Forbidden("Readers place holds for themselves.")
    return actor.id


def _held(hold_id: UUID | None) -> Hold:
    """A hold to be changed, with its book held.

    Raises:
        NotFound: this tenant has no such hold.
    """
    hold = _held_if_there(hold_id)
    if hold is None:
        raise NotFound("There is no such hold.")
    return hold


def _held_if_there(hold_id: UUID | None) -> Hold | None:
    book_id = holdings.lock_book_of(lambda: queries.book_of_hold(hold_id))
    return queries.hold(hold_id, lock=True) if book_id else None


def _end(hold: Hold, status: HoldStatus) -> None:
    """End a hold whose book is held; its copy, where there is one, goes to the next."""
    copy_id = hold.copy_id
    hold.status, hold.copy_id, hold.expires_at, hold.ended_at = status, None, None, utc_now()
    with transaction() as session:
        session.flush()
        record(f"hold.{status}", subject_id=hold.id, book_id=str(hold.book_id))
        if copy_id is not None:
            free_copies([copy_id])
            serve_queue(hold.book_id)
            touch(Generation.CATALOGUE)


# — what happens elsewhere —————————————————————————————————————————————————————————————————————————


@follow_copies
def _follow_copy(copy: Copy, before: CopyStatus | None) -> None:
    """End the loan of a copy that is lost, let whoever it waited for wait on, and give what is free to the first."""
    if before is CopyStatus.ON_LOAN:
        over = update(_LOANS).values(returned_at=func.clock_timestamp()).returning(_LOANS.c.id)
        open_one = (own(_LOANS.c), _LOANS.c.copy_id == one_id("of_copy"), _LOANS.c.returned_at.is_(None))
        for (loan_id,) in run(over.where(*open_one), of_copy=copy.id):
            record("loan.returned", subject_id=loan_id, copy_id=str(copy.id), book_id=str(copy.book_id), is_lost=True)
    if before is CopyStatus.ON_HOLD:
        again = update(_HOLDS).values(status=HoldStatus.QUEUED, copy_id=None, expires_at=None).returning(_HOLDS.c.id)
        for (hold_id,) in run(again.where(own(_HOLDS.c), _HOLDS.c.copy_id == one_id("of_copy")), of_copy=copy.id):
            record("hold.queued_again", subject_id=hold_id, copy_id=str(copy.id), book_id=str(copy.book_id))
    serve_queue(copy.book_id)


@catalog.follow_merges
def _follow_merge(loser_id: UUID, survivor_id: UUID) -> None:
    """Let loans and queues of two books become one; whoever waited for both waits once, at the better place."""
    both = (own(_HOLDS.c), _HOLDS.c.book_id.in_([loser_id, survivor_id]), _HOLDS.c.ended_at.is_(None))
    # A copy that waits is better than any place.
    place = func.row_number().over(
        partition_by=_HOLDS.c.reader_id, order_by=[_HOLDS.c.copy_id.is_(None), _HOLDS.c.placed_at, _HOLDS.c.id]
    )
    ranked = select(_HOLDS.c.id, _HOLDS.c.copy_id, place.label("place")).where(*both).subquery()
    _cancel(select(ranked.c.id, ranked.c.copy_id).where(ranked.c.place > 1).subquery())
    for table in (_HOLDS, _LOANS):
        run(update(table).values(book_id=survivor_id).where(own(table.c), table.c.book_id == loser_id))
    # Nobody waits for what they have.
    borrowers = select(_LOANS.c.reader_id).where(
        own(_LOANS.c), _LOANS.c.book_id == survivor_id, _LOANS.c.returned_at.is_(None)
    )
    has_it = (_HOLDS.c.book_id == survivor_id, _HOLDS.c.ended_at.is_(None), _HOLDS.c.reader_id.in_(borrowers))
    _cancel(select(_HOLDS.c.id, _HOLDS.c.copy_id).where(own(_HOLDS.c), *has_it).subquery())
    serve_queue(survivor_id)


@catalog.follow_removals
def _follow_removal(book_id: UUID) -> None:
    """End what is waited for of a book that is about to be removed."""
    waiting = (own(_HOLDS.c), _HOLDS.c.book_id == book_id, _HOLDS.c.ended_at.is_(None))
    _cancel(select(_HOLDS.c.id, _HOLDS.c.copy_id).where(*waiting).subquery())


def _cancel(which: Subquery) -> None:
    """Cancel holds, given by their ids and copies; what waited is on the shelf again."""
    ended = {"status": HoldStatus.CANCELLED, "copy_id": None, "expires_at": None, "ended_at": func.now()}
    cancelled = update(_HOLDS).values(ended).where(own(_HOLDS.c), _HOLDS.c.id == which.c.id)
    gone = run(cancelled.returning(_HOLDS.c.id, _HOLDS.c.book_id, which.c.copy_id))
    free_copies([each.copy_id for each in gone if each.copy_id is not None])
    for each in gone:
        record("hold.cancelled", subject_id=each.id, book_id=str(each.book_id))


@members.lets_go
def _let_go(user_id: UUID) -> None:
    """Give what waits for somebody who is about to be erased to the next."""
    # The person is held already, before any book, as by whoever lends.
    waiting = queries.waiting_holds_of(user_id)
    if len(waiting) > 1:
        # Several books are held one after the other.
        catalog.hold_counts()
    for hold_id in waiting:
        _end(_held(hold_id), HoldStatus.CANCELLED)


members.personal("loans")(queries.loans_of)
members.personal("holds")(queries.holds_of)
