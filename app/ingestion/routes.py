"""Endpoints of ingestion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response, g, request, url_for

from app.core.blueprint import Blueprint
from app.core.cache import uncached
from app.core.errors import Invalid, raises
from app.core.idempotency import idempotent
from app.core.limits import Limit, charge, limited, limits
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, requires
from app.ingestion import queries, service
from app.ingestion.models import Job
from app.ingestion.schemas import (
    BatchRequestSchema,
    BatchSchema,
    JobListArguments,
    JobListSchema,
    JobRequestSchema,
    JobSchema,
    LogListArguments,
    LogListSchema,
    ResyncSchema,
)

blp = Blueprint("ingestion", __name__, description="Filling the catalogue from Open Library, in the background.")

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that was seen, as browsers send it: go on after that one.",
    "schema": {"type": "string"},
    "example": "4",
}
_EXAMPLE_STREAM = """\
retry: 2000

id: 4
event: progress
data: {"id": "0199d2f4-7c1a-7e3b-9a64-3f1f2b8c5d10", "status": "running", "progress": {"total": 300, "done": 200}}
"""


@blp.post("/tenants/<slug>/ingestion/jobs")
@requires(Permission.INGESTION_RUN)
@limited(Limit.INGESTION)
@idempotent
@blp.arguments(
    JobRequestSchema,
    examples={
        "query": {"summary": "By a query", "value": {"query": "author:Tolkien", "max_works": 100}},
        "keys": {"summary": "By keys of works", "value": {"open_library_keys": ["OL45804W", "/works/OL893415W"]}},
        "isbns": {"summary": "By ISBNs", "value": {"isbns": ["978-0-261-10357-3"], "refresh": True}},
    },
)
@blp.response(202, JobSchema)
def create_job(body: dict[str, Any]) -> Response:
    """Ask for works

    Exactly one of `query`, `open_library_keys` and `isbns`. The job runs in the background: ask for it now and then, or
    follow its stream.
    """
    _charge(jobs=1)
    return _accepted(service.request_ingestion(**body))


@blp.post("/tenants/<slug>/ingestion/batches")
@requires(Permission.INGESTION_RUN)
@limited(Limit.INGESTION)
@idempotent
@blp.arguments(BatchRequestSchema)
@blp.response(202, BatchSchema)
def create_batch(body: dict[str, Any]) -> Response:
    """Ask for several sets of works at once

    All jobs are accepted, or none. Each counts against the limit.
    """
    _charge(jobs=len(body["jobs"]))
    batch_id, jobs = service.request_batch(body["jobs"])
    location = url_for("ingestion.list_jobs", slug=g.tenant.slug, batch_id=batch_id)
    shown = {"batch_id": batch_id, "jobs": [queries.shown(job) for job in jobs]}
    return json_response(shown, 202, {"Location": location})


@blp.get("/tenants/<slug>/ingestion/jobs")
@requires(Permission.INGESTION_RUN)
@blp.arguments(JobListArguments, location="query")
@blp.response(200, JobListSchema)
def list_jobs(arguments: dict[str, Any]) -> Response:
    """List the jobs

    The newest first, unless `sort` says otherwise. `batch_id` finds those that were accepted together.
    """
    return json_response(queries.JOBS.page(**arguments))


@blp.get("/tenants/<slug>/ingestion/jobs/<job_id>")
@requires(Permission.INGESTION_RUN)
@blp.response(200, JobSchema)
def show_job(job_id: str) -> Response:
    """Show a job and how far it is

    Cheap enough to be asked every few seconds: an unchanged job is a 304. To be told instead, follow its stream.
    """
    return json_response(queries.shown(service.existing_job(parse_id(job_id))))


@blp.post("/tenants/<slug>/ingestion/jobs/<job_id>/cancel")
@requires(Permission.INGESTION_RUN)
@raises(service.JobFinished)
@idempotent
@blp.response(200, JobSchema)
def cancel_job(job_id: str) -> Response:
    """Stop a job

    What it recorded stays; nothing more is recorded.
    """
    return json_response(queries.shown(service.cancel_job(parse_id(job_id))))


@blp.post("/tenants/<slug>/ingestion/jobs/<job_id>/retry")
@requires(Permission.INGESTION_RUN)
@raises(service.JobNotRetryable)
@idempotent
@blp.response(202, JobSchema)
def retry_job(job_id: str) -> Response:
    """Take up what failed of a job that has ended

    The same job runs again, over the works that failed and whatever it did not get to.
    """
    return _accepted(service.retry_job(parse_id(job_id)))


@blp.get("/tenants/<slug>/ingestion/jobs/<job_id>/stream")
@requires(Permission.INGESTION_RUN)
@raises(service.TooManyStreams)
@uncached
@blp.doc(parameters=[_LAST_EVENT_ID])
@blp.response(
    200,
    {"type": "string"},
    content_type="text/event-stream",
    description="Events, as the HTML standard has them.",
    example=_EXAMPLE_STREAM,
)
@blp.alt_response(204, description="The end of this job was told already, as `Last-Event-ID` says.")
def follow_job(job_id: str) -> Response:
    """Follow a job by server-sent events

    One `progress` event for each change, and `done` as the last; the data of both is the job. A stream ends after five
    minutes at the latest, and soon after its key is revoked: connect again with `Last-Event-ID` to go on without
    repetition. Few streams are open at a time; past them the answer is 503 with `Retry-After`, and asking for the job
    always works.
    """
    job = service.existing_job(parse_id(job_id))
    last_event_id = request.headers.get("Last-Event-ID")
    if service.is_told(job.id, last_event_id):
        # The one answer after which browsers do not connect again.
        return Response(status=204)
    places = service.stream_places()
    places.take()
    events = service.follow(job.id, last_event_id=last_event_id, may_go_on=g.may_go_on)
    response = Response(_written(events), content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    # Called however the response ends, even if nothing of it was ever sent.
    response.call_on_close(places.leave)
    return response


@blp.get("/tenants/<slug>/ingestion/logs")
@requires(Permission.INGESTION_RUN)
@blp.arguments(LogListArguments, location="query")
@blp.response(200, LogListSchema)
def list_logs(arguments: dict[str, Any]) -> Response:
    """List what came of each work

    One entry for each work of each job, the newest first. `message` says why a work failed.
    """
    return json_response(queries.LOGS.page(**arguments))


@blp.get("/tenants/<slug>/ingestion/resync")
@requires(Permission.INGESTION_RUN)
@blp.response(200, ResyncSchema)
def show_resync() -> Response:
    """Show when the queries are run again

    Every query that was ingested is run again at the interval of the tenant's settings.
    """
    return json_response(queries.resync())


@blp.post("/tenants/<slug>/ingestion/resync")
@requires(Permission.INGESTION_RUN)
@limited(Limit.INGESTION)
@idempotent
@blp.response(202, BatchSchema)
def create_resync() -> Response:
    """Run all queries again at once

    Counts as one job. Queries that a job is busy with are left out; `batch_id` is null where none remains.
    """
    _charge(jobs=1)
    batch_id, jobs = service.request_resync()
    shown = {"batch_id": batch_id, "jobs": [queries.shown(job) for job in jobs]}
    return json_response(shown, 202, {"Location": url_for("ingestion.show_resync", slug=g.tenant.slug)})


def _charge(*, jobs: int) -> None:
    most = g.tenant.ingestion_jobs_per_hour or limits().rates[Limit.INGESTION].limit
    if jobs > most:
        # No waiting would ever let it through.
        raise Invalid.field("jobs", f"At most {most} jobs are accepted in an hour; send fewer at once.")
    charge(Limit.INGESTION, str(g.tenant.id), size=g.tenant.ingestion_jobs_per_hour, cost=jobs)


def _accepted(job: Job) -> Response:
    location = url_for("ingestion.show_job", slug=g.tenant.slug, job_id=job.id)
    return json_response(queries.shown(job), 202, {"Location": location})


def _written(events: Iterator[service.JobEvent]) -> Iterator[bytes]:
    """Server-sent events, as the HTML standard writes them."""
    yield b"retry: 2000\n\n"
    for event in events:
        if event.kind is service.EventKind.HEARTBEAT:
            yield b": still at work\n\n"
        else:
            data = orjson.dumps(event.job, option=orjson.OPT_UTC_Z).decode()
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()
