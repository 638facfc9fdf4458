"""What the database itself says of the wall between tenants."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.engine import Engine

from app.core.tenancy import OUTSIDE_ROW_LEVEL_SECURITY
from tests.naming import leaves_it_to_the_wall

TABLES = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' AND c.relkind IN ('r', 'p')"


@pytest.fixture
def database(owner: Engine) -> Iterator[Connection]:
    with owner.connect() as connection:
        yield connection


def behind_the_wall(database: Connection) -> set[str]:
    """The tables that are a tenant's own."""
    return set(database.scalars(text(f"SELECT c.relname FROM {TABLES}"))) - set(OUTSIDE_ROW_LEVEL_SECURITY)


def test_every_tenant_table_has_forced_row_level_security(database: Connection) -> None:
    walled = database.scalars(
        text(
            f"SELECT c.relname FROM {TABLES} WHERE c.relrowsecurity AND c.relforcerowsecurity AND EXISTS ("
            " SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polpermissive"
            " AND pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)"
            " AND pg_get_expr(p.polqual, c.oid) LIKE '%tenant_id = %app.tenant_id%')"
        )
    )

    open_ = behind_the_wall(database) - set(walled)
    assert not open_, f"Call row_level_security(…) for these in their migration: {sorted(open_)}"


def test_the_list_of_tables_outside_is_the_databases_truth(database: Connection) -> None:
    unwalled = set(database.scalars(text(f"SELECT c.relname FROM {TABLES} WHERE NOT c.relrowsecurity")))

    assert unwalled == set(OUTSIDE_ROW_LEVEL_SECURITY), (
        "Set OUTSIDE_ROW_LEVEL_SECURITY right, with a reason for each:"
        f" not outside {sorted(set(OUTSIDE_ROW_LEVEL_SECURITY) - unwalled)},"
        f" not listed {sorted(unwalled - set(OUTSIDE_ROW_LEVEL_SECURITY))}"
    )


def test_nobody_adds_a_second_policy(database: Connection) -> None:
    several = set(
        database.scalars(text("SELECT polrelid::regclass::text FROM pg_policy GROUP BY 1 HAVING count(*) > 1"))
    )

    assert not several, f"Policies add up to the widest; keep the one: {sorted(several)}"


def test_keys_and_indexes_begin_with_the_tenant(database: Connection) -> None:
    first_columns = database.execute(
        text(
            "SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, coalesce(a.attname, '(expression)')"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'"
            " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        )
    ).all()
    tables = behind_the_wall(database)

    wrong = [index for table, index, first in first_columns if table in tables and first != "tenant_id"]
    assert not wrong, f"Begin these with tenant_id, that row-level security may use them: {sorted(wrong)}"


def test_foreign_keys_between_tenant_tables_carry_the_tenant(database: Connection) -> None:
    definitions = database.execute(
        text(
            "SELECT conrelid::regclass::text, confrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE contype = 'f'"
        )
    ).all()
    tables = behind_the_wall(database)
    shape = re.compile(r"FOREIGN KEY \(tenant_id, .*\) REFERENCES \w+\(tenant_id, ")

    wrong = [name for table, other, name, text_ in definitions if {table, other} <= tables and not shape.match(text_)]
    assert not wrong, f"Put tenant_id first on both sides of these: {wrong}"


def test_the_applications_role_is_an_ordinary_one_that_owns_nothing(database: Connection) -> None:
    powers = database.execute(
        text(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
            " FROM pg_roles WHERE rolname = 'library_app'"
        )
    ).one()
    owned = database.scalars(
        text(
            "SELECT relname FROM pg_class WHERE relowner = 'library_app'::regrole AND relpersistence <> 't'"
            " UNION ALL SELECT proname FROM pg_proc WHERE proowner = 'library_app'::regrole"
            " UNION ALL SELECT nspname FROM pg_namespace WHERE nspowner = 'library_app'::regrole"
        )
    ).all()
    memberships = database.scalar(text("SELECT count(*) FROM pg_auth_members WHERE member = 'library_app'::regrole"))

    assert not any(powers), "Take its powers from library_app."
    assert not owned, f"Migrations run as the owner; these belong to library_app: {owned}"
    assert memberships == 0, "Take library_app out of every other role: it could become that one."


def test_the_applications_role_only_reads_and_writes_rows(database: Connection) -> None:
    granted = set(
        database.scalars(
            text(
                "SELECT DISTINCT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'library_app'"
            )
        )
    )
    creates = database.scalar(text("SELECT has_schema_privilege('library_app', 'public', 'CREATE')"))

    assert granted == {"SELECT", "INSERT", "UPDATE", "DELETE"}, "Grant library_app rights on rows, no others."
    assert creates is False, "Take from library_app the right to create tables."


def test_nothing_is_granted_to_everybody(database: Connection) -> None:
    granted = database.scalars(
        text(
            "SELECT table_name FROM information_schema.role_table_grants"
            " WHERE grantee = 'PUBLIC' AND table_schema = 'public'"
        )
    ).all()

    assert not granted, f"Grant to library_app, not to PUBLIC: {granted}"


def test_events_are_written_and_read_and_never_changed(database: Connection) -> None:
    rights = set(
        database.scalars(
            text(
                "SELECT privilege_type FROM information_schema.role_table_grants"
                " WHERE grantee = 'library_app' AND table_name = 'events'"
            )
        )
    )

    assert rights == {"SELECT", "INSERT"}, "The audit trail is append-only: grant SELECT and INSERT on events."


def test_functions_with_the_owners_rights_are_closed(database: Connection) -> None:
    functions = database.execute(
        text(
            "SELECT p.oid::regprocedure::text, coalesce(p.proconfig::text, ''),"
            " has_function_privilege('public', p.oid, 'EXECUTE')"
            " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'public' WHERE p.prosecdef"
        )
    ).all()

    wrong = [name for name, options, public in functions if "search_path=" not in options or public]
    assert not wrong, f"SET search_path on these and REVOKE EXECUTE from PUBLIC: {wrong}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT tenant_id, name FROM service_accounts WHERE name = 'x'", True),
        ("SELECT set_config('app.tenant_id', 'x', true);\nSELECT title FROM books", True),
        (b"UPDATE books SET title = 'x'", True),
        ("DELETE FROM events WHERE tenant_id IN ('x')", False),
        ("SELECT b.title FROM books b WHERE b.tenant_id = %(own_tenant_id)s", False),
        ("SELECT slug FROM tenants", False),
        ("SELECT job_id FROM ingestion_queue", False),
    ],
)
def test_a_statement_that_leaves_the_tenant_to_the_wall_is_noticed(app: Flask, query: str, *, expected: bool) -> None:
    assert leaves_it_to_the_wall(query) is expected
