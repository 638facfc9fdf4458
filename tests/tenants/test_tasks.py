"""The upkeep of what every tenant has."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.tenants import tasks
from tests.conftest import Library


def test_old_answers_to_repeated_requests_are_forgotten_in_every_tenant(
    library: Library, other_library: Library, owner: Engine
) -> None:
    for each in (library, other_library):
        each.post("/service-accounts", {"name": "Old", "role": "lms"}, role="admin", headers={"Idempotency-Key": "old"})
    with owner.begin() as connection:
        connection.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'"))
    library.post("/service-accounts", {"name": "New", "role": "lms"}, role="admin", headers={"Idempotency-Key": "new"})

    with library.app.app_context():
        tasks.forget.run()

    with owner.connect() as connection:
        kept = connection.scalars(text("SELECT tenant_id FROM idempotency_keys")).all()
    assert kept == [library.id]
