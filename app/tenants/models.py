"""The table of tenants."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.extensions import Model, one_of

PLATFORM_ID = UUID("00000000-0000-7000-8000-000000000000")


class TenantKind(StrEnum):
    """What a tenant is."""

    LIBRARY = "library"
    SCHOOL = "school"
    PERSONAL = "personal"


class TenantStatus(StrEnum):
    """`active` → `suspended`, from where it is purged after 30 days."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Tenant(Model):
    """One library, school or person."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(default=TenantStatus.ACTIVE)
    country_code: Mapped[str | None]
    official_identifier: Mapped[str | None]
    lms_type: Mapped[str | None]
    website: Mapped[str | None]
    public_submissions: Mapped[bool] = mapped_column(server_default=text("false"))
    self_registration: Mapped[bool] = mapped_column(server_default=text("false"))
    resync_interval_hours: Mapped[int]
    loan_days: Mapped[int] = mapped_column(server_default=text("14"))
    max_renewals: Mapped[int] = mapped_column(server_default=text("2"))
    max_loans_per_reader: Mapped[int] = mapped_column(server_default=text("20"))
    api_requests_per_minute: Mapped[int | None]
    ingestion_jobs_per_hour: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    suspended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 2 AND 63", name="slug"),
        one_of("kind", TenantKind),
        one_of("status", TenantStatus),
        CheckConstraint("(status = 'suspended') = (suspended_at IS NOT NULL)", name="suspended_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint("resync_interval_hours BETWEEN 1 AND 8760", name="resync_interval_hours"),
        CheckConstraint("loan_days BETWEEN 1 AND 365", name="loan_days"),
        CheckConstraint("max_renewals BETWEEN 0 AND 100", name="max_renewals"),
        CheckConstraint("max_loans_per_reader BETWEEN 1 AND 1000", name="max_loans_per_reader"),
        CheckConstraint("api_requests_per_minute > 0", name="api_requests_per_minute"),
        CheckConstraint("ingestion_jobs_per_hour > 0", name="ingestion_jobs_per_hour"),
        UniqueConstraint("slug", name="uq_tenants_slug"),
        UniqueConstraint("country_code", "official_identifier", name="uq_tenants_official_identifier"),
        Index("ix_tenants_created_at", "created_at", "id"),
    )
