"""Giving books labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Integer, bindparam, delete, func, select, update

from app.catalog import service as catalog
from app.catalog.models import Book, Edition
from app.core.cache import Generation, touch
from app.core.database import transaction
from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.sets import given, run, table_of, text_list, uuid_list
from app.core.tenancy import own
from app.events import service as events
from app.labels.models import LABELS, WEIGHTS, BookToLabel, Origin, RowFault
from app.labels.service.rules import proposed

_BOOKS: Final = table_of(Book)
_EDITIONS: Final = table_of(Edition)
_OF_ISBNS: Final = select(_EDITIONS.c.isbn, _EDITIONS.c.book_id).where(
    own(_EDITIONS.c), _EDITIONS.c.isbn == func.any(text_list("isbns"))
)
_LOCKED: Final = (
    select(_BOOKS.c.id, _BOOKS.c.labels)
    .where(own(_BOOKS.c), _BOOKS.c.id == func.any(uuid_list("ids")))
    .order_by(_BOOKS.c.id)
    .with_for_update(key_share=True)
)
_GIVEN: Final = given(_BOOKS, "id", "labels")
_WRITE: Final = (
    update(_BOOKS)
    .values(labels=_GIVEN.c.labels, updated_at=func.now())
    .where(own(_BOOKS.c), _BOOKS.c.id == _GIVEN.c.id)
)
_QUEUE: Final = table_of(BookToLabel)
# Others may be at it as well.
_NEXT: Final = (
    select(_QUEUE.c.book_id)
    .where(own(_QUEUE.c))
    .order_by(_QUEUE.c.book_id)
    .limit(bindparam("most", type_=Integer()))
    .with_for_update(skip_locked=True)
    # Once: as a mere condition it might be asked again for every row, and find others each time.
    .cte("next")
    .prefix_with("MATERIALIZED")
)
_TAKE: Final = delete(_QUEUE).where(own(_QUEUE.c), _QUEUE.c.book_id == _NEXT.c.book_id).returning(_QUEUE.c.book_id)
_SAYING: Final = select(_BOOKS.c.id, _BOOKS.c.subjects, _BOOKS.c.page_count).where(
    own(_BOOKS.c), _BOOKS.c.id == func.any(uuid_list("ids"))
)

Labels = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What became of one item: the labels of its book, with those that were kept, or why it was rejected."""

    code: RowFault | None = None
    labels: Labels | None = None
    kept: list[str] = field(default_factory=list)


def label_books(items: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Give books labels: each item has an `origin`, labels, and the `book_id` or an `isbn` of the book.

    A label that a heavier origin gave is kept; None takes one away. An item that can't be done is rejected, and the
    others are done.
    """
    outcomes = [Outcome() for _ in items]
    with transaction():
        # Several books are held one after the other.
        catalog.hold_counts()
        wanted = _books_of(items, outcomes)
        before = {each.id: each.labels for each in run(_LOCKED, ids=list(wanted))}
        changed = {}
        for book_id, index in wanted.items():
            item, outcome = items[index], outcomes[index]
            if book_id not in before:
                outcome.code = RowFault.UNKNOWN_BOOK
                continue
            labels, outcome.kept = merged(before[book_id], item)
            if labels and labels.get("min_age", 0) > labels.get("max_age", labels.get("min_age", 0)):
                outcome.code, outcome.kept = RowFault.INVALID_AGES, []
                continue
            outcome.labels = labels
            if labels != before[book_id]:
                changed[book_id] = (item, labels)
        if changed:
            run(_WRITE, [{"id": book_id, "labels": labels} for book_id, (_, labels) in changed.items()])
            told = ((book_id, _told(item)) for book_id, (item, _) in changed.items())
            events.record_many("book.labelled", told)
            touch(Generation.CATALOGUE)
    return outcomes


def label_by_rules(*, most: int) -> int:
    """Look at books that came or changed, as many as that, and label them by the rules; returns their number."""
    with transaction():
        # As whoever writes labels does, and before anything else is held.
        catalog.hold_counts()
        ids = [each.book_id for each in run(_TAKE, most=most)]
        if ids:
            label_books(
                [
                    {"book_id": each.id, "origin": Origin.RULE, **proposed(each.subjects, page_count=each.page_count)}
                    for each in run(_SAYING, ids=ids)
                ]
            )
    return len(ids)


def merged(before: Labels | None, given_labels: Mapping[str, Any]) -> tuple[Labels | None, list[str]]:
    """A book's labels with what an origin gives of them, and the names of those that a heavier one holds."""
    origin = Origin(given_labels["origin"])
    labels = {**(before or {})}
    origins = dict(labels.pop("origins", {}))
    kept = []
    for name in LABELS:
        if name not in given_labels:
            continue
        if name in origins and WEIGHTS[Origin(origins[name])] > WEIGHTS[origin]:
            kept.append(name)
        elif given_labels[name] in (None, []):
            labels.pop(name, None)
            origins.pop(name, None)
        else:
            labels[name], origins[name] = given_labels[name], origin.value
    return ({**labels, "origins": origins} if labels else None), kept


def _books_of(items: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> dict[UUID, int]:
    """The books that the items name, each with the place of its item."""
    isbns: dict[int, str] = {}
    for index, item in enumerate(items):
        if "isbn" in item:
            try:
                isbns[index] = normalize_isbn(item["isbn"])
            except InvalidIsbn:
                outcomes[index].code = RowFault.INVALID_ISBN
    holders = {each.isbn: each.book_id for each in run(_OF_ISBNS, isbns=list(set(isbns.values())))} if isbns else {}
    wanted: dict[UUID, int] = {}
    for index, item in enumerate(items):
        if outcomes[index].code is not None:
            continue
        book_id = item["book_id"] if "book_id" in item else holders.get(isbns[index])
        if book_id is None:
            outcomes[index].code = RowFault.UNKNOWN_BOOK
        elif book_id in wanted:
            outcomes[index].code = RowFault.DUPLICATE_IN_REQUEST
        else:
            wanted[book_id] = index
    return wanted


def _told(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"origin": item["origin"], "labels": [name for name in LABELS if name in item]}
