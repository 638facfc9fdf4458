"""Editions: the ISBNs of books, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, Select, Update, case, delete, func, or_, select, update

from app.catalog.models import Edition
from app.catalog.service.content import BookState
from app.catalog.service.errors import IsbnTaken
from app.core.cache import Generation, touch
from app.core.clock import new_id
from app.core.sets import given, inserting, one_id, run, table_of, text_list
from app.core.tenancy import own
from app.openlibrary.records import UNTITLED, NormalizedEdition, NormalizedWork

_EDITIONS: Final = table_of(Edition)
# What is known of an edition: NULL where nothing is, in the lists an empty one.
_PLAIN: Final = (
    "open_library_key", "title", "subtitle", "publish_date", "publish_year", "page_count", "physical_format",
    "cover_id",
)  # fmt: skip
_LISTS: Final = ("publishers", "languages")
_COLUMNS: Final = ("book_id", "isbn", *_PLAIN, *_LISTS)

Rows = list[dict[str, Any]]


def write_editions(told: Sequence[tuple[BookState, NormalizedWork]]) -> set[UUID]:
    """Write the editions and bare ISBNs that works tell of these books; answers the books whose editions changed.

    An ISBN that another book of the tenant has stays there. What an edition's own document tells goes before what is
    known; a search hit only fills gaps.
    """
    documents: Rows = []
    hits: Rows = []
    bare: Rows = []
    for book, work in told:
        for edition in work.editions:
            (documents if edition.revision is not None else hits).extend(_edition_rows(book, edition))
        bare += _bare_rows(book)
    unique: dict[tuple[UUID, str], dict[str, Any]] = {}
    for row in (*documents, *hits, *bare):
        unique.setdefault((row["book_id"], row["isbn"] or row["open_library_key"]), row)
    changed = _write(list(unique.values()))
    if changed:
        touch(Generation.CATALOGUE)
    return changed


def _write(rows: Rows) -> set[UUID]:
    if not rows:
        return set()
    changed = _books(_insert(), rows)
    described = [row for row in rows if row["open_library_key"]]
    for is_document in (True, False):
        for has_isbn in (True, False):
            chosen = [
                row for row in described if row["is_document"] is is_document and (row["isbn"] is not None) is has_isbn
            ]
            changed |= _books(_description(is_document=is_document, has_isbn=has_isbn), chosen)
    return changed | _books(_superseded(), [row for row in described if row["isbn"]])


def _books(statement: Any, rows: Rows) -> set[UUID]:
    return {row.book_id for row in run(statement, rows)} if rows else set()


def _edition_rows(book: BookState, edition: NormalizedEdition) -> Iterable[dict[str, Any]]:
    # ISBNs set by hand are all the book has, whatever editions are told.
    allowed = set(book.content["isbns"]) if "isbns" in book.overrides else None
    for isbn in edition.isbns or (None,):
        if isbn is None or allowed is None or isbn in allowed:
            yield {
                "id": new_id(),
                "book_id": book.id,
                "isbn": isbn,
                **{name: getattr(edition, name) for name in (*_PLAIN, *_LISTS)},
                "title": None if edition.title == UNTITLED else edition.title,
                "is_document": edition.revision is not None,
            }


def _bare_rows(book: BookState) -> Rows:
    nothing = {**dict.fromkeys(_PLAIN), **dict.fromkeys(_LISTS, ())}
    return [{**nothing, "id": new_id(), "book_id": book.id, "isbn": isbn} for isbn in book.content["isbns"]]


@cache
def _insert() -> Any:
    statement = inserting(_EDITIONS, "id", *_COLUMNS, order_by=("isbn", "open_library_key"))
    return statement.on_conflict_do_nothing().returning(_EDITIONS.c.book_id)


@cache
def _description(*, is_document: bool, has_isbn: bool) -> Update:
    rows = given(_EDITIONS, *_COLUMNS)
    values = {name: _richer(name, rows.c[name], told_wins=is_document) for name in (*_PLAIN, *_LISTS)}
    name = "isbn" if has_isbn else "open_library_key"
    return (
        update(_EDITIONS)
        .values(values)
        .where(
            own(_EDITIONS.c),
            _EDITIONS.c[name] == rows.c[name],
            _EDITIONS.c.isbn.is_not(None) if has_isbn else _EDITIONS.c.isbn.is_(None),
            _EDITIONS.c.book_id == rows.c.book_id,
            or_(*(_EDITIONS.c[column].is_distinct_from(value) for column, value in values.items())),
        )
        .returning(_EDITIONS.c.book_id)
    )


def _richer(name: str, told: ColumnElement[Any], *, told_wins: bool) -> ColumnElement[Any]:
    first, second = (told, _EDITIONS.c[name]) if told_wins else (_EDITIONS.c[name], told)
    if name in _LISTS:
        return case((func.cardinality(first) > 0, first), else_=second)
    return func.coalesce(first, second)


@cache
def _superseded() -> Any:
    """Remove editions without ISBN that turn out to have one."""
    rows = given(_EDITIONS, "book_id", "open_library_key")
    return (
        delete(_EDITIONS)
        .where(
            own(_EDITIONS.c),
            _EDITIONS.c.isbn.is_(None),
            _EDITIONS.c.open_library_key == rows.c.open_library_key,
            _EDITIONS.c.book_id == rows.c.book_id,
        )
        .returning(_EDITIONS.c.book_id)
    )


def keep_isbns(book: BookState, *, claimed: Iterable[str] = ()) -> None:
    """Let a book have the editions of exactly its own ISBNs (and those without any).

    Raises:
        IsbnTaken: another book of the tenant has one of the `claimed` ISBNs.
    """
    isbns, claimed = book.content["isbns"], list(claimed)
    bare = _bare_rows(book)
    if bare:
        run(_insert(), bare)
    taken = run(_elsewhere(), isbns=claimed, book_id=book.id) if claimed else ()
    if taken:
        listed = ", ".join(row.isbn for row in taken)
        raise IsbnTaken(f"Another book has the ISBN {listed}.", isbns=[row.isbn for row in taken])
    run(_others(), isbns=isbns, book_id=book.id)


@cache
def _elsewhere() -> Select[Any]:
    editions = _EDITIONS.c
    return (
        select(editions.isbn)
        .where(
            own(editions),
            editions.isbn == func.any(text_list("isbns")),
            editions.book_id != one_id("book_id"),
        )
        .order_by(editions.isbn)
    )


@cache
def _others() -> Delete:
    editions = _EDITIONS.c
    return delete(_EDITIONS).where(
        own(editions),
        editions.book_id == one_id("book_id"),
        editions.isbn != func.all(text_list("isbns")),
    )


def move_editions(*, loser_id: UUID, survivor_id: UUID) -> None:
    """Hang the editions of a book beneath another."""
    editions = _EDITIONS.c
    # Locked in the order in which others take them, before they are changed in any.
    ours = own(editions) & (editions.book_id == one_id("loser_id"))
    run(select(editions.id).where(ours).order_by(editions.isbn).with_for_update(key_share=True), loser_id=loser_id)
    run(
        update(_EDITIONS).values(book_id=one_id("survivor_id")).where(ours),
        loser_id=loser_id,
        survivor_id=survivor_id,
    )
