"""Upkeep of the hold shelf, and notices to readers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.circulation import service
from app.core.errors import DatabaseUnavailable
from app.core.queue import TaskName
from app.core.tenancy import tenant
from app.extensions import celery
from app.tenants import queries as tenants

log = logging.getLogger(__name__)


@celery.task(name=TaskName.CIRCULATION_EXPIRE_HOLDS.value)
def expire_holds() -> None:
    """Let copies that were not fetched in time go to the next."""
    _in_every_tenant(service.expire_holds)


@celery.task(name=TaskName.CIRCULATION_NOTICES.value)
def notices() -> None:
    """Promise readers the mails that are due."""
    _in_every_tenant(service.promise_notices)


def _in_every_tenant(work: Callable[[], object]) -> None:
    """Do it for one after the other; what goes wrong with one is no other's loss."""
    for tenant_id in tenants.active_tenant_ids():
        with tenant(tenant_id):
            try:
                work()
            except DatabaseUnavailable:
                raise
            except Exception:
                log.exception("circulation.upkeep_failed")
