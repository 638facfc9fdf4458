"""The table of events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of


class EventLevel(StrEnum):
    """How much attention an event wants."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(TenantScoped, Model):
    """One thing that happened; append-only, and without personal data.

    There is no foreign key to the tenant: events outlive it.
    """

    __tablename__ = "events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    type: Mapped[str]
    level: Mapped[str] = mapped_column(default=EventLevel.INFO)
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    request_id: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        one_of("level", EventLevel),
        Index("ix_events_at", "tenant_id", "at", "id"),
        Index("ix_events_subject", "tenant_id", "subject_id", "at"),
    )
