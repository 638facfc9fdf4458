"""Bringing a collection up to what a library management system says: the whole of it, or what changed.

One after the other for each collection, which is locked meanwhile, and all in one transaction: whatever breaks off, the
collection is as it was or as it was to be. Only rows that differ are written; what books count follows by triggers.
"""

from __future__ import annotations

from collections.abc import Collection as SomeOf
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from app.catalog import service as catalog
from app.core.cache import Generation, touch
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.errors import MOST_FIELD_ERRORS, Invalid
from app.core.queue import TaskName, enqueue
from app.events import service as events
from app.extensions import db
from app.holdings import queries
from app.holdings.models import Action, Collection, RowFault
from app.holdings.service.collections import existing_collection
from app.holdings.service.errors import AlreadyInCollection, TooManyRemovals
from app.holdings.service.items import remove_items, write_items
from app.holdings.service.rows import Judged, Rejection, Row, judge, too_many_available


class _Content(NamedTuple):
    """What a collection has of an ISBN, its info in JSON: in Python, True is 1 and 1 is 1.0."""

    copies_total: int
    copies_available: int
    info: bytes | None


@dataclass(slots=True)
class Changes:
    """What becomes of a collection: contents by ISBN, the ISBNs that go, and how many rows ask for what is there."""

    added: dict[str, _Content] = field(default_factory=dict)
    updated: dict[str, _Content] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    @property
    def are_none(self) -> bool:
        """True where nothing is to be written."""
        return not (self.added or self.updated or self.removed)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows came to what."""
        return {
            **{name: len(getattr(self, name)) for name in ("added", "updated", "removed")},
            "unchanged": self.unchanged,
        }

    def take(self, isbn: str, content: _Content, *, before: _Content | None) -> None:
        """Let a collection have this of an ISBN."""
        if before is None:
            self.added[isbn] = content
        elif before == content:
            self.unchanged += 1
        else:
            self.updated[isbn] = content


def replace_items(
    collection_id: UUID | None,
    rows: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool = False,
    max_removals: int | None = None,
) -> Changes:
    """Let a collection hold these rows and nothing else; what it has of a rejected row's ISBN stays as it is.

    Raises:
        NotFound: there is no such collection.
        Invalid: every row is rejected.
        TooManyRemovals: more than `max_removals` would go.
    """
    judged = judge(rows)
    with transaction():
        collection = existing_collection(collection_id)
        _refuse_if_none_is_left(judged, rows)
        present = _present(collection, judged.rows)
        changes = Changes(rejected=judged.rejected)
        for isbn, row in judged.rows.items():
            changes.take(isbn, _content(row), before=present.get(isbn))
        changes.removed = queries.surplus_isbns(collection.id, beside=judged.rows.keys() | judged.spared)
        _check_removals(changes, most=max_removals)
        if not dry_run:
            _write(collection, changes)
    return changes


def update_items(
    collection_id: UUID | None,
    rows: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool = False,
    max_removals: int | None = None,
    skips_conflicts: bool = False,
) -> Changes:
    """Do with a collection what each row's `action` asks for; the rest of it stays as it is.

    Raises:
        NotFound: there is no such collection.
        Invalid: every row is rejected.
        AlreadyInCollection: rows to be added are there, and `skips_conflicts` does not pass them over.
        TooManyRemovals: more than `max_removals` would go.
    """
    judged = judge(rows, takes_actions=True)
    with transaction():
        collection = existing_collection(collection_id)
        present = _present(collection, judged.rows)
        changes = _applied(judged, present, skips_conflicts=skips_conflicts)
        changes.rejected.sort(key=attrgetter("index"))
        _refuse_if_none_is_left(judged, rows)
        _check_removals(changes, most=max_removals)
        if not dry_run:
            _write(collection, changes)
    return changes


# — what is to be done —————————————————————————————————————————————————————————————————————————————


def _present(collection: Collection, isbns: SomeOf[str]) -> dict[str, _Content]:
    return {
        row.isbn: _Content(row.copies_total, row.copies_available, _in_json(row.info))
        for row in queries.present_items(collection.id, isbns)
    }


def _content(row: Row) -> _Content:
    """What a row says where nothing is there: one copy, all that there are to be had."""
    total = 1 if row.copies_total is None else row.copies_total
    available = total if row.copies_available is None else row.copies_available
    return _Content(total, available, _in_json(row.info))


def _updated(row: Row, before: _Content) -> _Content:
    """What a row makes of what is there: a total that comes alone says that all of them are to be had."""
    total = before.copies_total if row.copies_total is None else row.copies_total
    otherwise = before.copies_available if row.copies_total is None else total
    available = otherwise if row.copies_available is None else row.copies_available
    return _Content(total, available, _in_json(row.info) if row.gives_info else before.info)


def _in_json(info: Any) -> bytes | None:
    return None if info is None else orjson.dumps(info, option=orjson.OPT_SORT_KEYS)


def _applied(judged: Judged, present: Mapping[str, _Content], *, skips_conflicts: bool) -> Changes:
    changes = Changes(rejected=judged.rejected)
    conflicts = []
    for isbn, row in judged.rows.items():
        before = present.get(isbn)
        if row.action is Action.ADD:
            if before is not None:
                conflicts.append(row)
            else:
                changes.take(isbn, _content(row), before=None)
        elif before is None:
            judged.reject(row, RowFault.NOT_IN_COLLECTION, "The collection has no item with this ISBN.")
        elif row.action is Action.REMOVE:
            changes.removed.append(isbn)
        else:
            _take_update(judged, changes, row, before)
    if conflicts and not skips_conflicts:
        raise _already_there(conflicts)
    changes.unchanged += len(conflicts)
    return changes


def _take_update(judged: Judged, changes: Changes, row: Row, before: _Content) -> None:
    after = _updated(row, before)
    if after.copies_available > after.copies_total:
        message = too_many_available(after.copies_available, after.copies_total)
        judged.reject(row, RowFault.AVAILABLE_EXCEEDS_TOTAL, message)
    else:
        changes.take(row.isbn, after, before=before)


def _already_there(rows: Sequence[Row]) -> AlreadyInCollection:
    return AlreadyInCollection(
        f"{len(rows)} of the items to be added are in the collection already; update them, or ask with"
        " on_conflict=skip. Nothing was changed.",
        errors=[{"field": f"items.{row.place}.isbn", "message": "It is in the collection already."} for row in rows],
        isbns=[row.isbn for row in rows[:MOST_FIELD_ERRORS]],
    )


def _refuse_if_none_is_left(judged: Judged, rows: Sequence[Any]) -> None:
    if rows and len(judged.rejected) == len(rows):
        raise Invalid(
            "No row can be taken; see `errors`. Nothing was changed.",
            errors=[{"field": f"items.{each.index}", "message": each.message} for each in judged.rejected],
        )


def _check_removals(changes: Changes, *, most: int | None) -> None:
    removals = len(changes.removed)
    if most is not None and removals > most:
        raise TooManyRemovals(
            f"This would remove {removals} items, and at most {most} are allowed. Nothing was changed.",
            removals=removals,
        )


# — doing it ———————————————————————————————————————————————————————————————————————————————————————


def _write(collection: Collection, changes: Changes) -> None:
    collection.synced_at = utc_now()
    if not changes.are_none:
        collection.updated_at = collection.synced_at
        touch(Generation.CATALOGUE)
    db.session.flush()
    remove_items(collection, changes.removed)
    write_items(collection, {isbn: _row_of(content) for isbn, content in (changes.added | changes.updated).items()})
    if changes.added and catalog.want_isbns(changes.added):
        enqueue(TaskName.INGESTION_ENRICH)
    counts: dict[str, Any] = {**changes.counts, "rejected": len(changes.rejected)}
    events.record("collection.synced", subject_id=collection.id, **counts)


def _row_of(content: _Content) -> dict[str, Any]:
    return {**content._asdict(), "info": None if content.info is None else orjson.Fragment(content.info)}
