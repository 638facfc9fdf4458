"""Labels by rules, in the background."""

from __future__ import annotations

from app.core.queue import TaskName
from app.core.tenancy import tenant
from app.extensions import celery
from app.labels import service
from app.tenants import queries as tenants

# In one transaction.
_BATCH = 500


@celery.task(name=TaskName.LABELS_BY_RULES.value)
def label_by_rules() -> None:
    """Look at all books that came or changed."""
    for tenant_id in tenants.active_tenant_ids():
        with tenant(tenant_id):
            while service.label_by_rules(most=_BATCH) == _BATCH:
                continue
