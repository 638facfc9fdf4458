"""Running again what a tenant ingested once, at the interval of its settings."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import INTERVAL

from app.core.clock import utc_now
from app.core.database import transaction
from app.core.tenancy import current_tenant_id, tenant
from app.extensions import db
from app.ingestion import queries
from app.ingestion.models import Job, Log, LogAction, ResyncSchedule, Trigger
from app.ingestion.service.jobs import request_batch
from app.tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)

# That a re-sync changed nothing is written a few times a day for every work; after a month nobody asks for it.
QUIET_LINES_KEPT = timedelta(days=30)


def request_resync() -> tuple[UUID | None, list[Job]]:
    """Run the current tenant's queries again, but for those that a job is busy with; gives the batch and its jobs.

    There is no batch where there is no query to run. The interval counts from here on.
    """
    with transaction():
        # Of two requests at once the second waits, and finds the first one's jobs.
        own = select(ResyncSchedule).where(ResyncSchedule.tenant_id == current_tenant_id())
        schedule = db.session.scalar(own.with_for_update())
        return _request(schedule) if schedule else (None, [])


def resync_due() -> int:
    """Request the re-sync of every active tenant whose interval is over; gives the number of jobs.

    A schedule is locked and looked at again before its jobs are written, so two schedulers do no harm.
    """
    due = select(ResyncSchedule.tenant_id).join(*_tenants()).where(_is_due()).order_by(ResyncSchedule.counted_from)
    jobs = 0
    for tenant_id in list(db.session.scalars(due)):
        with tenant(tenant_id):
            requested = _request_due()
            _forget_quiet_lines()
        jobs += requested
        log.info("ingestion.resync_requested", extra={"tenant_id": str(tenant_id), "jobs": requested})
    return jobs


def _request_due() -> int:
    with transaction():
        own = select(ResyncSchedule).join(*_tenants()).where(ResyncSchedule.tenant_id == current_tenant_id(), _is_due())
        schedule = db.session.scalar(own.with_for_update(of=ResyncSchedule, skip_locked=True))
        return len(_request(schedule)[1]) if schedule else 0


def _request(schedule: ResyncSchedule) -> tuple[UUID | None, list[Job]]:
    schedule.counted_from = schedule.last_run_at = utc_now()
    # Its purpose is to see what changed, so no answer of yesterday will do.
    wishes = [{"query": each.query, "max_works": each.max_works, "refresh": True} for each in queries.queries_to_sync()]
    return request_batch(wishes, trigger=Trigger.RESYNC) if wishes else (None, [])


def _tenants() -> tuple[type[Tenant], ColumnElement[bool]]:
    return Tenant, (Tenant.id == ResyncSchedule.tenant_id) & (Tenant.status == TenantStatus.ACTIVE)


def _is_due() -> ColumnElement[bool]:
    # Computed when looked at, so that a changed setting counts at once.
    interval = func.make_interval(0, 0, 0, 0, Tenant.resync_interval_hours, type_=INTERVAL)
    return ResyncSchedule.counted_from + interval <= func.clock_timestamp()


def _forget_quiet_lines() -> None:
    jobs = select(Job.id).where(Job.tenant_id == current_tenant_id(), Job.trigger == Trigger.RESYNC)
    with transaction() as session:
        session.execute(
            delete(Log).where(
                Log.tenant_id == current_tenant_id(),
                Log.at < utc_now() - QUIET_LINES_KEPT,
                Log.action == LogAction.UNCHANGED,
                Log.job_id.in_(jobs),
            ),
            execution_options={"synchronize_session": False},
        )
