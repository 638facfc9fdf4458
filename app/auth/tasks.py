"""Upkeep of what people's sign-in leaves behind."""

from __future__ import annotations

from app.auth import service
from app.core.queue import TaskName
from app.core.tenancy import tenant
from app.extensions import celery
from app.tenants import queries as tenants


@celery.task(name=TaskName.UPKEEP_FORGET_SIGN_INS.value)
def forget() -> None:
    """Delete the sessions, magic links and marks of ID tokens that have been over for a week."""
    for tenant_id in tenants.tenant_ids():
        with tenant(tenant_id):
            service.forget_what_is_over()
