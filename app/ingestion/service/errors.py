"""What ingestion refuses, and how a job's own failure is named."""

from __future__ import annotations

from app.core.errors import Conflict, Unavailable


class JobFinished(Conflict):
    """The job has ended already."""

    code = "job_finished"


class JobNotRetryable(Conflict):
    """The job is still at work, or nothing of it failed."""

    code = "job_not_retryable"


class TooManyStreams(Unavailable):
    """No more streams can be open at the moment."""

    code = "too_many_streams"


class LeaseLost(Exception):
    """The job was cancelled, or is another worker's by now: whatever this one found is not to be written."""


# How jobs fail for reasons of their own; those of Open Library bring the codes of `openlibrary.errors`.
NOTHING_FOUND = "nothing_found"
ALL_FAILED = "all_failed"
INTERRUPTED = "interrupted"
