"""Sets of rows as one parameter: how many rows of a tenant are written with few statements.

A statement takes its rows as one JSON text, which PostgreSQL reads as a table with the columns' own types; where there
may be very many, as an array for each column, which it reads faster still. So its text is the same for one row and for
a thousand, and nothing is sent row by row. Defaults that Python would give (ids among them) are the caller's to give;
the database gives its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    CursorResult,
    Executable,
    Row,
    TableValuedAlias,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from app.core.tenancy import OWN_TENANT_ID, current_tenant_id
from app.extensions import db


def table_of(model: type[Any]) -> Any:
    """The table behind a model: these statements move rows, not entities."""
    return model.__table__


@cache
def given(table: Any, *names: str) -> TableValuedAlias:
    """The rows of the parameter `rows`, with columns like those of `table`."""
    columns = [column(name, table.c[name].type) for name in names]
    rows = sql_cast(bindparam("rows", type_=Text()), JSONB)
    return func.jsonb_to_recordset(rows).table_valued(*columns, name="given").render_derived(with_types=True)


@cache
def inserting(table: Any, *names: str, order_by: tuple[str, ...] = ()) -> Insert:
    """Insert the given rows as the current tenant's, in the order of these columns."""
    rows = given(table, *names)
    chosen = select(OWN_TENANT_ID, *rows.c).order_by(*(rows.c[name] for name in order_by))
    statement: Insert = insert(table).from_select(["tenant_id", *names], chosen, include_defaults=False)
    return statement


@cache
def columns_given(table: Any, *names: str) -> TableValuedAlias:
    """Rows as a parameter for each of these columns (see `as_array`), with columns like those of `table`."""
    arrays = [sql_cast(bindparam(name, type_=Text()), ARRAY(table.c[name].type)) for name in names]
    return func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in names)).render_derived()


def as_array(values: Iterable[Any]) -> str:
    """Values (texts of visible characters, numbers, ids) as PostgreSQL reads an array: in JSON's words for a list."""
    return f"{{{orjson.dumps(list(values))[1:-1].decode()}}}"


def run(
    statement: Executable, rows: Iterable[Mapping[str, Any]] | None = None, **parameters: Any
) -> Sequence[Row[Any]]:
    """Run a statement on these rows as the current tenant; answers what it returns."""
    if rows is not None:
        parameters["rows"] = orjson.dumps(list(rows), default=_hexadecimal).decode()
    result = db.session.execute(statement, {"own_tenant_id": current_tenant_id(), **parameters})
    return result.all() if isinstance(result, CursorResult) and result.returns_rows else ()


def _hexadecimal(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError
    return f"\\x{value.hex()}"


def lock_names(names: Iterable[str], *, kind: str) -> None:
    """Hold these names of the tenant until the transaction ends, waiting for whoever holds one of them.

    A lock on a name, not on a row, because the row may not be there yet. `kind` (up to 16 bytes) says what is so named.
    All callers take theirs in the same order, so that none waits for another in a circle.
    """
    owner = current_tenant_id().bytes
    numbers = sorted({_lock_number(owner, kind, name) for name in names})
    locks = func.unnest(bindparam("numbers", type_=ARRAY(BigInteger))).table_valued("number").render_derived()
    run(select(func.pg_advisory_xact_lock(locks.c.number)), numbers=numbers)


def try_lock_name(name: str, *, kind: str) -> bool:
    """The same for one name, without waiting: False where somebody holds it."""
    held = select(func.pg_try_advisory_xact_lock(bindparam("number", type_=BigInteger)))
    [(is_held,)] = run(held, number=_lock_number(current_tenant_id().bytes, kind, name))
    return bool(is_held)


def _lock_number(owner: bytes, kind: str, name: str) -> int:
    digest = hashlib.blake2b(name.encode(), key=owner, digest_size=8, person=kind.encode()).digest()
    return int.from_bytes(digest, signed=True)


def uuid_list(name: str) -> Any:
    """A parameter that holds ids."""
    return bindparam(name, type_=ARRAY(Uuid))


def one_id(name: str) -> Any:
    """A parameter that is an id."""
    return bindparam(name, type_=Uuid())


def text_list(name: str) -> Any:
    """A parameter that holds texts."""
    return bindparam(name, type_=ARRAY(Text))
