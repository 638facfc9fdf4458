"""Commands of ingestion.

`jobs` takes wishes, cancels and retries; `work` is the worker's side: it claims (`leases`), fetches (`fetching`) and
writes (`recording`) one page after the other; `resync` runs queries again, `enrichment` looks up ISBNs that libraries
hold; `streams` follows a job.
"""

from __future__ import annotations

from app.ingestion.service.enrichment import enrich_due
from app.ingestion.service.errors import JobFinished, JobNotRetryable, TooManyStreams
from app.ingestion.service.jobs import cancel_job, existing_job, request_batch, request_ingestion, retry_job
from app.ingestion.service.resync import request_resync, resync_due
from app.ingestion.service.streams import EventKind, JobEvent, follow, is_told, stream_places
from app.ingestion.service.work import sweep, work

__all__ = [
    "EventKind",
    "JobEvent",
    "JobFinished",
    "JobNotRetryable",
    "TooManyStreams",
    "cancel_job",
    "enrich_due",
    "existing_job",
    "follow",
    "is_told",
    "request_batch",
    "request_ingestion",
    "request_resync",
    "resync_due",
    "retry_job",
    "stream_places",
    "sweep",
    "work",
]
