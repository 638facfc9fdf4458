"""What is left of a tenant thirty days after its suspension: its events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.clock import utc_now
from app.extensions import db
from app.tenants import service
from tests.conftest import Library
from tests.house.contract import things_of


def rows_of(owner: Engine, library: Library) -> dict[str, int]:
    """How many rows of each table are a tenant's."""
    with owner.connect() as connection:
        question = "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id'"
        counted = {
            table: int(
                connection.scalar(text(f"SELECT count(*) FROM {table} WHERE tenant_id = :id"), {"id": library.id}) or 0
            )
            for table in connection.scalars(text(question)).all()
        }
    return {table: number for table, number in counted.items() if number}


def suspend(owner: Engine, library: Library, *, days_ago: float) -> None:
    at = utc_now() - timedelta(days=days_ago)
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE tenants SET status = 'suspended', suspended_at = :at WHERE id = :id"),
            {"at": at, "id": library.id},
        )


def purge(library: Library) -> int:
    with library.app.app_context():
        purged = service.purge_long_suspended()
        db.session.remove()
    return purged


def test_only_the_events_are_left(library: Library, other_library: Library, owner: Engine) -> None:
    things_of(library)
    things_of(other_library)
    suspend(owner, library, days_ago=30.1)
    before = rows_of(owner, other_library)
    assert len(rows_of(owner, library)) > 5

    assert purge(library) == 1

    assert set(rows_of(owner, library)) == {"events"}
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
