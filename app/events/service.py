"""Recording events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.core.clock import new_id
from app.core.database import transaction
from app.core.logging import log_context
from app.core.security import current_actor
from app.core.tenancy import current_tenant_id
from app.events.models import Event, EventLevel


def record(
    event_type: str, *, subject_id: UUID | None = None, level: EventLevel = EventLevel.INFO, **data: Any
) -> None:
    """Write one event into the present transaction; `data` is ids, names of fields and numbers, nothing personal."""
    record_many(event_type, [(subject_id, data)], level=level)


def record_many(
    event_type: str,
    subjects: Iterable[tuple[UUID | None, Mapping[str, Any]]],
    *,
    level: EventLevel = EventLevel.INFO,
) -> None:
    """Write one event of a type for each (subject, data), in one statement."""
    actor = current_actor()
    shared = {
        "tenant_id": current_tenant_id(),
        "type": event_type,
        "level": level.value,
        "actor_kind": actor.kind.value,
        "actor_id": actor.id,
        "request_id": log_context().get("request_id"),
    }
    written = [{**shared, "id": new_id(), "subject_id": subject, "data": dict(data)} for subject, data in subjects]
    if written:
        with transaction() as session:
            session.execute(insert(Event), written)
