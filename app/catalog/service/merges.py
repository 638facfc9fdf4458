"""Following Open Library where two works became one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Update, delete, func, update

from app.catalog.models import Book, BookAlias, VersionOrigin
from app.catalog.service.content import BookState
from app.catalog.service.editions import move_editions, write_editions
from app.catalog.service.states import Revision, states_by_key, write_revisions
from app.catalog.service.works import RecordedAction, RecordedWork, as_live, lock_works, put_together, revision_by
from app.core.cache import Generation, touch
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.sets import inserting, one_id, run, table_of
from app.core.tenancy import own
from app.events import service as events
from app.openlibrary.records import NormalizedWork

_BOOKS: Final = table_of(Book)
_ALIASES: Final = table_of(BookAlias)
Follower = Callable[[UUID, UUID], None]
_followers: Final[list[Follower]] = []


def follow_merges(follow: Follower) -> Follower:
    """Register what a domain above does when two books become one: called with the ids of the loser and the survivor.

    It moves the domain's rows in the transaction of the merge, before the loser's row is removed.
    """
    _followers.append(follow)
    return follow


@dataclass(frozen=True, slots=True)
class _Merge:
    """A work with the tenant's books that are to be one: its own, or else the first of them, stays."""

    work: NormalizedWork
    former_keys: tuple[str, ...]
    survivor: BookState | None
    losers: tuple[BookState, ...]

    @property
    def is_move(self) -> bool:
        """True when something really moves, and was not already there."""
        has_other_key = self.survivor is not None and self.survivor.open_library_key != self.work.open_library_key
        return has_other_key or bool(self.losers)

    def revision(self) -> Revision:
        """The survivor with the new key, with the overrides of the losers where it has none of its own."""
        revision = revision_by(self.work, self.survivor)
        adopted = {
            name: value
            for loser in reversed(self.losers)
            for name, value in loser.overrides.items()
            # A loser's list of ISBNs would hide those of the survivor.
            if name != "isbns"
        }
        after = replace(revision.after, overrides={**adopted, **revision.after.overrides})
        return Revision(after, revision.before, is_forced=self.is_move)


def record_redirects(pairs: Sequence[tuple[str, NormalizedWork]]) -> list[RecordedWork]:
    """Move the tenant's books of merged works: each pair is the former bare key and the work it became.

    A book of the former key gets the new one, as a version with origin `redirect`. Where the tenant has the new work as
    well, the two become one: the new work's book stays, and everything that hangs on the other follows. A tenant
    that has neither gets the new work. The answers carry the former keys, in the order of the pairs.
    """
    pairs = _to_the_end(pairs)
    works = put_together(work for _, work in pairs)
    if not works:
        return []
    with transaction():
        lock_works({*works, *(former for former, _ in pairs)})
        as_live(works)
        merges = _merges(pairs, works)
        revisions = {key: merge.revision() for key, merge in merges.items()}
        _write(merges, revisions)
    return [
        RecordedWork(
            former,
            revisions[work.open_library_key].after.id,
            RecordedAction.REDIRECTED,
            f"Merged into {work.open_library_key}.",
        )
        for former, work in pairs
    ]


def _to_the_end(pairs: Sequence[tuple[str, NormalizedWork]]) -> list[tuple[str, NormalizedWork]]:
    """The pairs with the last work of each chain: of A that became B, and B that became C, A became C as well."""
    became = dict(pairs)
    resolved = []
    for former, target in pairs:
        met, work = {former}, target
        while work.open_library_key in became and work.open_library_key not in met:
            met.add(work.open_library_key)
            work = became[work.open_library_key]
        resolved.append((former, work))
    return resolved


def _merges(pairs: Sequence[tuple[str, NormalizedWork]], works: Mapping[str, NormalizedWork]) -> dict[str, _Merge]:
    known = states_by_key({*works, *(former for former, _ in pairs)}, for_removal=True)
    merges = {}
    for key, work in works.items():
        former_keys = sorted({former for former, target in pairs if target.open_library_key == key and former != key})
        books = [known[name] for name in (key, *former_keys) if name in known]
        survivor, losers = (books[0], tuple(books[1:])) if books else (None, ())
        merges[key] = _Merge(work, tuple(former_keys), survivor, losers)
    return merges


def _write(merges: Mapping[str, _Merge], revisions: Mapping[str, Revision]) -> None:
    now = utc_now()
    for origin, is_move in ((VersionOrigin.REDIRECT, True), (VersionOrigin.OPEN_LIBRARY, False)):
        chosen = [revisions[key] for key, merge in merges.items() if merge.is_move is is_move]
        write_revisions(chosen, origin=origin, checked_at=now)
    for key in sorted(merges):
        for loser in merges[key].losers:
            _absorb(loser, survivor_id=revisions[key].after.id)
    write_editions([(revisions[key].after, merge.work) for key, merge in merges.items()])
    _remember((former, revisions[key].after.id) for key, merge in merges.items() for former in merge.former_keys)


def _absorb(loser: BookState, *, survivor_id: UUID) -> None:
    """Let everything that hangs on a book follow to the survivor, and remove the book."""
    move_editions(loser_id=loser.id, survivor_id=survivor_id)
    for statement in (_move_aliases(), _hand_over()):
        run(statement, loser_id=loser.id, survivor_id=survivor_id)
    for follow in _followers:
        follow(loser.id, survivor_id)
    run(delete(_BOOKS).where(own(_BOOKS.c), _BOOKS.c.id == one_id("loser_id")), loser_id=loser.id)
    _remember([(str(loser.id), survivor_id)])
    events.record("book.merged", subject_id=survivor_id, merged_id=str(loser.id))
    events.record("book.deleted", subject_id=loser.id, merged_into=str(survivor_id))
    touch(Generation.CATALOGUE)


@cache
def _move_aliases() -> Update:
    mine = own(_ALIASES.c) & (_ALIASES.c.book_id == one_id("loser_id"))
    return update(_ALIASES).values(book_id=one_id("survivor_id")).where(mine)


@cache
def _hand_over() -> Update:
    loser = _BOOKS.alias("loser")
    # Copies are counted where editions and single copies move.
    return (
        update(_BOOKS)
        .values(
            times_borrowed=_BOOKS.c.times_borrowed + loser.c.times_borrowed,
            labels=func.coalesce(_BOOKS.c.labels, loser.c.labels),
        )
        .where(
            own(_BOOKS.c),
            _BOOKS.c.id == one_id("survivor_id"),
            loser.c.tenant_id == _BOOKS.c.tenant_id,
            loser.c.id == one_id("loser_id"),
        )
    )


def _remember(aliases: Iterable[tuple[str, UUID]]) -> None:
    rows: list[dict[str, Any]] = [{"alias": alias, "book_id": book_id} for alias, book_id in aliases]
    statement = inserting(_ALIASES, "alias", "book_id", order_by=("alias",))
    if rows:
        run(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "alias"], set_={"book_id": statement.excluded.book_id}
            ),
            rows,
        )
