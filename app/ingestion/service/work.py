"""The worker's side: take what is due, one page at a time, until nothing is left or the time is over."""

from __future__ import annotations

import logging
import random
import time
from functools import partial

from app.core.clock import utc_now
from app.core.database import transaction
from app.core.errors import DomainError
from app.core.logging import fresh_log_context, log_context
from app.core.queue import TaskName, enqueue
from app.core.tenancy import tenant
from app.ingestion import queries
from app.ingestion.models import Job, JobStatus
from app.ingestion.service import leases
from app.ingestion.service.errors import INTERRUPTED, LeaseLost
from app.ingestion.service.fetching import Order, Page, fetch, order_of
from app.ingestion.service.jobs import cancel_jobs_of_suspended_tenants, end_job
from app.ingestion.service.leases import Slice, patiently
from app.ingestion.service.recording import record_page
from app.openlibrary.errors import InvalidQuery, UpstreamRefused, UpstreamUnavailable

log = logging.getLogger(__name__)

# A task ends well before its time limit, and before the grace that a stopping worker gets; another goes on.
WORK_SECONDS = 20.0
# A job that was never given back so often in a row is what ends its workers.
MOST_CLAIMS = 5
# Pauses and the patience with Open Library are measured in leases (default 60 s): 5 s, then double, at most 150 s,
# for 10 minutes. All of them say how long this installation leaves a job alone.
SHORTEST_PAUSE_LEASES = 1 / 12
LONGEST_PAUSE_LEASES = 2.5
OUTAGE_LEASES = 10


def work(*, seconds: float = WORK_SECONDS) -> int:
    """Work on jobs until none is due or `seconds` are over; gives the number of pages that were tried."""
    deadline = time.monotonic() + seconds
    pages = 0
    while time.monotonic() < deadline:
        taken = leases.claim()
        if taken is None:
            return pages
        _serve(taken)
        pages += 1
    enqueue(TaskName.INGESTION_WORK)
    return pages


def sweep() -> None:
    """Nudge a worker where something is due that no message may have reached; stop what nobody waits for any more."""
    cancel_jobs_of_suspended_tenants()
    if leases.is_work_waiting():
        enqueue(TaskName.INGESTION_WORK)


def _serve(taken: Slice) -> None:
    """Bring one page of the claimed job home."""
    with tenant(taken.tenant_id), leases.kept(taken):
        order = patiently(partial(_begin, taken))
        if order is None:
            return
        with fresh_log_context(**_ids(taken, order)):
            _bring(taken, order)


def _ids(taken: Slice, order: Order) -> dict[str, str]:
    """The ids of the work on a job: the request is the one that asked for it, not the one whose message came first."""
    ids = {**log_context(), "tenant_id": str(taken.tenant_id), "job_id": str(taken.job_id)}
    ids.pop("request_id", None)
    return {**ids, "request_id": order.request_id} if order.request_id else ids


def _bring(taken: Slice, order: Order) -> None:
    try:
        page = fetch(order)
    except UpstreamUnavailable as error:
        patiently(partial(_wait, taken, error))
    except (UpstreamRefused, InvalidQuery) as error:
        # Asking again would change nothing.
        patiently(partial(_fail, taken, error))
    else:
        _record(taken, page)


def _begin(taken: Slice) -> Order | None:
    """Say what to fetch next; None where there is nothing to do, or no more."""
    with transaction():
        job = queries.job(taken.job_id, lock=True)
        if job is None or job.finished_at is not None or not leases.is_held(taken):
            return None
        if taken.claims > MOST_CLAIMS:
            message = f"Work on this job was broken off {MOST_CLAIMS} times at the same place."
            end_job(job, JobStatus.FAILED, error_code=INTERRUPTED, message=message)
            return None
        if job.status == JobStatus.PENDING or taken.was_lost:
            job.status = JobStatus.RUNNING
            job.started_at = job.started_at or utc_now()
            job.attempts += 1
            job.revision += 1
        return order_of(job)


def _record(taken: Slice, page: Page) -> None:
    try:
        record_page(taken, page)
    except LeaseLost:
        log.info("ingestion.page_dropped")


def _wait(taken: Slice, error: UpstreamUnavailable) -> None:
    """Let the job wait for Open Library, longer each time; in the end it fails."""
    with transaction():
        job = _held_job(taken)
        if job is None:
            return
        now = utc_now()
        since = taken.unavailable_since or now
        pause = pause_seconds(
            waited_seconds=(now - since).total_seconds(),
            lease_seconds=leases.lease_seconds(),
            wanted_seconds=error.retry_after_seconds,
        )
        if pause is None:
            end_job(job, JobStatus.FAILED, error_code=error.code, message=error.detail)
            return
        job.status = JobStatus.PENDING
        job.error_code, job.error_message = error.code, error.detail
        job.revision += 1
        leases.give_back(taken, after_seconds=pause, unavailable_since=since)
    log.warning("ingestion.waits", extra={"reason": error.detail, "seconds": round(pause, 1)})


def _fail(taken: Slice, error: DomainError) -> None:
    with transaction():
        job = _held_job(taken)
        if job is not None:
            end_job(job, JobStatus.FAILED, error_code=error.code, message=error.detail)


def _held_job(taken: Slice) -> Job | None:
    job = queries.job(taken.job_id, lock=True)
    return job if job is not None and leases.is_held(taken, lock=True) else None


def pause_seconds(*, waited_seconds: float, lease_seconds: float, wanted_seconds: float) -> float | None:
    """How long to wait before the next try; None where the job has waited long enough.

    As long as it has waited so far, so that the pauses double, and not less than Open Library asks for
    (`wanted_seconds`); spread, so that jobs which failed together do not come back together. The last try falls on the
    end of the time.
    """
    left = OUTAGE_LEASES * lease_seconds - waited_seconds
    if left <= 0:
        return None
    longest = LONGEST_PAUSE_LEASES * lease_seconds
    pause = min(max(waited_seconds, SHORTEST_PAUSE_LEASES * lease_seconds, wanted_seconds), longest)
    return min(pause * random.uniform(0.8, 1.2), left)  # noqa: S311 - jitter guards no secret
