"""Books as they are and as they are to be: read under a lock, and written with their versions, terms and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, Update, case, delete, func, select, update

from app.catalog.models import Book, BookTerm, BookVersion, VersionOrigin
from app.catalog.service.authorship import write_authors
from app.catalog.service.content import CONTENT_FIELDS, BookState, Term, changed_fields, sort_title_of, terms_of
from app.catalog.service.counts import share_counts
from app.catalog.service.search import index_books
from app.core.cache import Generation, touch
from app.core.errors import NotFound
from app.core.security import current_actor
from app.core.sets import given, inserting, run, table_of, text_list, uuid_list
from app.core.tenancy import own
from app.events import service as events

_BOOKS: Final = table_of(Book)
_VERSIONS: Final = table_of(BookVersion)
_TERMS: Final = table_of(BookTerm)
_STATE: Final = (
    "id", "source", "source_fields", "overrides", "open_library_key", "upstream_status", "version", "editions_hash",
)  # fmt: skip
_REWRITTEN: Final = (
    *CONTENT_FIELDS, "open_library_key", "upstream_status", "version", "overrides", "source_fields", "content_hash",
    "editions_hash", "sort_title",
)  # fmt: skip
_VERSION: Final = (
    "book_id", "number", "origin", "changed_fields", "snapshot", "content_hash", "actor_kind", "actor_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Revision:
    """One book's way from a state to another; `is_forced` makes a version even of equal content."""

    after: BookState
    before: BookState | None = None
    is_forced: bool = False

    @property
    def makes_version(self) -> bool:
        """True when the book says something else afterwards."""
        return self.is_forced or self.before is None or self.after.content_hash != self.before.stored_hash

    @property
    def is_visible(self) -> bool:
        """True when a client can see a difference."""
        return self.makes_version or (self.before is not None and self.after.overrides != self.before.overrides)

    @property
    def is_rewritten(self) -> bool:
        """True when the row of a known book changes at all."""
        return self.is_forced or self.after != self.before

    @property
    def tells_editions(self) -> bool:
        """True when the source tells other editions than last time."""
        return self.before is None or self.after.editions_hash != self.before.editions_hash

    @property
    def number(self) -> int:
        """The number of the version that the book has afterwards."""
        return self.after.version + self.makes_version

    @property
    def fields(self) -> list[str]:
        """The versioned fields that change; for a book just made, all that have content."""
        return changed_fields(self.before.snapshot if self.before else NOTHING, self.after.snapshot)


NOTHING: Final[dict[str, Any]] = BookState(id=UUID(int=0), source="", source_fields={}, overrides={}).snapshot


def states_by_key(keys: Iterable[str], *, for_removal: bool = False) -> dict[str, BookState]:
    """The tenant's books of these works, locked in the order of their keys."""
    found = run(_locked_by_key(for_removal=for_removal), keys=list(keys))
    return {row.open_library_key: _state(row) for row in found}


def existing_state(book_id: UUID | None) -> BookState:
    """One book, locked.

    Raises:
        NotFound: this tenant has no such book.
    """
    share_counts()
    found = run(_locked_by_id(), ids=[book_id] if book_id else [])
    if not found:
        raise NotFound("There is no such book.")
    return _state(found[0])


def _state(row: Row[Any]) -> BookState:
    return BookState(**{name: getattr(row, name) for name in _STATE}, stored_hash=row.content_hash)


def _locked(*, for_removal: bool = False) -> Select[Any]:
    columns = (_BOOKS.c[name] for name in (*_STATE, "content_hash"))
    # Rows that point at a book may be written while it is changed, but not while it goes.
    return select(*columns).where(own(_BOOKS.c)).with_for_update(key_share=not for_removal)


@cache
def _locked_by_key(*, for_removal: bool) -> Select[Any]:
    key = _BOOKS.c.open_library_key
    return _locked(for_removal=for_removal).where(key == func.any(text_list("keys"))).order_by(key)


@cache
def _locked_by_id() -> Select[Any]:
    return _locked().where(_BOOKS.c.id == func.any(uuid_list("ids")))


def write_revisions(
    revisions: Sequence[Revision], *, origin: VersionOrigin, checked_at: datetime | None = None
) -> None:
    """Write books with their versions, authors, terms and events; `checked_at` says when the source was asked."""
    made = [revision for revision in revisions if revision.before is None]
    known = [revision for revision in revisions if revision.before is not None]
    versioned = [revision for revision in revisions if revision.makes_version]
    if made:
        rows = [{**_columns_of(one), "source": one.after.source, "checked_at": checked_at} for one in made]
        run(_book_insert(), rows)
    rewritten = [revision for revision in known if revision.is_rewritten]
    if rewritten:
        run(_book_update(), [{**_columns_of(one), "checked_at": checked_at} for one in rewritten])
    if checked_at:
        _mark_checked([one.after.id for one in known if not one.is_rewritten], checked_at)
    if versioned:
        _write_versions(versioned, origin)
        states = [(one.after, one.before) for one in versioned]
        write_authors(states)
        _write_terms(versioned)
        index_books(states)
    _tell([one for one in revisions if one.is_visible], origin)


def _columns_of(revision: Revision) -> dict[str, Any]:
    after = revision.after
    return {
        **after.snapshot,
        "id": after.id,
        "version": revision.number,
        "overrides": after.overrides,
        "source_fields": after.source_fields,
        "content_hash": after.content_hash,
        "editions_hash": after.editions_hash,
        "sort_title": sort_title_of(after.content),
    }


@cache
def _book_insert() -> Any:
    return inserting(_BOOKS, "id", *_REWRITTEN, "source", "checked_at", order_by=("open_library_key",))


@cache
def _book_update() -> Update:
    rows = given(_BOOKS, "id", *_REWRITTEN, "checked_at")
    is_visible = (_BOOKS.c.version != rows.c.version) | (_BOOKS.c.overrides != rows.c.overrides)
    values = {
        **{name: rows.c[name] for name in _REWRITTEN},
        "checked_at": func.coalesce(rows.c.checked_at, _BOOKS.c.checked_at),
        "updated_at": case((is_visible, func.now()), else_=_BOOKS.c.updated_at),
    }
    return update(_BOOKS).values(values).where(own(_BOOKS.c), _BOOKS.c.id == rows.c.id)


def _mark_checked(ids: list[UUID], checked_at: datetime) -> None:
    if ids:
        mine = own(_BOOKS.c) & (_BOOKS.c.id == func.any(uuid_list("ids")))
        run(update(_BOOKS).values(checked_at=checked_at).where(mine), ids=ids)


def _write_versions(revisions: Sequence[Revision], origin: VersionOrigin) -> None:
    actor = current_actor()
    run(
        inserting(_VERSIONS, *_VERSION),
        [
            {
                "book_id": revision.after.id,
                "number": revision.number,
                "origin": origin,
                "changed_fields": revision.fields,
                "snapshot": revision.after.snapshot,
                "content_hash": revision.after.content_hash,
                "actor_kind": actor.kind,
                "actor_id": actor.id,
            }
            for revision in revisions
        ],
    )


def _write_terms(revisions: Sequence[Revision]) -> None:
    gone: list[dict[str, Any]] = []
    come: list[dict[str, Any]] = []
    for revision in revisions:
        before = terms_of(revision.before.content) if revision.before else set()
        after = terms_of(revision.after.content)
        gone += _term_rows(revision.after.id, before - after)
        come += _term_rows(revision.after.id, after - before)
    if gone:
        rows = given(_TERMS, "kind", "term", "book_id")
        same = (_TERMS.c.kind == rows.c.kind) & (_TERMS.c.term == rows.c.term) & (_TERMS.c.book_id == rows.c.book_id)
        run(delete(_TERMS).where(own(_TERMS.c), same), gone)
    if come:
        run(inserting(_TERMS, "kind", "term", "book_id", "display"), come)


def _term_rows(book_id: UUID, terms: Iterable[Term]) -> list[dict[str, Any]]:
    return [{"kind": kind, "term": term, "book_id": book_id, "display": display} for kind, term, display in terms]


def _tell(revisions: Sequence[Revision], origin: VersionOrigin) -> None:
    """Record the events and make what is cached stale."""
    made = [(one.after.id, {"origin": origin.value}) for one in revisions if one.before is None]
    changed = [
        (one.after.id, {"origin": origin.value, "version": one.number, "fields": one.fields})
        for one in revisions
        if one.before is not None
    ]
    events.record_many("book.created", made)
    events.record_many("book.updated", changed)
    if revisions:
        touch(Generation.CATALOGUE)
