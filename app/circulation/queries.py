"""Questions about loans and holds.

Librarians see all of them; readers see their own, and guardians those of the readers linked to them. A kiosk sees any
loan or hold by its id, and what a copy is lent to now, but lists no reader's loans, and no holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, and_, bindparam, case, exists, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.catalog.models import Book
from app.catalog.queries import BOOK, with_covers
from app.circulation.models import Hold, HoldStatus, Loan, LoanStatus
from app.core.clock import utc_now
from app.core.database import Question
from app.core.errors import Forbidden
from app.core.pagination import Listing
from app.core.security import Actor, Permission, current_actor
from app.core.sets import one_id
from app.core.tenancy import own
from app.extensions import db
from app.holdings.models import Copy
from app.members.queries import people_seen_by

PERIODS: Final = {"week": timedelta(days=7), "month": timedelta(days=30), "year": timedelta(days=365), "all": None}

# — loans ——————————————————————————————————————————————————————————————————————————————————————————

_IS_OPEN: Final = Loan.returned_at.is_(None)
_STATUS: Final = case(
    (Loan.returned_at.is_not(None), LoanStatus.RETURNED),
    (Loan.due_at < func.now(), LoanStatus.OVERDUE),
    else_=LoanStatus.ACTIVE,
)
_LOANS: Final[Select[Any]] = (
    select(
        Loan.id,
        Loan.reader_id,
        Loan.book_id,
        Book.title,
        Loan.copy_id,
        Copy.barcode,
        _STATUS.label("status"),
        Loan.borrowed_at,
        Loan.due_at,
        Loan.returned_at,
        Loan.renewals,
    )
    .join(Book, and_(Book.tenant_id == Loan.tenant_id, Book.id == Loan.book_id))
    .outerjoin(Copy, and_(Copy.tenant_id == Loan.tenant_id, Copy.id == Loan.copy_id))
    .where(own(Loan))
)


def _seen(reader_id: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    return reader_id.in_(people_seen_by(one_id("seen_by")))


LOANS: Final = Listing(
    "loans",
    _LOANS,
    tie=Loan.id,
    sorts={"borrowed_at": Loan.borrowed_at, "due_at": Loan.due_at},
    default_sort="-borrowed_at",
    filters={
        "seen_by": _seen(Loan.reader_id),
        "reader_id": Loan.reader_id == one_id("reader_id"),
        "book_id": Loan.book_id == one_id("book_id"),
        "copy_id": Loan.copy_id == one_id("copy_id"),
        "barcode": Loan.copy_id.in_(select(Copy.id).where(own(Copy), Copy.barcode == bindparam("barcode"))),
        "due_before": Loan.due_at < bindparam("due_before"),
        "open": _IS_OPEN,
        "active": and_(_IS_OPEN, Loan.due_at >= func.now()),
        "overdue": and_(_IS_OPEN, Loan.due_at < func.now()),
        "returned": Loan.returned_at.is_not(None),
    },
)
_LOAN: Final = Question(_LOANS.where(Loan.id == one_id("loan_id"), or_(bindparam("sees_all"), _seen(Loan.reader_id))))


def visible_loans(*, status: str | None = None, **asked: Any) -> dict[str, Any]:
    """A page of the loans that the caller may see.

    Raises:
        Forbidden: whoever lends without seeing readers asks for more than what a copy is lent to now.
    """
    actor = current_actor()
    narrowed: dict[str, Any] = {status: True} if status else {}
    if _lends(actor) and not _sees_readers(actor):
        if not (asked.get("barcode") or asked.get("copy_id")):
            raise Forbidden("Give a `barcode` or `copy_id`: the loans of all readers are not a kiosk's to see.")
        narrowed["open"] = True
    return LOANS.page(**asked, **narrowed, seen_by=None if _lends(actor) else actor.id)


def visible_loan(loan_id: UUID | None) -> dict[str, Any] | None:
    """One loan; none where the caller may not see it."""
    actor = current_actor()
    return _LOAN.record(loan_id=loan_id, seen_by=actor.id, sees_all=_lends(actor))


def _lends(actor: Actor) -> bool:
    return actor.may(Permission.LOANS_MANAGE)


def _sees_readers(actor: Actor) -> bool:
    return actor.may(Permission.USERS_READ)


# — holds ——————————————————————————————————————————————————————————————————————————————————————————

_BEFORE = Hold.__table__.alias("before")
_POSITION: Final = (
    select(func.count())
    .select_from(_BEFORE)
    .where(
        _BEFORE.c.tenant_id == Hold.tenant_id,
        _BEFORE.c.book_id == Hold.book_id,
        _BEFORE.c.ended_at.is_(None),
        tuple_(_BEFORE.c.placed_at, _BEFORE.c.id) <= tuple_(Hold.placed_at, Hold.id),
    )
    .scalar_subquery()
)
_HOLDS: Final[Select[Any]] = (
    select(
        Hold.id,
        Hold.reader_id,
        Hold.book_id,
        Book.title,
        Hold.status,
        case((Hold.ended_at.is_(None), _POSITION)).label("position"),
        Hold.copy_id,
        Hold.placed_at,
        Hold.expires_at,
        Hold.ended_at,
    )
    .join(Book, and_(Book.tenant_id == Hold.tenant_id, Book.id == Hold.book_id))
    .where(own(Hold))
)
HOLDS: Final = Listing(
    "holds",
    _HOLDS,
    tie=Hold.id,
    sorts={"placed_at": Hold.placed_at},
    default_sort="placed_at",
    filters={
        "seen_by": _seen(Hold.reader_id),
        "reader_id": Hold.reader_id == one_id("reader_id"),
        "book_id": Hold.book_id == one_id("book_id"),
        "status": Hold.status == bindparam("status"),
    },
)
_HOLD: Final = Question(_HOLDS.where(Hold.id == one_id("hold_id"), or_(bindparam("sees_all"), _seen(Hold.reader_id))))


def visible_holds(**asked: Any) -> dict[str, Any]:
    """A page of the holds that the caller may see."""
    actor = current_actor()
    return HOLDS.page(**asked, seen_by=None if _sees_readers(actor) else actor.id)


def visible_hold(hold_id: UUID | None) -> dict[str, Any] | None:
    """One hold; none where the caller may not see it."""
    actor = current_actor()
    return _HOLD.record(hold_id=hold_id, seen_by=actor.id, sees_all=_lends(actor))


# — what is popular ————————————————————————————————————————————————————————————————————————————————


def _popular(counted: Any) -> Question:
    shown = select(*BOOK, counted.c.loans).join(counted, counted.c.book_id == Book.id).where(own(Book))
    return Question(shown.order_by(counted.c.loans.desc(), Book.id.desc()))


def _counted() -> Any:
    """The books of most loans since a time, counted from an index alone, before anything else of them is read."""
    loans = func.count().label("loans")
    return (
        select(Loan.book_id, loans)
        .where(own(Loan), Loan.borrowed_at >= bindparam("since", type_=DateTime(timezone=True)))
        .group_by(Loan.book_id)
        .order_by(loans.desc(), Loan.book_id.desc())
        .limit(bindparam("limit"))
        .subquery()
    )


_POPULAR_SINCE: Final = _popular(_counted())
# Books know how often they were ever borrowed, and that has an index.
_POPULAR_EVER: Final = _popular(
    select(Book.id.label("book_id"), Book.times_borrowed.label("loans"))
    .where(own(Book), Book.times_borrowed > 0)
    .order_by(Book.times_borrowed.desc(), Book.id.desc())
    .limit(bindparam("limit"))
    .subquery()
)


def popular_books(*, period: str, limit: int) -> list[dict[str, Any]]:
    """The books that were lent most in a period, with `loans`, the number."""
    length = PERIODS[period]
    if length is None:
        return with_covers(_POPULAR_EVER.records(limit=limit))
    return with_covers(_POPULAR_SINCE.records(limit=limit, since=utc_now() - length))


# — for commands ———————————————————————————————————————————————————————————————————————————————————


def loan(loan_id: UUID | None, *, lock: bool = False) -> Loan | None:
    """One loan as a row to be changed."""
    statement = select(Loan).where(own(Loan), Loan.id == loan_id)
    return db.session.scalar(statement.with_for_update() if lock else statement)


def hold(hold_id: UUID | None, *, lock: bool = False) -> Hold | None:
    """One hold as a row to be changed."""
    statement = select(Hold).where(own(Hold), Hold.id == hold_id)
    return db.session.scalar(statement.with_for_update() if lock else statement)


# That it is not over is said for the index, which has no others.
_IS_QUEUED: Final = (Hold.status == HoldStatus.QUEUED, Hold.ended_at.is_(None))
_IS_WAITED_FOR: Final = Question(select(exists().where(own(Hold), Hold.book_id == one_id("book_id"), *_IS_QUEUED)))


def is_waited_for(book_id: UUID) -> bool:
    """True where somebody waits for a copy of a book."""
    return bool(_IS_WAITED_FOR.value(book_id=book_id))


def waits_for(reader_id: UUID, book_id: UUID) -> bool:
    """True where somebody waits for a book, or a copy of it for them."""
    theirs = (own(Hold), Hold.reader_id == reader_id, Hold.book_id == book_id, Hold.ended_at.is_(None))
    return bool(db.session.scalar(select(exists().where(*theirs))))


def has_on_loan(reader_id: UUID, book_id: UUID) -> bool:
    """True where somebody has a copy of a book."""
    theirs = (own(Loan), Loan.reader_id == reader_id, Loan.book_id == book_id, _IS_OPEN)
    return bool(db.session.scalar(select(exists().where(*theirs))))


def open_loans(reader_id: UUID) -> int:
    """How many loans somebody has."""
    theirs = (own(Loan), Loan.reader_id == reader_id, _IS_OPEN)
    return db.session.scalar(select(func.count()).select_from(Loan).where(*theirs)) or 0


def expired_holds(*, limit: int) -> list[UUID]:
    """Holds whose copies were not fetched in time, the oldest first."""
    ready = select(Hold.id).where(own(Hold), Hold.expires_at < utc_now())
    return list(db.session.scalars(ready.order_by(Hold.expires_at).limit(limit)))


def waiting_holds_of(reader_id: UUID) -> list[UUID]:
    """What somebody waits for, in the order of the books."""
    waiting = select(Hold.id).where(own(Hold), Hold.reader_id == reader_id, Hold.ended_at.is_(None))
    return list(db.session.scalars(waiting.order_by(Hold.book_id)))


_BOOK_OF_LOAN: Final = Question(select(Loan.book_id).where(own(Loan), Loan.id == one_id("loan_id")))
_BOOK_OF_HOLD: Final = Question(select(Hold.book_id).where(own(Hold), Hold.id == one_id("hold_id")))
_TITLE_OF: Final = Question(select(Book.title).where(own(Book), Book.id == one_id("book_id")))


def book_of_loan(loan_id: UUID | None) -> UUID | None:
    """The book that was lent."""
    return _BOOK_OF_LOAN.id(loan_id=loan_id)


def book_of_hold(hold_id: UUID | None) -> UUID | None:
    """The book that is waited for."""
    return _BOOK_OF_HOLD.id(hold_id=hold_id)


def title_of(book_id: UUID) -> str:
    """What a book is called."""
    return str(_TITLE_OF.value(book_id=book_id))


# — for the export —————————————————————————————————————————————————————————————————————————————————

_LOANS_OF: Final = Question(_LOANS.where(Loan.reader_id == one_id("user_id")).order_by(Loan.borrowed_at, Loan.id))
_HOLDS_OF: Final = Question(_HOLDS.where(Hold.reader_id == one_id("user_id")).order_by(Hold.placed_at, Hold.id))


def loans_of(user_id: UUID) -> list[dict[str, Any]]:
    """All that somebody has borrowed."""
    return _LOANS_OF.records(user_id=user_id)


def holds_of(user_id: UUID) -> list[dict[str, Any]]:
    """All that somebody has waited for."""
    return _HOLDS_OF.records(user_id=user_id)
