"""Asking for works, and changing one's mind: requests, batches, cancelling, retrying."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, update

from app.catalog import service as catalog
from app.core.clock import new_id, utc_now
from app.core.database import on_commit, transaction
from app.core.errors import NotFound
from app.core.logging import log_context
from app.core.queue import TaskName, enqueue
from app.core.sets import inserting, run, table_of
from app.core.tenancy import current_tenant_id, tenant
from app.events import service as events
from app.extensions import db
from app.ingestion import queries
from app.ingestion.models import Batch, Item, ItemState, Job, JobStatus, QueueEntry, Trigger
from app.ingestion.service import leases
from app.ingestion.service.errors import JobFinished, JobNotRetryable
from app.openlibrary.query import parse_query

log = logging.getLogger(__name__)

# More nudges than workers bring nothing: each worker goes on until nothing is left to do.
MOST_NUDGES = 8
# One transaction's worth; the next sweep takes the next ones.
JOBS_CANCELLED_AT_ONCE = 200
# As many as a client may ask for in one job.
ISBNS_ENRICHED_AT_ONCE = 500
# A job has waited for Open Library for minutes before it fails.
UNANSWERED_AGAIN_AFTER = timedelta(hours=1)
_ITEMS: Final = table_of(Item)
_QUEUE: Final = table_of(QueueEntry)


def request_ingestion(*, trigger: Trigger = Trigger.API, **wish: Any) -> Job:
    """Ask for works in the background: by `query`, `open_library_keys` (bare) or `isbns` (13 digits), one of the three.

    `max_works` (1-10 000, default 1000) bounds them; `refresh` asks Open Library even where our copy is fresh.
    """
    with transaction():
        return _add_jobs([wish], trigger=trigger)[0]


def request_batch(wishes: Sequence[Mapping[str, Any]], *, trigger: Trigger = Trigger.API) -> tuple[UUID, list[Job]]:
    """Ask for several at once, all or none; gives the batch's id and its jobs in the order of the wishes."""
    with transaction() as session:
        batch = Batch(id=new_id())
        session.add(batch)
        session.flush()
        return batch.id, _add_jobs(wishes, batch_id=batch.id, trigger=trigger)


def cancel_job(job_id: UUID | None) -> Job:
    """Stop a job: what was recorded stays, no further page is.

    Raises:
        NotFound: this tenant has no such job.
        JobFinished: it has ended already.
    """
    with transaction():
        job = existing_job(job_id, lock=True)
        if job.finished_at is not None:
            raise JobFinished(f"This job has ended already: it is {job.status}.")
        end_job(job, JobStatus.CANCELLED)
    return job


def retry_job(job_id: UUID | None) -> Job:
    """Let a job that ended take up what failed, and nothing else.

    Raises:
        NotFound: this tenant has no such job.
        JobNotRetryable: it has not ended, was cancelled, or nothing of it failed that could be taken up.
    """
    with transaction():
        job = existing_job(job_id, lock=True)
        if job.status not in {JobStatus.COMPLETED, JobStatus.FAILED}:
            raise JobNotRetryable(f"Only a job that ended by itself can be retried; this one is {job.status}.")
        again = _failed_items_again(job)
        if not again and job.is_search_over and not queries.number_of_pending_items(job.id):
            raise JobNotRetryable("Nothing of this job failed that could be taken up again.")
        job.works_failed -= again
        job.status, job.finished_at, job.is_retry = JobStatus.PENDING, None, True
        job.error_code = job.error_message = None
        job.request_id = log_context().get("request_id")
        job.revision += 1
        db.session.flush()
        _queue([job])
        events.record("ingestion_job.retried", subject_id=job.id, works=again)
    return job


def cancel_jobs_of_suspended_tenants() -> int:
    """Stop what suspended tenants left unfinished; gives the number of jobs."""
    cancelled = 0
    for tenant_id in queries.suspended_tenants_in_queue():
        with tenant(tenant_id), transaction():
            jobs = queries.unfinished_jobs(limit=JOBS_CANCELLED_AT_ONCE)
            for job in jobs:
                end_job(job, JobStatus.CANCELLED)
        cancelled += len(jobs)
    return cancelled


def existing_job(job_id: UUID | None, *, lock: bool = False) -> Job:
    """One job of the current tenant.

    Raises:
        NotFound: this tenant has no such job.
    """
    job = job_id and queries.job(job_id, lock=lock)
    if not job:
        raise NotFound("There is no such job.")
    return job


def add_items(items: Sequence[tuple[UUID, str]], state: ItemState) -> None:
    """Give jobs items in the present transaction; those that a job has already stay as they are."""
    if items:
        insert = inserting(_ITEMS, "job_id", "item", "state").on_conflict_do_nothing()
        run(insert, [{"job_id": job_id, "item": item, "state": state} for job_id, item in items])


def end_job(job: Job, status: JobStatus, *, error_code: str | None = None, message: str | None = None) -> None:
    """Write a locked job's end into the present transaction, and leave of its items only what a retry can take up."""
    job.status, job.finished_at = status, utc_now()
    job.error_code, job.error_message = error_code, message
    job.revision += 1
    db.session.flush()
    leases.remove(job.id)
    if job.trigger == Trigger.ENRICHMENT:
        _let_enrichment_go_on(job)
    _forget_settled_items(job)
    counts = queries.shown(job)["progress"]
    events.record(f"ingestion_job.{status.value}", subject_id=job.id, error=error_code, **counts)
    seconds = round((job.finished_at - job.created_at).total_seconds(), 1)
    line = {"status": status.value, "error": error_code, "works": job.works_done, "seconds": seconds}
    on_commit(lambda: log.info("ingestion.finished", extra=line))


def _let_enrichment_go_on(job: Job) -> None:
    """The next ISBNs may be asked for; where Open Library did not answer, those of this job again, after a while."""
    if job.status == JobStatus.FAILED:
        unanswered = queries.pending_items(job.id, limit=ISBNS_ENRICHED_AT_ONCE)
        catalog.want_again(unanswered, after=UNANSWERED_AGAIN_AFTER)
    enqueue(TaskName.INGESTION_ENRICH)


def _add_jobs(
    wishes: Sequence[Mapping[str, Any]], *, batch_id: UUID | None = None, trigger: Trigger = Trigger.API
) -> list[Job]:
    jobs = [_new_job(**wish, batch_id=batch_id, trigger=trigger) for wish in wishes]
    db.session.add_all(jobs)
    db.session.flush()
    add_items([(job.id, item) for job in jobs for item in _items_of(job)], ItemState.PENDING)
    _queue(jobs)
    events.record_many("ingestion_job.requested", [(job.id, {"trigger": trigger.value}) for job in jobs])
    return jobs


def _new_job(
    *,
    query: str | None = None,
    open_library_keys: Sequence[str] | None = None,
    isbns: Sequence[str] | None = None,
    max_works: int = 1000,
    refresh: bool = False,
    batch_id: UUID | None,
    trigger: Trigger,
) -> Job:
    job = Job(
        id=new_id(),
        tenant_id=current_tenant_id(),
        batch_id=batch_id,
        trigger=trigger,
        status=JobStatus.PENDING,
        query=query,
        query_key=query and parse_query(query).text,
        open_library_keys=open_library_keys and list(dict.fromkeys(open_library_keys)),
        isbns=isbns and list(dict.fromkeys(isbns)),
        max_works=max_works,
        refresh=refresh,
        is_search_over=query is None,
        request_id=log_context().get("request_id"),
        created_at=utc_now(),
    )
    job.works_total = len(_items_of(job))
    return job


def _items_of(job: Job) -> list[str]:
    return (job.open_library_keys or job.isbns or [])[: job.max_works]


def _queue(jobs: Sequence[Job]) -> None:
    run(inserting(_QUEUE, "job_id"), [{"job_id": job.id} for job in jobs])
    for _ in jobs[:MOST_NUDGES]:
        enqueue(TaskName.INGESTION_WORK)


def _forget_settled_items(job: Job) -> None:
    settled = (Item.tenant_id == job.tenant_id, Item.job_id == job.id, Item.state.in_([ItemState.DONE, ItemState.GONE]))
    db.session.execute(delete(Item).where(*settled), execution_options={"synchronize_session": False})


def _failed_items_again(job: Job) -> int:
    again = db.session.execute(
        update(Item)
        .where(Item.tenant_id == job.tenant_id, Item.job_id == job.id, Item.state == ItemState.FAILED)
        .values(state=ItemState.PENDING),
        execution_options={"synchronize_session": False},
    )
    return int(again.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it
