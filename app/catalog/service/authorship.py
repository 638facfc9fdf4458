"""Who wrote what: authors, and their links to books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.catalog.models import Author, BookAuthor
from app.catalog.service.content import BookState, folded_key
from app.core.clock import new_id
from app.core.sets import given, inserting, run, table_of, text_list, uuid_list
from app.core.tenancy import OWN_TENANT_ID, own

_AUTHORS: Final = table_of(Author)
_LINKS: Final = table_of(BookAuthor)


def write_authors(books: Sequence[tuple[BookState, BookState | None]]) -> None:
    """Bring the authors of these books (as they are to be, and as they were) up to what the books say.

    An author with an Open Library key is that key, and is renamed when the source tells another name; one without is
    whoever of the tenant has the same folded name.
    """
    changed = [(after, before) for after, before in books if _names_others(after, before)]
    if not changed:
        return
    named = [(book, author) for book, _ in changed for author in book.content["authors"]]
    if named:
        _write_keyed([(author, "authors" not in book.overrides) for book, author in named])
        _write_nameless([author["name"] for _, author in named if not author["open_library_key"]])
    _forget_links([after.id for after, before in changed if before is not None])
    if named:
        _link([book for book, _ in changed])


def _names_others(after: BookState, before: BookState | None) -> bool:
    return before is None or after.content["authors"] != before.content["authors"]


def _write_keyed(authors: Iterable[tuple[dict[str, Any], bool]]) -> None:
    """Write (author, whether the source itself names it so); a name of the source goes before one set by hand."""
    rows: dict[str, dict[str, Any]] = {}
    for author, is_told in authors:
        key = author["open_library_key"]
        if key and (is_told or key not in rows):
            rows[key] = {**_author_row(author["name"]), "open_library_key": key, "is_told": is_told}
    told = [row for row in rows.values() if row["is_told"]]
    set_by_hand = [row for row in rows.values() if not row["is_told"]]
    if told:
        run(_keyed_upsert(), told)
    if set_by_hand:
        run(_author_insert().on_conflict_do_nothing(), set_by_hand)


def _author_row(name: str) -> dict[str, Any]:
    return {"id": new_id(), "name": name, "sort_name": folded_key(name)}


@cache
def _author_insert() -> Any:
    return inserting(_AUTHORS, "id", "name", "sort_name", "open_library_key", order_by=("open_library_key",))


@cache
def _keyed_upsert() -> Any:
    rows = given(_AUTHORS, "id", "name", "sort_name", "open_library_key")
    # Those that stand as told are left out, so that batches with an author in common do not wait for each other.
    as_told = exists().where(
        own(_AUTHORS.c),
        _AUTHORS.c.open_library_key == rows.c.open_library_key,
        _AUTHORS.c.name == rows.c.name,
    )
    chosen = select(OWN_TENANT_ID, *rows.c).where(~as_told).order_by(rows.c.open_library_key)
    names = ["tenant_id", "id", "name", "sort_name", "open_library_key"]
    statement = insert(_AUTHORS).from_select(names, chosen, include_defaults=False)
    return statement.on_conflict_do_update(
        constraint="uq_authors_open_library_key",
        set_={"name": statement.excluded.name, "sort_name": statement.excluded.sort_name},
    )


def _write_nameless(names: Iterable[str]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        rows.setdefault(folded_key(name), _author_row(name))
    if rows:
        run(_nameless_insert(), rows.values())


@cache
def _nameless_insert() -> Any:
    rows = given(_AUTHORS, "id", "name", "sort_name")
    known = exists().where(own(_AUTHORS.c), _AUTHORS.c.sort_name == rows.c.sort_name)
    chosen = select(OWN_TENANT_ID, *rows.c).where(~known).order_by(rows.c.sort_name)
    names = ["tenant_id", "id", "name", "sort_name"]
    return insert(_AUTHORS).from_select(names, chosen, include_defaults=False).on_conflict_do_nothing()


def _forget_links(book_ids: list[UUID]) -> None:
    if book_ids:
        mine = own(_LINKS.c) & (_LINKS.c.book_id == func.any(uuid_list("ids")))
        run(delete(_LINKS).where(mine), ids=book_ids)


def _link(books: Iterable[BookState]) -> None:
    unique = {book.id: book for book in books}
    authors = [author for book in unique.values() for author in book.content["authors"]]
    by_key, by_name = _author_ids(authors)
    rows = []
    for book in unique.values():
        ids = [
            by_key[author["open_library_key"]] if author["open_library_key"] else by_name[folded_key(author["name"])]
            for author in book.content["authors"]
        ]
        rows += [
            {"book_id": book.id, "position": position, "author_id": author_id}
            for position, author_id in enumerate(dict.fromkeys(ids))
        ]
    run(inserting(_LINKS, "book_id", "position", "author_id"), rows)


def _author_ids(authors: Sequence[dict[str, Any]]) -> tuple[dict[str, UUID], dict[str, UUID]]:
    keys = {author["open_library_key"] for author in authors if author["open_library_key"]}
    names = {folded_key(author["name"]) for author in authors if not author["open_library_key"]}
    by_key: dict[str, UUID] = {}
    by_name: dict[str, UUID] = {}
    for row in run(_known_authors(), keys=list(keys), names=list(names)):
        if row.open_library_key:
            by_key[row.open_library_key] = row.id
        # The first is the one without a key, if there is one, else the one that came first.
        by_name.setdefault(row.sort_name, row.id)
    return by_key, by_name


@cache
def _known_authors() -> Select[Any]:
    authors = _AUTHORS.c
    return (
        select(authors.id, authors.open_library_key, authors.sort_name)
        .where(
            own(authors),
            or_(
                authors.open_library_key == func.any(text_list("keys")),
                authors.sort_name == func.any(text_list("names")),
            ),
        )
        .order_by(authors.open_library_key.is_not(None), authors.id)
    )
