"""What circulation writes into the audit trail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.core.security import Permission, current_actor
from app.events import service as events


def record(event_type: str, *, subject_id: UUID | None, **data: Any) -> None:
    """Write one event; readers who act for themselves are not named: who borrows what is nobody's to read."""
    is_staff = current_actor().may(Permission.LOANS_MANAGE)
    events.record(event_type, subject_id=subject_id, names_actor=is_staff, **data)
