"""The walls between tenants, as migrations build them.

Never change what stands here: databases were made with it. A wall of another kind is a second function.
"""

from __future__ import annotations


def row_level_security(table: str, *, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> list[str]:
    """The statements with which a migration puts `table` behind the wall and grants `rights` to the application."""
    return _wall(table, "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid", rights)


def row_level_security_in_bulk(table: str, *, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> list[str]:
    """The same wall for a table of very many rows: the tenant is looked up once a statement, not once a row."""
    return _wall(table, "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)", rights)


def _wall(table: str, own: str, rights: str) -> list[str]:
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        # `nullif`: after a transaction that set it, the setting reads '' and not NULL.
        f"CREATE POLICY tenant ON {table} USING ({own}) WITH CHECK ({own})",
        f"GRANT {rights} ON {table} TO library_app",
    ]
