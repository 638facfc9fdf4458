"""The tables of ingestion: what was asked, how far it is, what came of every work, and who is next."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of


class JobStatus(StrEnum):
    """`pending` ⇄ `running` → `completed`, `failed` or `cancelled`; a retry leads from the first two to `pending`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobStatus.PENDING, JobStatus.RUNNING)


class Trigger(StrEnum):
    """Who asked for a job."""

    API = "api"
    RESYNC = "resync"
    ENRICHMENT = "enrichment"


class Source(StrEnum):
    """Where a job's works came from; `mirror` as soon as one of its pages did."""

    OPEN_LIBRARY = "open_library"
    MIRROR = "mirror"


class ItemState(StrEnum):
    """`pending` → `done`, `gone` or `failed`; a retry leads from `failed` back to `pending`."""

    PENDING = "pending"
    DONE = "done"
    # Merged into another work, or withdrawn, at Open Library.
    GONE = "gone"
    FAILED = "failed"


class LogAction(StrEnum):
    """What came of a work."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REDIRECTED = "redirected"


class Batch(TenantScoped, Model):
    """Jobs that were asked for together."""

    __tablename__ = "ingestion_batches"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_ingestion_batches_tenant", ondelete="CASCADE"),
    )


class Job(TenantScoped, Model):
    """One wish for works: a query, keys or ISBNs, and how far it is."""

    __tablename__ = "ingestion_jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    batch_id: Mapped[UUID | None]
    trigger: Mapped[str] = mapped_column(default=Trigger.API)
    status: Mapped[str] = mapped_column(default=JobStatus.PENDING)
    query: Mapped[str | None]
    # The query in the one spelling that all ways to write it share.
    query_key: Mapped[str | None]
    open_library_keys: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))
    isbns: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))
    max_works: Mapped[int]
    refresh: Mapped[bool] = mapped_column(default=False)
    # What failed once is asked for anew, whatever our copy holds.
    is_retry: Mapped[bool] = mapped_column(default=False)
    source: Mapped[str | None]
    # Hits of the search that were taken so far, and whether there are no more to take.
    search_position: Mapped[int] = mapped_column(default=0)
    is_search_over: Mapped[bool]
    works_total: Mapped[int] = mapped_column(default=0)
    works_created: Mapped[int] = mapped_column(default=0)
    works_updated: Mapped[int] = mapped_column(default=0)
    works_unchanged: Mapped[int] = mapped_column(default=0)
    works_failed: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    request_id: Mapped[str | None]
    # Grows with every change that clients can see; events of the stream are numbered by it.
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_ingestion_jobs_tenant", ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "batch_id"],
            ["ingestion_batches.tenant_id", "ingestion_batches.id"],
            name="fk_ingestion_jobs_batch",
            ondelete="CASCADE",
        ),
        CheckConstraint("num_nonnulls(query, open_library_keys, isbns) = 1", name="one_wish"),
        CheckConstraint("(query IS NULL) = (query_key IS NULL)", name="query_key"),
        one_of("trigger", Trigger),
        one_of("status", JobStatus),
        one_of("source", Source),
        CheckConstraint("max_works BETWEEN 1 AND 10000", name="max_works"),
        CheckConstraint(
            "least(works_total, works_created, works_updated, works_unchanged, works_failed) >= 0", name="progress"
        ),
        CheckConstraint("(finished_at IS NULL) = (status IN ('pending', 'running'))", name="finished_at"),
        CheckConstraint("status <> 'failed' OR error_code IS NOT NULL", name="error_code"),
        Index("ix_ingestion_jobs_created_at", "tenant_id", "created_at", "id"),
        Index("ix_ingestion_jobs_batch", "tenant_id", "batch_id", "created_at", "id"),
        Index("ix_ingestion_jobs_status", "tenant_id", "status", "created_at", "id"),
        Index("ix_ingestion_jobs_trigger", "tenant_id", "trigger", "created_at", "id"),
        Index(
            "ix_ingestion_jobs_unfinished_query",
            "tenant_id",
            "query_key",
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )

    @property
    def works_succeeded(self) -> int:
        """How many works went well."""
        return self.works_created + self.works_updated + self.works_unchanged

    @property
    def works_done(self) -> int:
        """How many works are settled, well or not."""
        return self.works_succeeded + self.works_failed


class Item(TenantScoped, Model):
    """One thing a job takes: an ISBN where the job was given ISBNs, else a work's key.

    Every work is counted once because it is a row here first. Items that went well vanish with the end of their job.
    """

    __tablename__ = "ingestion_items"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "job_id"],
            ["ingestion_jobs.tenant_id", "ingestion_jobs.id"],
            name="fk_ingestion_items_job",
            ondelete="CASCADE",
        ),
        one_of("state", ItemState),
        Index(
            "ix_ingestion_items_not_done",
            "tenant_id",
            "job_id",
            "item",
            postgresql_where=text("state <> 'done'"),
        ),
    )


class Log(TenantScoped, Model):
    """What came of one work in one job; no key where the work was never found."""

    __tablename__ = "ingestion_logs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    job_id: Mapped[UUID]
    open_library_key: Mapped[str | None]
    action: Mapped[str]
    message: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "job_id"],
            ["ingestion_jobs.tenant_id", "ingestion_jobs.id"],
            name="fk_ingestion_logs_job",
            ondelete="CASCADE",
        ),
        one_of("action", LogAction),
        Index("ix_ingestion_logs_at", "tenant_id", "at", "id"),
        Index("ix_ingestion_logs_job", "tenant_id", "job_id", "at", "id"),
        Index("ix_ingestion_logs_key", "tenant_id", "open_library_key", "at", "id"),
        # Most lines say that nothing changed; who filters by action looks for the others.
        Index(
            "ix_ingestion_logs_action",
            "tenant_id",
            "action",
            "at",
            "id",
            postgresql_where=text("action <> 'unchanged'"),
        ),
    )


class SyncedQuery(TenantScoped, Model):
    """A query that a tenant ingested, and that is run again at every re-sync."""

    __tablename__ = "ingestion_queries"

    query_key: Mapped[str] = mapped_column(primary_key=True)
    query: Mapped[str]
    max_works: Mapped[int]
    works: Mapped[int]
    last_synced_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_ingestion_queries_tenant", ondelete="CASCADE"),
    )


class QueryWork(TenantScoped, Model):
    """A work that a query brought once; a re-sync asks for it by key when the query no longer shows it."""

    __tablename__ = "ingestion_query_works"

    query_key: Mapped[str] = mapped_column(primary_key=True)
    open_library_key: Mapped[str] = mapped_column(primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "query_key"],
            ["ingestion_queries.tenant_id", "ingestion_queries.query_key"],
            name="fk_ingestion_query_works_query",
            ondelete="CASCADE",
        ),
    )


class QueueEntry(Model):
    """An unfinished job: when it may be worked on, and who does so at the moment."""

    __tablename__ = "ingestion_queue"

    tenant_id: Mapped[UUID]
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    # Claims since it was last given back: a job that ends its workers would otherwise do so for ever.
    claims: Mapped[int] = mapped_column(server_default=text("0"))
    unavailable_since: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "job_id"],
            ["ingestion_jobs.tenant_id", "ingestion_jobs.id"],
            name="fk_ingestion_queue_job",
            ondelete="CASCADE",
        ),
        CheckConstraint("(lease IS NULL) = (leased_until IS NULL)", name="lease"),
        Index("ix_ingestion_queue_available_at", "tenant_id", "available_at", "job_id"),
    )


class Turn(Model):
    """When a tenant was last served: the one that waited longest comes next."""

    __tablename__ = "ingestion_turns"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    served_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_ingestion_turns_tenant", ondelete="CASCADE"),
    )


class ResyncSchedule(Model):
    """Since when a tenant's interval counts: its first query, or its last re-sync."""

    __tablename__ = "resync_schedule"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    counted_from: Mapped[datetime]
    last_run_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_resync_schedule_tenant", ondelete="CASCADE"),
    )
