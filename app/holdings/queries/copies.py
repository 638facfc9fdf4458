"""Single copies: of a book, by id, by barcode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select

from app.catalog.models import Book
from app.core.database import Question, Shape
from app.core.pagination import Listing
from app.core.sets import one_id
from app.core.tenancy import own
from app.extensions import db
from app.holdings.models import Copy

COPY: Final = Shape(Copy, "id", "book_id", "barcode", "status", "location", "created_at", "updated_at")
COPIES: Final = Listing(
    "copies",
    select(*COPY).where(own(Copy)),
    tie=Copy.id,
    sorts={"created_at": Copy.created_at},
    default_sort="created_at",
    filters={"book_id": Copy.book_id == one_id("book_id"), "status": Copy.status == bindparam("status")},
)
_COPY: Final = Question(select(*COPY).where(own(Copy), Copy.id == one_id("copy_id")))
_BY_BARCODE: Final = Question(select(*COPY).where(own(Copy), Copy.barcode == bindparam("barcode")))
_HAS_BOOK: Final = Question(select(Book.id).where(own(Book), Book.id == one_id("book_id")))
_BOOK_OF: Final = Question(select(Copy.book_id).where(own(Copy), Copy.id == one_id("copy_id")))


def has_book(book_id: UUID | None) -> bool:
    """True where the library has this book."""
    return _HAS_BOOK.id(book_id=book_id) is not None


def copy(copy_id: UUID | None) -> dict[str, Any] | None:
    """One copy."""
    return _COPY.record(copy_id=copy_id)


def copy_of_barcode(barcode: str) -> dict[str, Any] | None:
    """The copy that bears this barcode."""
    return _BY_BARCODE.record(barcode=barcode)


def book_of_copy(copy_id: UUID | None) -> UUID | None:
    """The book of which this is a copy."""
    return _BOOK_OF.id(copy_id=copy_id)


def lock_book(book_id: UUID | None) -> bool:
    """Hold a book: whatever moves its copies or its queue does so first, and then sees all of both. False: no book."""
    statement = select(Book.id).where(own(Book), Book.id == book_id).with_for_update(key_share=True)
    return db.session.scalar(statement) is not None


def lock_book_of(find: Callable[[], UUID | None]) -> UUID | None:
    """Hold the book that `find` finds; None where it finds none, as of something that is not there.

    While this waits, two books may become one: the other one is gone then, and it is looked for anew.
    """
    book_id = find()
    while book_id is not None and not lock_book(book_id):
        book_id = find()
    return book_id


def locked_copy(copy_id: UUID | None) -> Copy | None:
    """A copy to be changed, with its book held."""
    if lock_book_of(lambda: book_of_copy(copy_id)) is None:
        return None
    return db.session.scalar(select(Copy).where(own(Copy), Copy.id == copy_id).with_for_update())
