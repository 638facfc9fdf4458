"""Upkeep of what every tenant has."""

from __future__ import annotations

from app.core.idempotency import forget_old_answers
from app.core.queue import TaskName
from app.core.tenancy import tenant
from app.extensions import celery
from app.openlibrary import mirror
from app.tenants import queries, service


@celery.task(name=TaskName.UPKEEP_FORGET.value)
def forget() -> None:
    """Delete the answers that are kept for repeated requests and questions and too old to be asked for."""
    mirror.forget_old_answers()
    for tenant_id in queries.active_tenant_ids():
        with tenant(tenant_id):
            forget_old_answers()


@celery.task(name=TaskName.TENANTS_PURGE.value)
def purge() -> None:
    """Purge the tenants whose time after their suspension is over."""
    service.purge_long_suspended()
