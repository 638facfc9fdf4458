"""What search finds books by: their words, handed to the database's own function, the only way to the index."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import Select, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.queries.words import indexed_words
from app.catalog.service.content import BookState
from app.core.sets import run


def index_books(books: Iterable[tuple[BookState, BookState | None]]) -> None:
    """Let search find books by what they say (the first state) and no longer by what they said (the second)."""
    rows = []
    for after, before in books:
        words = _words(after)
        if before is None or words != _words(before):
            rows.append({"id": after.id, **words})
    if rows:
        run(_index(), rows)


def _words(book: BookState) -> dict[str, str]:
    content = book.content
    return {
        "title": _joined([content["title"]]),
        "authors": _joined(author["name"] for author in content["authors"]),
        "others": _joined([content["subtitle"] or "", *content["series"], *content["subjects"]]),
    }


def _joined(texts: Iterable[str]) -> str:
    return " ".join(indexed_words(texts))


@cache
def _index() -> Select[Any]:
    return select(func.index_books(cast(bindparam("rows", type_=Text()), JSONB)))
