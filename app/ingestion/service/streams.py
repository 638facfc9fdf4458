"""Following a job: its changes as they happen, without holding what requests need.

A stream occupies a thread of the web server for as long as it lasts. So only a share of the threads may be streams,
each ends after a while (clients come back with `Last-Event-ID`), and between two looks at the database nothing is held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from flask import Flask, current_app

from app.core.tenancy import current_tenant_id, tenant
from app.ingestion import queries
from app.ingestion.models import UNFINISHED
from app.ingestion.service.errors import TooManyStreams
from app.settings import current_settings

LOOK_SECONDS = 0.25
# That a client is gone shows only when something is sent to it; so long it may keep its place for nothing.
HEARTBEAT_SECONDS = 5.0
# So long a key that was revoked may go on hearing.
ASK_SECONDS = 5.0
LONGEST_SECONDS = 300.0
# A quarter of the threads: with eight, six are always there for requests.
THREADS_PER_STREAM = 4
_DONE_SUFFIX = ".done"


class EventKind(StrEnum):
    """What a stream tells."""

    PROGRESS = "progress"
    DONE = "done"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event; the id derives from the job's revision, a heartbeat has none."""

    kind: EventKind
    id: str | None = None
    job: dict[str, Any] | None = None


class StreamPlaces:
    """The places that streams may take in this process."""

    def __init__(self, *, web_threads: int) -> None:
        """Give streams a share of the threads, at least one."""
        self._places = threading.BoundedSemaphore(max(1, web_threads // THREADS_PER_STREAM))

    def take(self) -> None:
        """Take a place.

        Raises:
            TooManyStreams: all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise TooManyStreams("No more streams can be open at the moment; ask for the job now and then instead.")

    def leave(self) -> None:
        """Give a place back."""
        self._places.release()


def stream_places() -> StreamPlaces:
    """The places of the current app, in this process."""
    places: StreamPlaces = current_app.extensions.setdefault(
        "ingestion_streams", StreamPlaces(web_threads=current_settings().web_threads)
    )
    return places


def is_told(job_id: UUID, last_event_id: str | None) -> bool:
    """True where the client has heard the end of a job that has not been taken up again since."""
    found = queries.job_and_revision(job_id)
    return found is not None and last_event_id == f"{found[1]}{_DONE_SUFFIX}" and found[0]["status"] not in UNFINISHED


def follow(
    job_id: UUID,
    *,
    last_event_id: str | None,
    may_go_on: Callable[[], bool],
    look_seconds: float = LOOK_SECONDS,
    seconds: float = LONGEST_SECONDS,
) -> Iterator[JobEvent]:
    """The changes of a job of the current tenant, from after `last_event_id` on, until it ends or `seconds` are over.

    It ends as well where `may_go_on`, asked now and then, says that the caller may not. May be iterated after the
    request's own context is gone.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - outlives the request
    look = partial(_look, app, current_tenant_id(), job_id)
    ask = partial(_ask, app, may_go_on)
    return _changes(look, ask, told=_revision_in(last_event_id), look_seconds=look_seconds, seconds=seconds)


def _look(app: Flask, tenant_id: UUID, job_id: UUID) -> tuple[dict[str, Any], int] | None:
    with app.app_context(), tenant(tenant_id):
        return queries.job_and_revision(job_id)


def _ask(app: Flask, may_go_on: Callable[[], bool]) -> bool:
    with app.app_context():
        return may_go_on()


def _changes(
    look: Callable[[], tuple[dict[str, Any], int] | None],
    may_go_on: Callable[[], bool],
    *,
    told: int,
    look_seconds: float,
    seconds: float,
) -> Iterator[JobEvent]:
    begun = spoken = asked = time.monotonic()
    while time.monotonic() - begun < seconds:
        if time.monotonic() - asked >= ASK_SECONDS:
            asked = time.monotonic()
            if not may_go_on():
                return
        found = look()
        if found is None:
            return
        job, revision = found
        is_over = job["status"] not in UNFINISHED
        if revision != told:
            told, spoken = revision, time.monotonic()
            yield JobEvent(EventKind.PROGRESS, str(revision), job)
        if is_over:
            yield JobEvent(EventKind.DONE, f"{revision}{_DONE_SUFFIX}", job)
            return
        if time.monotonic() - spoken >= HEARTBEAT_SECONDS:
            spoken = time.monotonic()
            yield JobEvent(EventKind.HEARTBEAT)
        time.sleep(look_seconds)


def _revision_in(last_event_id: str | None) -> int:
    """The revision of an event's id; 0, which no job has, where it is none."""
    digits = (last_event_id or "").removesuffix(_DONE_SUFFIX)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0  # noqa: PLR2004 - 32 bits
