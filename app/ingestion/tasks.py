"""What workers are told to do; each task finds out from the database what that is."""

from __future__ import annotations

from app.core.queue import TaskName
from app.extensions import celery
from app.ingestion import service


@celery.task(name=TaskName.INGESTION_WORK.value)
def work() -> None:
    """Work on jobs, of all tenants in turn, until none is due or the time is over."""
    service.work()


@celery.task(name=TaskName.INGESTION_SWEEP.value)
def sweep() -> None:
    """Nudge a worker where no message did."""
    service.sweep()


@celery.task(name=TaskName.INGESTION_RESYNC.value)
def resync() -> None:
    """Request the re-syncs that are due."""
    service.resync_due()


@celery.task(name=TaskName.INGESTION_ENRICH.value)
def enrich() -> None:
    """Request jobs for the ISBNs that libraries hold and have no book of."""
    service.enrich_due()
