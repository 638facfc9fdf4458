"""Recording what Open Library tells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, delete, func, select

from app.catalog.models import BookAlias, BookSource, UpstreamStatus, VersionOrigin
from app.catalog.service.content import BookState, editions_hash_of, learned
from app.catalog.service.counts import share_counts
from app.catalog.service.editions import write_editions
from app.catalog.service.states import Revision, states_by_key, write_revisions
from app.core.clock import new_id, utc_now
from app.core.database import transaction
from app.core.sets import lock_names, run, table_of, text_list
from app.core.tenancy import own
from app.openlibrary.records import NormalizedWork, merge_work

_ALIASES: Final = table_of(BookAlias)


class RecordedAction(StrEnum):
    """What recording a work did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REDIRECTED = "redirected"


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """What became of one work: the bare key it was given under, the tenant's book, and a line for the log."""

    open_library_key: str
    book_id: UUID
    action: RecordedAction
    message: str


def record_works(
    works: Sequence[NormalizedWork], *, origin: VersionOrigin = VersionOrigin.OPEN_LIBRARY
) -> list[RecordedWork]:
    """Bring the tenant's books up to what these works tell; at most some hundreds at a time.

    Locks the works' keys in one order, whatever order they are given in, so that no two callers wait for each other in
    a circle; call it once in a transaction. The answers stand in the order of the works; of a work given twice the two
    tellings are put together, and both get the same answer. A key that was merged away answers `redirected` with the
    surviving book, unless the work comes from its own document.
    """
    together = put_together(works)
    if not together:
        return []
    with transaction():
        lock_works(together)
        as_live([key for key, work in together.items() if work.revision is not None])
        recorded = _absorbed(together)
        heard = {key: work for key, work in together.items() if key not in recorded}
        known = states_by_key(heard)
        revisions = {key: revision_by(work, known.get(key)) for key, work in heard.items()}
        write_revisions(list(revisions.values()), origin=origin, checked_at=utc_now())
        changed = write_editions([(one.after, heard[key]) for key, one in revisions.items() if one.tells_editions])
    recorded |= {key: _outcome(key, one, changed_editions=changed) for key, one in revisions.items()}
    return [recorded[work.open_library_key] for work in works]


def lock_works(keys: Iterable[str]) -> None:
    """Hold the works of these bare keys until the transaction ends.

    For who calls several commands on works in one transaction: with all their keys held from the beginning, no two such
    transactions wait for each other in a circle. Nor do they with collections that are synchronised: none is meanwhile.
    """
    with transaction():
        share_counts()
        lock_names(keys, kind="work")


def mark_deleted_upstream(keys: Iterable[str]) -> list[RecordedWork]:
    """Note that Open Library withdrew these works; the books stay. Keys that the tenant has no book of are left out."""
    unique = sorted(set(keys))
    if not unique:
        return []
    with transaction():
        lock_works(unique)
        known = states_by_key(unique)
        revisions = {
            key: Revision(replace(state, upstream_status=UpstreamStatus.DELETED.value), state)
            for key, state in known.items()
        }
        write_revisions(list(revisions.values()), origin=VersionOrigin.OPEN_LIBRARY, checked_at=utc_now())
    return [_outcome(key, revisions[key], changed_editions=frozenset()) for key in unique if key in revisions]


def revision_by(work: NormalizedWork, before: BookState | None) -> Revision:
    """What a work makes of the tenant's book of it, or of none."""
    told: dict[str, Any] = {
        "open_library_key": work.open_library_key,
        "upstream_status": UpstreamStatus.LIVE.value,
        "source_fields": learned(before.source_fields if before else {}, work),
        "editions_hash": editions_hash_of(work),
    }
    if before is None:
        return Revision(BookState(id=new_id(), source=BookSource.OPEN_LIBRARY.value, overrides={}, **told))
    return Revision(replace(before, **told), before)


def put_together(works: Iterable[NormalizedWork]) -> dict[str, NormalizedWork]:
    """The works by bare key; several tellings of one become one."""
    together: dict[str, NormalizedWork] = {}
    for work in works:
        key = work.open_library_key
        together[key] = merge_work(together[key], work) if key in together else work
    return together


def as_live(keys: Collection[str]) -> None:
    """Take it that these works stand for themselves, whatever was merged away under their keys before."""
    if keys:
        aliases = _ALIASES.c.alias == func.any(text_list("aliases"))
        run(delete(_ALIASES).where(own(_ALIASES.c), aliases), aliases=list(keys))


def _absorbed(keys: Iterable[str]) -> dict[str, RecordedWork]:
    message = "Merged into another work, whose book stays as it is."
    found = run(_books_of_aliases(), aliases=list(keys))
    return {row.alias: RecordedWork(row.alias, row.book_id, RecordedAction.REDIRECTED, message) for row in found}


@cache
def _books_of_aliases() -> Select[Any]:
    aliases = _ALIASES.c
    return select(aliases.alias, aliases.book_id).where(own(aliases), aliases.alias == func.any(text_list("aliases")))


def _outcome(key: str, revision: Revision, *, changed_editions: Collection[UUID]) -> RecordedWork:
    book_id = revision.after.id
    if revision.before is None:
        return RecordedWork(key, book_id, RecordedAction.CREATED, "Version 1.")
    if revision.makes_version:
        message = f"Version {revision.number}: {', '.join(revision.fields)}."
        return RecordedWork(key, book_id, RecordedAction.UPDATED, message)
    if book_id in changed_editions:
        return RecordedWork(key, book_id, RecordedAction.UPDATED, "Editions only.")
    return RecordedWork(key, book_id, RecordedAction.UNCHANGED, f"Still version {revision.number}.")
