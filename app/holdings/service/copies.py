"""Registering copies, and what staff say of them.

Who lends them stands above: circulation hears of every change (`follow_copies`), since a copy that comes to the shelf
may be waited for, and one that is lost may be somebody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.catalog.service import follow_merges
from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction, violated_constraint
from app.core.errors import Conflict, NotFound
from app.core.sets import run, table_of
from app.core.tenancy import own
from app.events import service as events
from app.extensions import db
from app.holdings import queries
from app.holdings.models import STATUS_MOVES, Copy, CopyStatus

_COPIES: Final = table_of(Copy)
Follower = Callable[[Copy, CopyStatus | None], None]
_followers: Final[list[Follower]] = []


class BarcodeTaken(Conflict):
    """Another copy of the library bears this barcode."""

    code = "barcode_taken"


class StatusNotAllowed(Conflict):
    """From the copy's present status one does not get to this one."""

    code = "status_not_allowed"


class CopyInUse(Conflict):
    """The copy is on loan: it is returned, or lost, first."""

    code = "copy_in_use"


def follow_copies(follow: Follower) -> Follower:
    """Register who hears of a copy's new status: called with the copy, and the status before or None for a new one.

    Within the transaction, after the copy was written and with its book held.
    """
    _followers.append(follow)
    return follow


def create_copy(
    book_id: UUID | None, *, barcode: str, status: str = CopyStatus.AVAILABLE, location: str | None = None
) -> UUID:
    """Register a copy of a book; answers its id.

    Raises:
        NotFound: there is no such book.
        BarcodeTaken: another copy bears the barcode.
    """
    with transaction() as session:
        if not queries.lock_book(book_id):
            raise NotFound("There is no such book.")
        copy = Copy(id=new_id(), book_id=book_id, barcode=barcode, status=status, location=location)
        session.add(copy)
        _flush(copy)
        events.record("copy.created", subject_id=copy.id, book_id=str(book_id), status=status)
        _tell(copy, before=None)
    return copy.id


def update_copy(copy_id: UUID | None, changes: dict[str, Any]) -> None:
    """Change barcode, location or status.

    Raises:
        NotFound: there is no such copy.
        BarcodeTaken: another copy bears the barcode.
        StatusNotAllowed: the status does not follow on the present one.
    """
    with transaction():
        copy = existing_copy(copy_id)
        before = CopyStatus(copy.status)
        after = CopyStatus(changes.get("status", before))
        if after is not before and after not in STATUS_MOVES[before]:
            raise StatusNotAllowed(_allowed(before))
        for field, value in changes.items():
            setattr(copy, field, value)
        copy.updated_at = utc_now()
        _flush(copy)
        events.record("copy.updated", subject_id=copy.id, fields=sorted(changes), status=copy.status)
        if after is not before:
            _tell(copy, before=before)


def delete_copy(copy_id: UUID | None) -> None:
    """Strike a copy off the register; loans that were made of it stay, as the book's.

    Raises:
        NotFound: there is no such copy.
        CopyInUse: it is on loan.
    """
    with transaction() as session:
        copy = existing_copy(copy_id)
        before = CopyStatus(copy.status)
        if before is CopyStatus.ON_LOAN:
            raise CopyInUse("This copy is on loan: it is returned, or lost, first.")
        if before is CopyStatus.ON_HOLD:
            # Whoever it waits for waits on for another one.
            copy.status = CopyStatus.WITHDRAWN
            _flush(copy)
            _tell(copy, before=before)
        session.delete(copy)
        session.flush()
        events.record("copy.deleted", subject_id=copy.id, book_id=str(copy.book_id))
        touch(Generation.CATALOGUE)


def existing_copy(copy_id: UUID | None) -> Copy:
    """One copy to be changed, with its book held.

    Raises:
        NotFound: this tenant has no such copy.
    """
    copy = queries.locked_copy(copy_id)
    if copy is None:
        raise NotFound("There is no such copy.")
    return copy


def shown_copy(copy_id: UUID | None) -> dict[str, Any]:
    """One copy as clients see it.

    Raises:
        NotFound: this tenant has no such copy.
    """
    copy = queries.copy(copy_id)
    if copy is None:
        raise NotFound("There is no such copy.")
    return copy


@follow_merges
def _move_copies(loser_id: UUID, survivor_id: UUID) -> None:
    moved = update(_COPIES).values(book_id=survivor_id)
    run(moved.where(own(_COPIES.c), _COPIES.c.book_id == loser_id))


def _tell(copy: Copy, *, before: CopyStatus | None) -> None:
    for follow in _followers:
        follow(copy, before)
    touch(Generation.CATALOGUE)


def _allowed(before: CopyStatus) -> str:
    return f"A copy that is {before} can be set to: {', '.join(sorted(STATUS_MOVES[before]))}."


def _flush(copy: Copy) -> None:
    barcode = copy.barcode
    try:
        db.session.flush()
    except IntegrityError as error:
        if violated_constraint(error) != "uq_copies_barcode":
            raise
        raise BarcodeTaken(f"Another copy bears the barcode {barcode}.") from error
