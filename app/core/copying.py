"""Rows by COPY: the fast way in for many of them.

PostgreSQL takes no COPY into a table behind row-level security. So rows land in a temporary table of the connection and
go on from there by an INSERT, which the wall looks at; all of it travels as one message. The temporary table is made
once for a connection, and PostgreSQL empties it with every transaction's end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

from sqlalchemy.dialects import postgresql

from app.core.database import driver_cursor
from app.core.tenancy import current_tenant_id
from app.extensions import db

_SEND_BYTES = 256 * 1024
# What COPY's text format gives a meaning to, except what no text of ours holds.
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def row_of(*values: Any) -> str:
    """A row as COPY reads it."""
    return "\t".join([str(value).translate(_ESCAPED) for value in values]) + "\n"


def first_value(row: str) -> str:
    """The first of a row's values."""
    return re.sub(r"\\(.)", r"\1", row.partition("\t")[0])


@dataclass(frozen=True)
class Copying:
    """How rows get into a table of tenants: which columns they have, and the order that its index likes best."""

    table: Any
    names: Sequence[str]
    order_by: Sequence[str]

    def insert(self, batches: Iterable[Collection[str]]) -> int:
        """Insert rows (by `row_of`, with a value for each name) into the present transaction; returns their number."""
        inserted = 0
        for rows in batches:
            self._insert("".join(rows).encode())
            inserted += len(rows)
        return inserted

    def _insert(self, rows: bytes) -> None:
        landed = db.session().info["landed"]
        # Within the transaction, what went on already lies there still.
        emptied = f"TRUNCATE {self._landing};" if self._landing in landed else ""
        with driver_cursor() as cursor:
            cursor.copy_expert(emptied + self._message % current_tenant_id(), BytesIO(rows), _SEND_BYTES)
        landed.add(self._landing)

    @property
    def _landing(self) -> str:
        return f"landing_{self.table.name}"

    @cached_property
    def _message(self) -> str:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects have no signatures
        quote = dialect.identifier_preparer.quote
        columns = [f"{quote(name)} {self.table.c[name].type.compile(dialect)}" for name in self.names]
        names, order = (", ".join(map(quote, each)) for each in (self.names, self.order_by))
        insert = f"INSERT INTO {self.table.name} (tenant_id, {names}) SELECT '%s'::uuid, {names}"
        return (
            f"CREATE TEMP TABLE IF NOT EXISTS {self._landing} ({', '.join(columns)}) ON COMMIT DELETE ROWS;"
            f"COPY {self._landing} FROM STDIN;"
            f"{insert} FROM {self._landing} ORDER BY {order}"
        )
