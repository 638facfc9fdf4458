"""No list of people goes through a table from end to end, with 50 000 of them in the library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import queries
from tests.explained import nodes, plan_of
from tests.large import app_over

LARGE: Final = UUID("0193a000-0000-7000-8000-000000000011")
GROUP: Final = UUID("0193a000-0000-7000-8000-000000000012")
# A page of 50 with the look-ups of what hangs beneath; to read through would take thousands.
MOST_BLOCKS: Final = 1_000

# What refers to a table is filled after that table is analysed, or each row's check would read it through.
FILLED: Final = (
    """
    INSERT INTO tenants (id, slug, name, kind, status, resync_interval_hours)
    VALUES (:tenant, 'large', 'large', 'library', 'active', 6)
    """,
    """
    INSERT INTO users (tenant_id, id, type, sealed_profile, key_id, email_hash, created_at)
    SELECT :tenant, gen_random_uuid(), CASE WHEN n % 5000 = 0 THEN 'staff' ELSE 'reader' END, 'sealed', 'key',
        sha256(n::text::bytea), timestamptz '2026-01-01 00:00Z' + n * interval '1 second'
    FROM generate_series(1, 50000) AS n
    """,
    "ANALYZE users",
    "INSERT INTO staff (tenant_id, id, role) SELECT tenant_id, id, 'librarian' FROM users WHERE type = 'staff'",
    "INSERT INTO readers (tenant_id, id) SELECT tenant_id, id FROM users WHERE type = 'reader'",
    "ANALYZE readers",
    "INSERT INTO groups (tenant_id, id, name) VALUES (:tenant, :group, 'Class 3b')",
    "INSERT INTO group_members (tenant_id, group_id, user_id) SELECT tenant_id, :group, id FROM readers LIMIT 30",
    """
    INSERT INTO user_name_prefixes (tenant_id, prefix_hash, user_id)
    SELECT tenant_id, hashtextextended(id::text || n, 0) % 50000, id FROM users, generate_series(1, 3) AS n
    ON CONFLICT DO NOTHING
    """,
    # The names of all readers begin alike.
    "INSERT INTO user_name_prefixes (tenant_id, prefix_hash, user_id) SELECT tenant_id, 50000, id FROM readers",
    """
    INSERT INTO events (tenant_id, id, type, level, actor_kind, actor_id, subject_id, data, at)
    SELECT tenant_id, gen_random_uuid(), 'user.updated', 'info', 'user', id, id, '{}', created_at FROM users
    """,
)
ASKED: Final[list[dict[str, Any]]] = [
    {},
    {"types": ["reader"]},
    {"types": ["guardian"]},
    {"types": ["reader", "student"]},
    {"staff_role": "librarian"},
    {"staff_role": "admin"},
    {"group_id": GROUP},
    {"email_hashes": [b"x" * 32]},
    {"prefix_hashes": [5, 6]},
    {"prefix_hashes": [50000, 50001]},
]


TABLES: Final = ("users", "staff", "readers", "groups", "group_members", "user_name_prefixes", "events")


@pytest.fixture(scope="module")
def large(migrated: dict[str, str], owner: Engine) -> Iterator[Flask]:
    with owner.begin() as connection:
        values = {"tenant": str(LARGE), "group": str(GROUP)}
        connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), values)
        for statement in FILLED:
            connection.execute(text(statement), values)
    with app_over(
        migrated, owner, tables=("users", "staff", "readers", "groups", "group_members", "user_name_prefixes", "events")
    ) as app:
        yield app


@pytest.fixture
def in_large(large: Flask) -> Iterator[None]:
    with large.app_context(), as_tenant(LARGE):
        yield
        db.session.remove()


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("sort", ["-created_at", "created_at"])
def test_a_page_of_people_touches_few_blocks(in_large: None, asked: dict[str, Any], sort: str) -> None:
    beyond = {"after_key": "2026-01-01 05:00Z", "after_tie": str(LARGE)}
    for after in ({}, beyond):
        page = queries.USERS._page_sql(frozenset(asked), sort, bool(after)).asked
        plan = plan_of(page, limit=51, **asked, **after)

        assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BLOCKS


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_total_of_people_scans_no_table(in_large: None, asked: dict[str, Any]) -> None:
    plan = plan_of(queries.USERS._count_sql(frozenset(asked)), **asked)

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


def test_one_person_is_found_by_a_key(in_large: None) -> None:
    plan = plan_of(queries._VISIBLE_PERSON, user_id=LARGE, actor_id=GROUP, sees_all=False)

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 30


def test_what_the_audit_trail_says_of_one_person_is_found_by_keys(in_large: None) -> None:
    plan = plan_of(queries._EVENTS_OF, user_id=LARGE)

    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 30
