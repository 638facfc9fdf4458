"""What the list of books and the search can be narrowed by.

Terms are compared folded, so that case and accents make no difference. Several values of one filter widen it, several
filters narrow the list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, bindparam, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, array

from app.catalog.models import TERM_LENGTH, UNKNOWN_YEAR, Author, Book, BookAuthor, BookTerm, TermKind
from app.core.database import Question
from app.core.errors import Invalid
from app.core.schemas import parse_id
from app.core.tenancy import own
from app.core.text import folded

_FOLDED: Final = frozenset({"author", "contributor", "series", "subject", "language"})


def _has_term(book_id: ColumnElement[UUID], parameter: str, *kinds: TermKind) -> ColumnElement[bool]:
    return book_id.in_(
        select(BookTerm.book_id).where(
            own(BookTerm),
            BookTerm.kind == func.any(array([kind.value for kind in kinds])),
            BookTerm.term == func.any(bindparam(parameter)),
        )
    )


def _is_by(book_id: ColumnElement[UUID], parameter: str) -> ColumnElement[bool]:
    return book_id.in_(
        select(BookAuthor.book_id).where(
            own(BookAuthor),
            BookAuthor.author_id == func.any(cast(bindparam(parameter), ARRAY(Uuid))),
        )
    )


def _has_label(parameter: str) -> ColumnElement[bool]:
    wanted = cast(bindparam(parameter), ARRAY(TEXT))
    listed = (Book.labels[name].has_any(wanted) for name in ("hues", "reading_abilities"))
    return and_(Book.labels.is_not(None), or_(*listed))


def term_filters(book_id: ColumnElement[UUID]) -> dict[str, ColumnElement[bool]]:
    """Conditions on the terms of the book whose id is in a column; they need no row of `books`."""
    return {
        "author": _has_term(book_id, "author", TermKind.AUTHOR, TermKind.AUTHOR_KEY, TermKind.AUTHOR_WORD),
        "author_id": _is_by(book_id, "author_id"),
        "contributor": _has_term(book_id, "contributor", TermKind.CONTRIBUTOR),
        "series": _has_term(book_id, "series", TermKind.SERIES),
        "subject": _has_term(book_id, "subject", TermKind.SUBJECT),
        "language": _has_term(book_id, "language", TermKind.LANGUAGE),
        "isbn": _has_term(book_id, "isbn", TermKind.ISBN),
    }


COLUMN_FILTERS: Final[Mapping[str, ColumnElement[bool]]] = {
    "year_from": Book.sort_year >= bindparam("year_from"),
    "year_to": and_(Book.sort_year <= bindparam("year_to"), Book.sort_year > UNKNOWN_YEAR),
    "available": Book.copies_available > 0,
    "unavailable": Book.copies_available == 0,
    "source": Book.source == func.any(bindparam("source")),
    "label": _has_label("label"),
}
BOOK_FILTERS: Final[Mapping[str, ColumnElement[bool]]] = {**term_filters(Book.id.expression), **COLUMN_FILTERS}


def narrowed_by(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `BOOK_FILTERS` for what a client asked; filters that were not given are left out.

    Raises:
        Invalid: the years end before they begin.
    """
    chosen = {name: value for name, value in arguments.items() if value not in (None, [])}
    if chosen.get("year_from", UNKNOWN_YEAR) > chosen.get("year_to", math.inf):
        raise Invalid.field("year_to", "Must not be before year_from.")
    if "available" in chosen:
        chosen["available" if chosen.pop("available") else "unavailable"] = True
    if all(parse_id(value) for value in chosen.get("author", [""])):
        chosen["author_id"] = chosen.pop("author")
    for name in _FOLDED & chosen.keys():
        chosen[name] = [_term_of(value) for value in chosen[name]]
    return chosen


def _term_of(value: str) -> str:
    # Where authors are asked for by id and by name at once, an id stands for the name or key that it has.
    author_id = parse_id(value)
    return (author_id and _TERM_OF_AUTHOR.value(author_id=author_id)) or folded(value)[:TERM_LENGTH].rstrip()


_TERM_OF_AUTHOR: Final = Question(
    select(func.coalesce(func.lower(Author.open_library_key), Author.sort_name)).where(
        own(Author), Author.id == bindparam("author_id")
    )
)
