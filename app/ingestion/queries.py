"""Questions about ingestion."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, func, select

from app.catalog.models import Book
from app.core.database import Question, Shape
from app.core.pagination import Listing
from app.core.tenancy import OWN_TENANT_ID, own
from app.extensions import db
from app.ingestion.models import (
    UNFINISHED,
    Item,
    ItemState,
    Job,
    Log,
    QueryWork,
    QueueEntry,
    ResyncSchedule,
    SyncedQuery,
    Trigger,
)
from app.tenants.models import Tenant, TenantStatus

_JOB = Shape(
    Job,
    "id",
    "status",
    "query",
    "open_library_keys",
    "isbns",
    "max_works",
    "refresh",
    "works_total",
    "works_created",
    "works_updated",
    "works_unchanged",
    "works_failed",
    "attempts",
    "error_code",
    "error_message",
    "source",
    "batch_id",
    "trigger",
    "created_at",
    "started_at",
    "finished_at",
)
_LOG = Shape(Log, "job_id", "open_library_key", "action", "message", "at")
_AS_THEY_ARE = ("id", "status", "query", "open_library_keys", "isbns", "max_works", "refresh")
_AT_THE_END = ("attempts", "source", "batch_id", "trigger", "created_at", "started_at", "finished_at")


def shown(job: Job) -> dict[str, Any]:
    """A job as clients see it."""
    return _shown(_JOB.of(job))


def _shown(flat: dict[str, Any]) -> dict[str, Any]:
    counts = {name: flat[f"works_{name}"] for name in ("created", "updated", "unchanged", "failed")}
    error = {"code": flat["error_code"], "message": flat["error_message"]} if flat["error_code"] else None
    return {
        **{name: flat[name] for name in _AS_THEY_ARE},
        "progress": {"total": flat["works_total"], "done": sum(counts.values()), **counts},
        "error": error,
        **{name: flat[name] for name in _AT_THE_END},
    }


JOBS = Listing(
    "ingestion_jobs",
    select(*_JOB).where(own(Job)),
    tie=Job.id,
    sorts={"created_at": Job.created_at},
    default_sort="-created_at",
    filters={
        "status": Job.status == bindparam("status"),
        "batch_id": Job.batch_id == bindparam("batch_id"),
        "trigger": Job.trigger == bindparam("trigger"),
    },
    render=_shown,
)

LOGS = Listing(
    "ingestion_logs",
    select(*_LOG).where(own(Log)),
    tie=Log.id,
    sorts={"at": Log.at},
    default_sort="-at",
    filters={
        "job_id": Log.job_id == bindparam("job_id"),
        "open_library_key": Log.open_library_key == bindparam("open_library_key"),
        "action": Log.action == bindparam("action"),
        "message": func.strpos(func.lower(Log.message), func.lower(bindparam("message"))) > 0,
        "since": Log.at >= bindparam("since"),
        "until": Log.at <= bindparam("until"),
    },
)


def job_and_revision(job_id: UUID) -> tuple[dict[str, Any], int] | None:
    """A job of the current tenant as clients see it, with the number of its last change; by one short read."""
    found = _ONE_JOB.record(job_id=job_id)
    return (_shown(found), found["revision"]) if found else None


_ONE_JOB = Question(select(*_JOB, Job.revision).where(own(Job), Job.id == bindparam("job_id")))


def job(job_id: UUID, *, lock: bool = False) -> Job | None:
    """One job of the current tenant as it is in the database, whatever was read before."""
    statement = select(Job).where(own(Job), Job.id == job_id)
    if lock:
        statement = statement.with_for_update()
    return db.session.scalar(statement.execution_options(populate_existing=True))


def unfinished_jobs(*, limit: int) -> list[Job]:
    """Some of the current tenant's unfinished jobs, locked, the oldest first."""
    statement = (
        select(Job)
        .where(own(Job), Job.status.in_(UNFINISHED))
        .order_by(Job.created_at, Job.id)
        .limit(limit)
        .with_for_update()
    )
    return list(db.session.scalars(statement))


def is_enriching() -> bool:
    """True while a job of the current tenant looks up what it holds and has no book of."""
    of_its_kind = (Job.trigger == Trigger.ENRICHMENT) & Job.status.in_(UNFINISHED)
    return db.session.scalar(select(exists().where(own(Job), of_its_kind))) or False


def suspended_tenants_in_queue() -> list[UUID]:
    """The suspended tenants that have jobs in the queue."""
    statement = (
        select(QueueEntry.tenant_id)
        .join(Tenant, (Tenant.id == QueueEntry.tenant_id) & (Tenant.status == TenantStatus.SUSPENDED))
        .distinct()
    )
    return list(db.session.scalars(statement))


def pending_items(job_id: UUID, *, limit: int) -> list[str]:
    """The next items that a job has to take up."""
    statement = (
        select(Item.item)
        .where(own(Item), Item.job_id == job_id, Item.state == ItemState.PENDING)
        .order_by(Item.item)
        .limit(limit)
    )
    return list(db.session.scalars(statement))


def number_of_pending_items(job_id: UUID) -> int:
    """How many items a job has still to take up."""
    statement = select(func.count()).where(own(Item), Item.job_id == job_id, Item.state == ItemState.PENDING)
    return db.session.scalar(statement) or 0


def known_items(job_id: UUID, items: Collection[str]) -> dict[str, ItemState]:
    """Which of these items a job has met already, and what became of them."""
    statement = select(Item.item, Item.state).where(own(Item), Item.job_id == job_id, Item.item.in_(list(items)))
    return {item: ItemState(state) for item, state in db.session.execute(statement)}


def works_with_books(keys: Collection[str]) -> set[str]:
    """Which of these works the current tenant has books of."""
    statement = select(Book.open_library_key).where(own(Book), Book.open_library_key.in_(list(keys)))
    return {key for key in db.session.scalars(statement) if key is not None}


def vanished_works(job: Job) -> list[str]:
    """The works that a job's query brought once and that this job has not met, in a fixed order."""
    brought = select(QueryWork.open_library_key).where(
        QueryWork.tenant_id == job.tenant_id, QueryWork.query_key == job.query_key
    )
    met = select(Item.item).where(Item.tenant_id == job.tenant_id, Item.job_id == job.id)
    # EXCEPT sorts or hashes both sides, whatever it believes of their size: statistics lag behind a job that wrote ten
    # thousand items a moment ago, and a join planned by them took seconds.
    return sorted(db.session.scalars(brought.except_(met)))


def gone_works(job: Job) -> list[str]:
    """The works that a job found merged away or withdrawn."""
    statement = select(Item.item).where(
        Item.tenant_id == job.tenant_id, Item.job_id == job.id, Item.state == ItemState.GONE
    )
    return list(db.session.scalars(statement))


def queries_to_sync() -> list[SyncedQuery]:
    """The current tenant's queries that no unfinished job is busy with, in a fixed order."""
    busy = exists().where(
        Job.tenant_id == SyncedQuery.tenant_id, Job.query_key == SyncedQuery.query_key, Job.status.in_(UNFINISHED)
    )
    statement = (
        select(SyncedQuery).where(own(SyncedQuery), ~busy).order_by(SyncedQuery.last_synced_at, SyncedQuery.query_key)
    )
    return list(db.session.scalars(statement))


def resync() -> dict[str, Any]:
    """When the current tenant's queries are run again, and what came of it last."""
    [(enabled, interval_hours, counted_from, last_run_at)] = _RESYNC.all()
    return {
        "enabled": enabled,
        "interval_hours": interval_hours,
        "last_run_at": last_run_at,
        "next_run_at": _next_run_at(counted_from, interval_hours),
        "queries": _SYNCED_QUERIES.records(),
    }


def _next_run_at(counted_from: datetime | None, interval_hours: int) -> datetime | None:
    return counted_from and counted_from + timedelta(hours=interval_hours)


_RESYNC = Question(
    select(
        Tenant.status == TenantStatus.ACTIVE,
        Tenant.resync_interval_hours,
        ResyncSchedule.counted_from,
        ResyncSchedule.last_run_at,
    )
    .select_from(Tenant)
    .outerjoin(ResyncSchedule, ResyncSchedule.tenant_id == Tenant.id)
    .where(Tenant.id == OWN_TENANT_ID)
)
_SYNCED_QUERIES = Question(
    select(SyncedQuery.query, SyncedQuery.last_synced_at, SyncedQuery.works)
    .where(own(SyncedQuery))
    .order_by(SyncedQuery.query_key)
)
