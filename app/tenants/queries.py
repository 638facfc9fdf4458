"""Questions about tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select

from app.core.database import Question, Shape
from app.core.pagination import Listing
from app.extensions import db
from app.tenants.models import Tenant, TenantStatus

SETTINGS = (
    "public_submissions",
    "self_registration",
    "resync_interval_hours",
    "loan_days",
    "max_renewals",
    "max_loans_per_reader",
)
LIMITS = ("api_requests_per_minute", "ingestion_jobs_per_hour")
_OWN = (
    "id",
    "slug",
    "name",
    "kind",
    "status",
    "country_code",
    "official_identifier",
    "lms_type",
    "website",
    "created_at",
    "updated_at",
)
_TENANT = Shape(Tenant, *_OWN, *SETTINGS, *LIMITS)


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """What every request needs to know of its tenant."""

    id: UUID
    slug: str
    is_active: bool
    public_submissions: bool
    self_registration: bool
    api_requests_per_minute: int | None
    ingestion_jobs_per_hour: int | None


def tenant_summary(slug: str) -> TenantSummary | None:
    """The tenant of a slug, if there is one; suspended ones included."""
    found = _SUMMARY.one(slug=slug)
    if found is None:
        return None
    tenant_id, *rest = found
    return TenantSummary(UUID(tenant_id), slug, *rest)


_SUMMARY = Question(
    select(
        Tenant.id,
        Tenant.status == TenantStatus.ACTIVE,
        Tenant.public_submissions,
        Tenant.self_registration,
        Tenant.api_requests_per_minute,
        Tenant.ingestion_jobs_per_hour,
    ).where(Tenant.slug == bindparam("slug"))
)


def tenant(tenant_id: UUID) -> Tenant | None:
    """One tenant."""
    return db.session.get(Tenant, tenant_id)


def active_tenant_ids() -> list[UUID]:
    """The ids of all active tenants, the reserved one included."""
    statement = select(Tenant.id).where(Tenant.status == TenantStatus.ACTIVE).order_by(Tenant.id)
    return list(db.session.scalars(statement))


def tenant_ids() -> list[UUID]:
    """The ids of all tenants, suspended ones and the reserved one included."""
    return list(db.session.scalars(select(Tenant.id).order_by(Tenant.id)))


def tenants_suspended_before(moment: datetime) -> list[UUID]:
    """The ids of the tenants that were suspended before a moment."""
    return list(db.session.scalars(select(Tenant.id).where(Tenant.suspended_at < moment).order_by(Tenant.id)))


def shown(found: Tenant) -> dict[str, Any]:
    """A tenant as clients see it."""
    return _nested(_TENANT.of(found))


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: flat[name] for name in _OWN},
        "settings": {name: flat[name] for name in SETTINGS},
        "limits": {name: flat[name] for name in LIMITS},
    }


TENANTS = Listing(
    "tenants",
    select(*_TENANT),
    tie=Tenant.id,
    sorts={"created_at": Tenant.created_at, "name": Tenant.name, "slug": Tenant.slug},
    default_sort="-created_at",
    filters={
        "kind": Tenant.kind == bindparam("kind"),
        "status": Tenant.status == bindparam("status"),
        "country_code": Tenant.country_code == bindparam("country_code"),
        "official_identifier": Tenant.official_identifier == bindparam("official_identifier"),
        "q": or_(
            func.strpos(func.lower(Tenant.name), func.lower(bindparam("q"))) > 0,
            func.strpos(Tenant.slug, func.lower(bindparam("q"))) > 0,
        ),
    },
    render=_nested,
)
