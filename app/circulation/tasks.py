"""Upkeep of the hold shelf, and notices to readers."""

from __future__ import annotations

from app.circulation import service
from app.core.queue import TaskName
from app.core.tenancy import tenant
from app.extensions import celery
from app.tenants import queries as tenants


@celery.task(name=TaskName.CIRCULATION_EXPIRE_HOLDS.value)
def expire_holds() -> None:
    """Let copies that were not fetched in time go to the next."""
    for tenant_id in tenants.active_tenant_ids():
        with tenant(tenant_id):
            service.expire_holds()


@celery.task(name=TaskName.CIRCULATION_NOTICES.value)
def notices() -> None:
    """Promise readers the mails that are due."""
    for tenant_id in tenants.active_tenant_ids():
        with tenant(tenant_id):
            service.promise_notices()
