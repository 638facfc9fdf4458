"""The table of events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, func, text
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
    # Compared by code point, so that an index finds all types that begin alike, whatever the database's language.
    type: Mapped[str] = mapped_column(Text(collation="C"))
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
        Index("ix_events_actor", "tenant_id", "actor_id", "at"),
        Index("ix_events_type", "tenant_id", "type", "at", "id"),
        # Nearly all events are of level `info`, and those are found without.
        Index("ix_events_level", "tenant_id", "level", "at", "id", postgresql_where=text("level <> 'info'")),
    )


class EventSeal(TenantScoped, Model):
    """An event's place in its tenant's chain; append-only."""

    __tablename__ = "event_seals"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[UUID]
    # SHA-256 of the hash before and of what the event says.
    hash: Mapped[bytes]
    sealed_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("position > 0", name="position"),
        # No foreign key to the event: that one was removed shows because its seal is left.
        UniqueConstraint("tenant_id", "event_id", name="uq_event_seals_event"),
    )


class UnsealedEvent(Model):
    """An event that has no place in its tenant's chain yet; written with the event."""

    __tablename__ = "unsealed_events"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)

    __table_args__ = {"info": {"outlives_tenant": True}}  # noqa: RUF012 - SQLAlchemy's own class attribute
