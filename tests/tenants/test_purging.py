"""What is left of a tenant thirty days after its suspension: its audit trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.clock import utc_now
from app.core.queue import QueueName
from app.core.tenancy import tenant
from app.events import service as events
from app.extensions import db, redis
from app.tenants import service
from tests.conftest import Library
from tests.house.contract import things_of

TRAIL = {"events", "event_seals", "unsealed_events"}


def tables_of_tenants(owner: Engine) -> set[str]:
    """The tables with a tenant's rows; those in parts, as a whole."""
    with owner.connect() as connection:
        question = (
            "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant_id'"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        return set(connection.scalars(text(question)))


def fill(owner: Engine, library: Library) -> None:
    """Put rows into every table of a tenant's."""
    things = things_of(library)
    book = {"title": "Once", "authors": [{"name": "Somebody"}]}
    assert library.post("/books", book, headers={"Idempotency-Key": "once"}).status_code == 201
    assert library.post("/ingestion/batches", {"jobs": [{"isbns": [things["isbn"]]}]}).status_code == 202
    stock = [{"product_id": "A", "quantity": 1, "timestamp": f"20{year}-06-01T00:00:00Z"} for year in range(10, 40)]
    assert library.post("/inventory/updates", {"items": stock}, role="lms").status_code == 201
    for role in ("educator", "student"):
        library.person(role)
    held = {"items": [{"isbn": things["isbn"]}, {"isbn": "9780441172719"}]}
    assert library.call("PUT", f"/collections/{things['collection_id']}/items", json=held).status_code == 200
    for path in ("/groups/{group_id}/members/{user_id}", "/users/{guardian_id}/readers/{reader_id}"):
        assert library.call("PUT", path.format(**things), role="admin").status_code == 204
    assert library.post("/auth/magic-links", {"email": "a@example.org"}, role=None).status_code == 202
    with library.app.app_context():
        assert events.seal_events()
        # One more, which has no seal yet.
        with tenant(library.id):
            events.record("test.done")
        db.session.remove()
    with owner.begin() as connection:
        for table, columns, values in (
            ("book_aliases", "alias, book_id", "'OL1W', :book_id"),
            ("ingestion_logs", "id, job_id, action", ":book_id, :job_id, 'created'"),
            ("ingestion_queries", "query_key, query, max_works, works, last_synced_at", "'k', 'q', 1, 1, now()"),
            ("ingestion_query_works", "query_key, open_library_key", "'k', 'OL1W'"),
            ("ingestion_turns", "served_at", "now()"),
            ("loan_notices", "loan_id, kind, due_at", ":loan_id, 'loan_due', now()"),
            ("resync_schedule", "counted_from", "now()"),
            ("used_id_tokens", "token_hash, expires_at", "'x', now()"),
        ):
            statement = text(f"INSERT INTO {table} (tenant_id, {columns}) VALUES (:tenant_id, {values})")
            connection.execute(statement, {**things, "tenant_id": library.id})


def rows_of(owner: Engine, library: Library) -> dict[str, int]:
    """How many rows of each table are a tenant's."""
    with owner.connect() as connection:
        counted = {
            table: int(
                connection.scalar(text(f"SELECT count(*) FROM {table} WHERE tenant_id = :id"), {"id": library.id}) or 0
            )
            for table in tables_of_tenants(owner)
        }
    return {table: number for table, number in counted.items() if number}


def suspend(owner: Engine, library: Library, *, days_ago: float) -> None:
    at = utc_now() - timedelta(days=days_ago)
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE tenants SET status = 'suspended', suspended_at = :at WHERE id = :id"),
            {"at": at, "id": library.id},
        )


def purge(library: Library, *, seconds: float = 60) -> int:
    with library.app.app_context():
        purged = service.purge_long_suspended(seconds=seconds)
        db.session.remove()
    return purged


def test_only_the_audit_trail_is_left(library: Library, other_library: Library, owner: Engine) -> None:
    fill(owner, library)
    fill(owner, other_library)
    suspend(owner, library, days_ago=30.1)
    before = rows_of(owner, other_library)
    assert set(before) == tables_of_tenants(owner), "Put rows into every table, that it be seen to be emptied."

    assert purge(library) == 1

    assert set(rows_of(owner, library)) == TRAIL
    assert rows_of(owner, other_library) == before
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tenants WHERE slug = 'riverside'")) == 0
    assert purge(library) == 0


@pytest.mark.parametrize("days_ago", [0, 29.9])
def test_nothing_is_purged_before_its_time(library: Library, owner: Engine, days_ago: float) -> None:
    suspend(owner, library, days_ago=days_ago)
    before = rows_of(owner, library)

    assert purge(library) == 0
    assert rows_of(owner, library) == before


def test_a_tenant_that_can_not_be_purged_keeps_no_other_from_it(
    make_library: Callable[..., Library], owner: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, free = make_library("stuck"), make_library("free")
    for each in (stuck, free):
        suspend(owner, each, days_ago=31)
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE stuck (tenant_id uuid REFERENCES tenants)"))
        connection.execute(text("INSERT INTO stuck VALUES (:id)"), {"id": stuck.id})

    try:
        assert purge(stuck) == 1
    finally:
        with owner.begin() as connection:
            connection.execute(text("DROP TABLE stuck"))

    [line] = [record for record in caplog.records if record.getMessage() == "tenant.purge_failed"]
    assert vars(line)["tenant_id"] == str(stuck.id)
    with owner.connect() as connection:
        left = connection.scalars(text("SELECT slug FROM tenants WHERE slug IN ('stuck', 'free')")).all()
    assert left == ["stuck"]
    assert purge(stuck) == 1


def test_what_does_not_end_in_time_goes_on_in_another_task(
    library: Library, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PURGED_AT_ONCE", 1)
    fill(owner, library)
    suspend(owner, library, days_ago=31)
    left, rounds = [sum(rows_of(owner, library).values())], 0

    while purge(library, seconds=0) == 0:
        left.append(sum(rows_of(owner, library).values()))
        rounds += 1

    assert rounds > 10
    assert left == sorted(set(left), reverse=True), "Each task takes something away."
    assert set(rows_of(owner, library)) == TRAIL
    with library.app.app_context():
        # Two more are the nudges for the mail and for the ISBN that is to be looked up.
        assert redis.client.llen(QueueName.UPKEEP.value) == rounds + 2


def test_a_tenant_that_is_purged_at_once_is_suspended_first(library: Library, owner: Engine) -> None:
    with library.app.app_context():
        assert service.purge_tenant(library.id)
        db.session.remove()

    with owner.connect() as connection:
        types = connection.scalars(
            text("SELECT type FROM events WHERE subject_id = :id AND tenant_id = :id ORDER BY id"), {"id": library.id}
        ).all()
    assert types == ["tenant.suspended", "tenant.purged"]
