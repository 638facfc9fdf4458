"""The queue of a book: whoever waits the longest gets the next copy that is free.

Whatever frees a copy, or lets somebody wait, holds the book first (`holdings.queries.lock_book`) and serves the queue
before it lets go. So no copy is ever on the shelf while somebody waits for it, and whoever lends one need not ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Update, func, select, update

from app.circulation.models import HOLD_TIME, Hold, HoldStatus
from app.circulation.service.trail import record
from app.core.sets import one_id, run, table_of, uuid_list
from app.core.tenancy import own
from app.holdings.models import Copy, CopyStatus
from app.mail import service as mail
from app.members.models import User

HOLD_READY: Final = "hold_ready"
_HOLDS: Final = table_of(Hold)
_COPIES: Final = table_of(Copy)
_USERS: Final = table_of(User)


def serve_queue(book_id: UUID) -> None:
    """Let the free copies of a book, which is held, go to those who wait for it, in their order."""
    served = run(_serving(), of_book=book_id)
    if served:
        run(_set_aside(), holds=[each.id for each in served])
    for each in served:
        record("hold.ready", subject_id=each.id, copy_id=str(each.copy_id), book_id=str(book_id))
        mail.promise(HOLD_READY, each.id)


def free_copies(copy_ids: Sequence[UUID]) -> None:
    """Put copies that waited for somebody, or come back, on the shelf."""
    statement = update(_COPIES).where(own(_COPIES.c), _COPIES.c.id.in_(copy_ids))
    run(statement.values(status=CopyStatus.AVAILABLE, updated_at=func.now()))


@cache
def _serving() -> Update:
    free = _numbered(_COPIES, order_by=[_COPIES.c.id], status=CopyStatus.AVAILABLE)
    # Whoever is kept out can't fetch it; they keep their place.
    may_come = select(_USERS.c.id).where(own(_USERS.c), _USERS.c.id == _HOLDS.c.reader_id, _USERS.c.is_active).exists()
    waits = (_HOLDS.c.ended_at.is_(None), may_come)
    waiting = _numbered(_HOLDS, *waits, order_by=[_HOLDS.c.placed_at, _HOLDS.c.id], status=HoldStatus.QUEUED)
    return (
        update(_HOLDS)
        .values(status=HoldStatus.READY, copy_id=free.c.id, expires_at=func.now() + HOLD_TIME)
        .where(own(_HOLDS.c), _HOLDS.c.id == waiting.c.id, waiting.c.place == free.c.place)
        .returning(_HOLDS.c.id, _HOLDS.c.copy_id)
    )


def _numbered(table: Any, *narrowed: Any, order_by: list[Any], status: str) -> Any:
    place = func.row_number().over(order_by=order_by).label("place")
    of_book = (own(table.c), table.c.book_id == one_id("of_book"), table.c.status == status)
    return select(table.c.id, place).where(*of_book, *narrowed).subquery()


@cache
def _set_aside() -> Update:
    ready = select(_HOLDS.c.copy_id).where(own(_HOLDS.c), _HOLDS.c.id == func.any(uuid_list("holds")))
    return (
        update(_COPIES)
        .values(status=CopyStatus.ON_HOLD, updated_at=func.now())
        .where(own(_COPIES.c), _COPIES.c.id.in_(ready))
    )
