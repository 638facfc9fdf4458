"""What a book said before: compared, and brought back."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Text, bindparam, cast, or_, select

from app.catalog.models import BookVersion, VersionOrigin
from app.catalog.service.books import revise
from app.catalog.service.content import CONTENT_FIELDS, changed_fields
from app.catalog.service.states import existing_state
from app.core.database import Question, transaction
from app.core.errors import NotFound
from app.core.sets import one_id, run, table_of
from app.core.tenancy import own

_VERSIONS: Final = table_of(BookVersion)


def restore_version(book_id: UUID | None, number: int) -> None:
    """Give a book the content of one of its versions again, as a new version with origin `restore`.

    Where that content differs from what the source tells, it becomes an override.

    Raises:
        NotFound: this tenant has no such book, or the book no such version.
    """
    with transaction():
        before = existing_state(book_id)
        content = _snapshot(before.id, number)
        overrides = {name: content[name] for name in CONTENT_FIELDS if content[name] != before.source_fields.get(name)}
        revise(before, overrides, origin=VersionOrigin.RESTORE, is_forced=True)


def _snapshot(book_id: UUID, number: int) -> dict[str, Any]:
    statement = select(_VERSIONS.c.snapshot).where(
        own(_VERSIONS.c),
        _VERSIONS.c.book_id == one_id("book_id"),
        _VERSIONS.c.number == bindparam("number"),
    )
    found = run(statement, book_id=book_id, number=number)
    if not found:
        raise NotFound("The book has no such version.")
    snapshot: dict[str, Any] = found[0].snapshot
    return snapshot


def version_diff(book_id: UUID | None, first: int, second: int) -> dict[str, Any]:
    """What changed from one version to another: `from`, `to` and `changes` by field, in the fields' order.

    Raises:
        NotFound: this tenant has no such book, or the book not both versions.
    """
    asked = _TWO_VERSIONS.all(book_id=book_id, first=first, second=second)
    found = {number: orjson.loads(snapshot) for number, snapshot in asked}
    if first not in found or second not in found:
        raise NotFound("The book has no such version.")
    before, after = found[first], found[second]
    changes = [_change(name, before.get(name), after.get(name)) for name in changed_fields(before, after)]
    return {"from": first, "to": second, "changes": changes}


_TWO_VERSIONS: Final = Question(
    select(BookVersion.number, cast(BookVersion.snapshot, Text)).where(
        own(BookVersion),
        BookVersion.book_id == bindparam("book_id"),
        or_(BookVersion.number == bindparam("first"), BookVersion.number == bindparam("second")),
    )
)


def _change(field: str, before: Any, after: Any) -> dict[str, Any]:
    operation = "added" if before in (None, []) else "removed" if after in (None, []) else "changed"
    return {"field": field, "op": operation, "before": before, "after": after}
