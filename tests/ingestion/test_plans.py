"""No list of a tenant reads the whole table, however much the others have."""

from __future__ import annotations

from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.pagination import Listing
from app.core.tenancy import tenant as as_tenant
from app.ingestion import queries
from tests.explained import explained
from tests.ingestion.conftest import Desk

VALUES = {
    "limit": 51,
    "after_key": "2026-01-01T00:00:00Z",
    "after_tie": str(uuid4()),
    "job_id": str(uuid4()),
    "batch_id": str(uuid4()),
    "open_library_key": "OL77W",
    "action": "failed",
    "message": "no work",
    "since": "2026-01-01T00:00:00Z",
    "until": "2027-01-01T00:00:00Z",
    "status": "running",
    "trigger": "resync",
}


def fill(owner: Engine, tenants: list[UUID]) -> None:
    """Give each tenant ten thousand jobs and fifty thousand lines."""
    with owner.begin() as connection:
        for tenant_id in tenants:
            connection.execute(
                text(
                    "INSERT INTO ingestion_jobs (tenant_id, id, trigger, status, isbns, max_works, refresh, is_retry,"
                    " is_search_over, search_position, works_total, works_created, works_updated, works_unchanged,"
                    " works_failed, attempts, revision, finished_at, created_at)"
                    " SELECT :tenant, gen_random_uuid(), 'api', 'completed', '{}', 1, false, false, true, 0, 0, 0, 0,"
                    " 0, 0, 1, 1, now(), now() - n * interval '1 minute' FROM generate_series(1, 10000) AS n"
                ),
                {"tenant": tenant_id},
            )
            connection.execute(
                text(
                    "INSERT INTO ingestion_logs (tenant_id, id, job_id, open_library_key, action, at)"
                    " SELECT :tenant, gen_random_uuid(), job.id, 'OL' || n || 'W', 'unchanged',"
                    " now() - n * interval '1 second' FROM ingestion_jobs AS job, generate_series(1, 5) AS n"
                    " WHERE job.tenant_id = :tenant"
                ),
                {"tenant": tenant_id},
            )
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE ingestion_jobs, ingestion_logs"))


def plan(listing: Listing, names: set[str], *, after: bool) -> str:
    """How PostgreSQL goes about a page with these filters."""
    question = listing._page_sql(frozenset(names), listing.default_sort, after).asked
    return "\n".join(line for (line,) in explained(question).all(**VALUES))


def test_every_list_finds_its_rows_by_an_index(app: Flask, desk: Desk, other_desk: Desk, owner: Engine) -> None:
    fill(owner, [desk.library.id, other_desk.library.id])

    with app.app_context(), as_tenant(desk.library.id):
        for listing, table in ((queries.LOGS, "ingestion_logs"), (queries.JOBS, "ingestion_jobs")):
            for name in (None, *listing._filters):
                for after in (False, True):
                    found = plan(listing, {name} if name else set(), after=after)
                    assert f"Seq Scan on {table}" not in found, f"{name}: {found}"
