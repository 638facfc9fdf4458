"""Who has ISBNs to be looked up."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from app.catalog.models import Enrichment
from app.extensions import db
from app.tenants.models import Tenant, TenantStatus


def tenants_with_due_isbns() -> list[UUID]:
    """The active tenants that have any due, those that wait the longest first."""
    is_active = (Tenant.id == Enrichment.tenant_id) & (Tenant.status == TenantStatus.ACTIVE)
    due = select(Enrichment.tenant_id).join(Tenant, is_active).where(Enrichment.due_at <= func.now())
    return list(db.session.scalars(due.order_by(Enrichment.due_at)))
