"""One book, and the list of books."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Label, bindparam, func, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from app.catalog.models import Book, BookAlias, BookVersion, Edition
from app.catalog.queries.filters import BOOK_FILTERS
from app.core.cache import Generation
from app.core.database import Question, Shape
from app.core.errors import NotFound
from app.core.pagination import Listing
from app.core.tenancy import own
from app.settings import current_settings

# — one book ———————————————————————————————————————————————————————————————————————————————————————

BOOK: Final = Shape(
    Book,
    "id", "title", "subtitle", "authors", "contributors", "first_publish_year", "description", "subjects", "languages",
    "publishers", "isbns", "page_count", "cover_id", "series", "open_library_key", "upstream_status", "source",
    "labels", "copies_total", "copies_available", "times_borrowed", "version", "created_at", "updated_at",
)  # fmt: skip
_EDITION_COLUMNS: Final = (
    "id", "isbn", "open_library_key", "title", "subtitle", "publishers", "publish_date", "publish_year", "languages",
    "page_count", "physical_format", "cover_id",
)  # fmt: skip

# The site's letter for each size of a cover.
COVER_SIZES: Final = {"S": "small", "M": "medium", "L": "large"}


class NoCover(NotFound):
    """The book has no cover."""

    code = "no_cover"


def book(book_id: UUID | None) -> dict[str, Any] | None:
    """One book with its editions, versions and the names of its overridden fields."""
    found = _BOOK.record(book_id=book_id)
    return found and with_covers([found])[0]


def with_covers(books: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of books, each told where its cover is."""
    address = _covers_address()
    for book in books:
        book["cover"] = _cover_urls(address, book["cover_id"])
    return books


def cover_urls(cover_id: int | None) -> dict[str, str] | None:
    """Where the three sizes of a cover are."""
    return _cover_urls(_covers_address(), cover_id)


def _covers_address() -> str:
    return f"{current_settings().open_library_covers_url}/b/id/"


def _cover_urls(address: str, cover_id: int | None) -> dict[str, str] | None:
    if cover_id is None:
        return None
    return {
        "small": f"{address}{cover_id}-S.jpg",
        "medium": f"{address}{cover_id}-M.jpg",
        "large": f"{address}{cover_id}-L.jpg",
    }


def cover_address(book_id: UUID | None, *, size: str) -> str | None:
    """Where the image of a book's cover is, `size` being one of `COVER_SIZES`; None where there is no such book.

    Raises:
        NoCover: the book has none.
    """
    found = _COVER.one(book_id=book_id)
    if found is None:
        return None
    urls = cover_urls(found[0])
    if urls is None:
        raise NoCover("This book has no cover.")
    return urls[COVER_SIZES[size]]


def survivor_of(book_id: UUID) -> UUID | None:
    """The book in which a book of this id went up, if one did."""
    return _SURVIVOR.id(alias=book_id)


def holder_of(isbn: str) -> UUID | None:
    """The book that has an edition of this ISBN-13, if one has."""
    return _HOLDER.id(isbn=isbn)


def _overridden() -> Label[Any]:
    names = func.jsonb_object_keys(Book.overrides).table_valued("name").render_derived()
    ordered = func.jsonb_agg(aggregate_order_by(names.c.name, names.c.name), type_=JSONB)
    return select(func.coalesce(ordered, func.jsonb_build_array())).label("overridden")


def _editions() -> Label[Any]:
    shown = func.jsonb_build_object(*(part for name in _EDITION_COLUMNS for part in (name, getattr(Edition, name))))
    ordered = func.jsonb_agg(aggregate_order_by(shown, Edition.id), type_=JSONB)
    return (
        select(func.coalesce(ordered, func.jsonb_build_array()))
        .where(Edition.tenant_id == Book.tenant_id, Edition.book_id == Book.id)
        .label("editions")
    )


def _versions() -> Label[Any]:
    version = BookVersion
    utc = func.to_char(func.timezone("UTC", version.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    shown = func.jsonb_build_object(
        "number", version.number, "created_at", utc, "origin", version.origin, "changed_fields", version.changed_fields
    )
    ordered = func.jsonb_agg(aggregate_order_by(shown, version.number), type_=JSONB)
    return (
        select(func.coalesce(ordered, func.jsonb_build_array()))
        .where(version.tenant_id == Book.tenant_id, version.book_id == Book.id)
        .label("versions")
    )


_BOOK: Final = Question(
    select(*BOOK, _overridden(), _editions(), _versions()).where(own(Book), Book.id == bindparam("book_id"))
)
_COVER: Final = Question(select(Book.cover_id).where(own(Book), Book.id == bindparam("book_id")))
_SURVIVOR: Final = Question(select(BookAlias.book_id).where(own(BookAlias), BookAlias.alias == bindparam("alias")))
_HOLDER: Final = Question(select(Edition.book_id).where(own(Edition), Edition.isbn == bindparam("isbn")))

# — the list ———————————————————————————————————————————————————————————————————————————————————————

BOOKS = Listing(
    "books",
    select(*BOOK).where(own(Book)),
    tie=Book.id,
    sorts={
        "title": Book.sort_title,
        "created_at": Book.created_at,
        "first_publish_year": Book.sort_year,
        "times_borrowed": Book.times_borrowed,
    },
    default_sort="-created_at",
    filters=BOOK_FILTERS,
    generation=Generation.CATALOGUE,
    render_page=with_covers,
)
