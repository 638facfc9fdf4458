"""Who works on what: entries of the queue, claimed one slice at a time, the longest waiting tenant first.

A claim is a lease: the worker renews it for as long as it works, and writes only while it is still the holder. So a
worker may be killed at any moment: its lease runs out and another goes on from what was written last.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

from flask import Flask, current_app
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.functions import Function

from app.core.database import transaction
from app.core.errors import database_is_away
from app.extensions import db
from app.ingestion.models import QueueEntry
from app.settings import current_settings
from app.tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# A renewal may be late by two thirds of the lease before anybody else takes the job.
RENEWALS_IN_A_LEASE = 3
# Together some 6 s: a restart of PostgreSQL, or a short failover.
PAUSES_SECONDS = (0.1, 0.3, 0.6, 1.0, 2.0, 2.0)


@dataclass(frozen=True, slots=True)
class Slice:
    """A claimed job, until its next page is written."""

    tenant_id: UUID
    job_id: UUID
    lease: UUID
    # Its last worker never gave it back.
    was_lost: bool
    claims: int
    unavailable_since: datetime | None


# The tenants with entries are found by hopping from one to the next in the index; for each the first entry that is
# due and free is tried, and the first tenant in turn that has one gets it. Suspended tenants are passed over.
_CLAIM = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT tenant_id FROM ingestion_queue ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT entry.tenant_id FROM ingestion_queue AS entry
                WHERE entry.tenant_id > waiting.tenant_id ORDER BY entry.tenant_id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    ), in_turn AS MATERIALIZED (
        SELECT waiting.tenant_id
        FROM waiting
        JOIN tenants ON tenants.id = waiting.tenant_id AND tenants.status = 'active'
        LEFT JOIN ingestion_turns AS turn ON turn.tenant_id = waiting.tenant_id
        ORDER BY turn.served_at NULLS FIRST, waiting.tenant_id
    ), chosen AS (
        SELECT free.tenant_id, free.job_id, free.leased_until IS NOT NULL AS was_lost
        FROM in_turn
        CROSS JOIN LATERAL (
            SELECT entry.tenant_id, entry.job_id, entry.leased_until
            FROM ingestion_queue AS entry
            WHERE entry.tenant_id = in_turn.tenant_id
              AND entry.available_at <= clock_timestamp()
              AND (entry.leased_until IS NULL OR entry.leased_until <= clock_timestamp())
            ORDER BY entry.available_at, entry.job_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS free
        LIMIT 1
    ), served AS (
        INSERT INTO ingestion_turns (tenant_id, served_at)
        SELECT tenant_id, clock_timestamp() FROM chosen
        ON CONFLICT (tenant_id) DO UPDATE SET served_at = excluded.served_at
    )
    UPDATE ingestion_queue AS entry
    SET lease = :lease, leased_until = clock_timestamp() + make_interval(secs => :seconds), claims = entry.claims + 1
    FROM chosen
    WHERE entry.job_id = chosen.job_id
    RETURNING entry.tenant_id, entry.job_id, chosen.was_lost, entry.claims, entry.unavailable_since
    """
)


def lease_seconds() -> float:
    """How long a silent worker keeps its job."""
    return float(current_settings().job_lease_seconds)


def claim() -> Slice | None:
    """Take the next job that is due: of the tenant that was served the longest time ago, its longest waiting one."""
    lease = uuid4()
    with transaction() as session:
        found = session.execute(_CLAIM, {"lease": lease, "seconds": lease_seconds()}).one_or_none()
    if found is None:
        return None
    return Slice(
        tenant_id=found.tenant_id,
        job_id=found.job_id,
        lease=lease,
        was_lost=found.was_lost,
        claims=found.claims,
        unavailable_since=found.unavailable_since,
    )


def is_work_waiting() -> bool:
    """True where a job of an active tenant is due and free."""
    now = func.clock_timestamp()
    entry = QueueEntry
    statement = (
        select(entry.job_id)
        .join(Tenant, (Tenant.id == entry.tenant_id) & (Tenant.status == TenantStatus.ACTIVE))
        .where(entry.available_at <= now, func.coalesce(entry.leased_until, now) <= now)
        .limit(1)
    )
    return db.session.scalar(statement) is not None


def is_held(taken: Slice, *, lock: bool = False) -> bool:
    """True while the slice is its worker's, and its tenant active; `lock` keeps it so until the transaction ends."""
    statement = (
        select(QueueEntry.job_id)
        .join(Tenant, (Tenant.id == QueueEntry.tenant_id) & (Tenant.status == TenantStatus.ACTIVE))
        .where(QueueEntry.job_id == taken.job_id, QueueEntry.lease == taken.lease)
    )
    return db.session.scalar(statement.with_for_update(of=QueueEntry) if lock else statement) is not None


def give_back(taken: Slice, *, after_seconds: float = 0, unavailable_since: datetime | None = None) -> None:
    """Put the job at the end of its tenant's row, to be taken up after `after_seconds`."""
    _update(
        taken,
        lease=None,
        leased_until=None,
        available_at=func.clock_timestamp() + _seconds(after_seconds),
        claims=0,
        unavailable_since=unavailable_since,
    )


def remove(job_id: UUID) -> None:
    """Take a job out of the queue: there is nothing left to do for it."""
    db.session.execute(delete(QueueEntry).where(QueueEntry.job_id == job_id))


@contextmanager
def kept(taken: Slice) -> Iterator[None]:
    """Renew the lease while the block runs; where it raises, let the job go at once, as if the worker had died."""
    stopped = threading.Event()
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - a thread needs the app itself
    renewing = threading.Thread(target=_renew, args=(app, taken, stopped), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    except BaseException:
        stopped.set()
        renewing.join()
        patiently(partial(_expire, taken))
        raise
    finally:
        stopped.set()
        renewing.join()


def patiently(write: Callable[[], _T]) -> _T:
    """Run one transaction, and again while PostgreSQL is away for a moment: what was fetched is not thrown away.

    A commit whose outcome got lost with the connection does no harm: repeated, it finds that the lease is given back.
    """
    for pause in PAUSES_SECONDS:
        try:
            return write()
        except (DBAPIError, PoolTimeoutError) as error:
            if isinstance(error, DBAPIError) and not database_is_away(error):
                raise
            log.warning("ingestion.write_repeated", extra={"error": type(error).__name__})
            time.sleep(pause)
    return write()


def _renew(app: Flask, taken: Slice, stopped: threading.Event) -> None:
    with app.app_context():
        seconds = lease_seconds()
        while not stopped.wait(seconds / RENEWALS_IN_A_LEASE):
            try:
                with transaction():
                    _update(taken, leased_until=func.clock_timestamp() + _seconds(seconds))
            except (DBAPIError, PoolTimeoutError) as error:
                # The next renewal may go well; if none does, the job is another's, and nothing of it is written here.
                log.warning("ingestion.renewal_failed", extra={"error": type(error).__name__})


def _expire(taken: Slice) -> None:
    with transaction():
        _update(taken, leased_until=func.clock_timestamp())


def _update(taken: Slice, **values: object) -> None:
    db.session.execute(
        update(QueueEntry).where(QueueEntry.job_id == taken.job_id, QueueEntry.lease == taken.lease).values(**values),
        execution_options={"synchronize_session": False},
    )


def _seconds(seconds: float) -> Function[INTERVAL]:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds, type_=INTERVAL)
