"""Recording events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select

from app.core.clock import new_id
from app.core.database import transaction
from app.core.logging import log_context
from app.core.security import current_actor
from app.core.sets import inserting, run, table_of
from app.events.models import Event, EventLevel, UnsealedEvent

_EVENTS: Final = table_of(Event)
_GIVEN: Final = ("id", "type", "level", "actor_kind", "actor_id", "subject_id", "data", "request_id")
# With each event goes its place in the queue of those to be sealed.
_RECORDED: Final = inserting(_EVENTS, *_GIVEN).returning(_EVENTS.c.tenant_id, _EVENTS.c.id).cte("recorded")
_RECORD: Final = insert(table_of(UnsealedEvent)).from_select(["tenant_id", "event_id"], select(*_RECORDED.c))


def record(
    event_type: str,
    *,
    subject_id: UUID | None = None,
    level: EventLevel = EventLevel.INFO,
    names_actor: bool = True,
    **data: Any,
) -> None:
    """Write one event into the present transaction; `data` is ids, names of fields and numbers, nothing personal.

    A type is what it happened to and, after a dot, what happened: `book.updated`. The first is the subject's kind.
    `names_actor` is False where even who did it would tell too much: then the event says no more than what they are.
    """
    record_many(event_type, [(subject_id, data)], level=level, names_actor=names_actor)


def record_many(
    event_type: str,
    subjects: Iterable[tuple[UUID | None, Mapping[str, Any]]],
    *,
    level: EventLevel = EventLevel.INFO,
    names_actor: bool = True,
) -> None:
    """Write one event of a type for each (subject, data), in one statement."""
    actor = current_actor()
    shared = {
        "type": event_type,
        "level": level,
        "actor_kind": actor.kind,
        "actor_id": actor.id if names_actor else None,
        "request_id": log_context().get("request_id"),
    }
    rows = [{**shared, "id": new_id(), "subject_id": subject, "data": data} for subject, data in subjects]
    if rows:
        with transaction():
            run(_RECORD, rows)
