"""What librarians do with books by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, select

from app.catalog.models import Book, BookSource, VersionOrigin
from app.catalog.service.content import CONTENT_FIELDS, LIST_FIELDS, BookState
from app.catalog.service.counts import share_counts
from app.catalog.service.editions import keep_isbns
from app.catalog.service.errors import BookInUse
from app.catalog.service.states import Revision, existing_state, write_revisions
from app.core.cache import Generation, touch
from app.core.clock import new_id
from app.core.database import transaction
from app.core.errors import Invalid, NotFound
from app.core.sets import one_id, run, table_of
from app.core.tenancy import own
from app.events import service as events

_BOOKS: Final = table_of(Book)
Follower = Callable[[UUID], None]
_followers: Final[list[Follower]] = []


def follow_removals(follow: Follower) -> Follower:
    """Register what a domain above does before a book is removed by hand, given its id."""
    _followers.append(follow)
    return follow


def create_book(*, source: BookSource = BookSource.MANUAL, **fields: Any) -> UUID:
    """Make a book from the fields a librarian gives, under the names of its columns; answers its id.

    Raises:
        IsbnTaken: another book of the tenant has one of the ISBNs.
    """
    content: dict[str, Any] = {name: _or_empty(name, fields.get(name)) for name in CONTENT_FIELDS}
    book = BookState(id=new_id(), source=source.value, source_fields=content, overrides={})
    with transaction():
        share_counts()
        write_revisions([Revision(book)], origin=VersionOrigin(source.value))
        keep_isbns(book, claimed=content["isbns"])
    return book.id


def update_book(book_id: UUID | None, changes: dict[str, Any]) -> None:
    """Set fields by hand: each that changes becomes an override, and all together one version.

    `changes["overrides"]` maps those fields to None whose override is to be lifted. Equal values change nothing.

    Raises:
        NotFound: this tenant has no such book.
        Invalid: a field is set and lifted at once.
        IsbnTaken: another book of the tenant has one of the ISBNs.
    """
    lifted = set(changes.get("overrides") or ())
    chosen = {name: _or_empty(name, value) for name, value in changes.items() if name != "overrides"}
    for name in sorted(lifted & set(chosen)):
        raise Invalid.field(f"overrides.{name}", "Either set a field or lift its override, not both.")
    with transaction():
        before = existing_state(book_id)
        kept = {name: value for name, value in before.overrides.items() if name not in lifted}
        set_by_hand = {name: value for name, value in chosen.items() if value != before.content[name]}
        revise(before, {**kept, **set_by_hand}, origin=VersionOrigin.MANUAL, claims_isbns="isbns" in set_by_hand)


def _or_empty(name: str, value: Any) -> Any:
    return [] if value is None and name in LIST_FIELDS else value


def revise(
    before: BookState,
    overrides: dict[str, Any],
    *,
    origin: VersionOrigin,
    claims_isbns: bool = False,
    is_forced: bool = False,
) -> None:
    """Give a book other overrides, inside the caller's transaction, and its editions the ISBNs it then has.

    Raises:
        IsbnTaken: with `claims_isbns`, another book has an ISBN that this one gets.
    """
    after = replace(before, overrides=overrides)
    has_other_isbns = after.content["isbns"] != before.content["isbns"]
    if has_other_isbns:
        # Editions left out here may be wanted when the source is next asked, even if it then tells the same.
        after = replace(after, editions_hash=None)
    write_revisions([Revision(after, before, is_forced)], origin=origin)
    if has_other_isbns:
        added = [isbn for isbn in after.content["isbns"] if isbn not in before.content["isbns"]]
        keep_isbns(after, claimed=added if claims_isbns else ())


def delete_book(book_id: UUID | None) -> None:
    """Remove a book with its versions and editions.

    Raises:
        NotFound: this tenant has no such book.
        BookInUse: copies of it are on loan, or wait for readers.
    """
    mine = own(_BOOKS.c) & (_BOOKS.c.id == one_id("book_id"))
    copies = select(_BOOKS.c.id, _BOOKS.c.copies_total, _BOOKS.c.copies_available).where(mine).with_for_update()
    with transaction():
        share_counts()
        found = run(copies, book_id=book_id)
        if not found:
            raise NotFound("There is no such book.")
        if found[0].copies_total > found[0].copies_available:
            raise BookInUse("Copies of this book are on loan, or set aside for readers; delete it when they are back.")
        for follow in _followers:
            follow(found[0].id)
        run(delete(_BOOKS).where(mine), book_id=book_id)
        events.record("book.deleted", subject_id=book_id)
        touch(Generation.CATALOGUE)
