"""Transactions, and the short way to rows for the reads that must be fast.

The only module that commits or rolls back. A service function that writes has one `with transaction():`; blocks nest
and the outermost commits. `on_commit` runs after that commit, never after a rollback, and `on_rollback` the other way
round. Tenant and transaction belong together: `transaction()` tells PostgreSQL the tenant of the current work, and one
transaction never changes tenant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from flask import Flask
from flask_sqlalchemy.session import Session as FlaskSession
from psycopg2 import DatabaseError as DriverDatabaseError
from psycopg2 import Error as DriverError
from psycopg2 import InterfaceError as DriverInterfaceError
from psycopg2 import OperationalError as DriverOperationalError
from psycopg2.errors import DeadlockDetected, QueryCanceled
from psycopg2.extensions import new_type, register_type
from sqlalchemy import Select, create_engine, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import InstrumentedAttribute, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.orm.scoping import scoped_session
from sqlalchemy.pool import NullPool, PoolProxiedConnection
from sqlalchemy.sql import ClauseElement

from app.core.errors import Collided, DatabaseUnavailable, QuestionTooSlow, database_is_away
from app.core.tenancy import tenant_id_or_none
from app.extensions import db
from app.settings import Settings, current_settings

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

# Pool waits are kept short: a request that gets no connection within this time is answered 503.
POOL_TIMEOUT_SECONDS = 3
READS = "reads"
# Ids go into an answer as they come; 2950 is PostgreSQL's number for uuid.
_ID_AS_TEXT = new_type((2950,), "ID_AS_TEXT", lambda value, _: value)
# So does JSON (json and jsonb).
_JSON_AS_IT_IS = new_type(
    (114, 3802), "JSON_AS_IT_IS", lambda value, _: None if value is None else orjson.Fragment(value)
)
# Local to the transaction: a session-wide setting would reach other tenants through a transaction pooler.
_SET_TENANT = text("SELECT set_config('app.tenant_id', :tenant_id, true)")


class TransactionChangedTenant(RuntimeError):
    """A transaction that was begun for one tenant was used as another: a defect of the caller."""


class TransactionBroken(RuntimeError):
    """A block within the transaction raised, and the enclosing one went on: a defect of the caller."""


def init_app(app: Flask, settings: Settings) -> None:
    """Bind the session to the application's role; reads that are one statement have a pool of their own."""
    connect = {
        "connect_timeout": 3,
        "application_name": "library",
        # Compiled plans and parallel workers cost more than they save in statements of a few milliseconds.
        "options": f"-c statement_timeout={settings.database_statement_timeout_ms} -c timezone=UTC -c jit=off"
        " -c max_parallel_workers_per_gather=0",
    }
    options: dict[str, Any] = {
        "pool_size": settings.database_pool_size,
        "max_overflow": settings.database_max_overflow,
        "pool_timeout": POOL_TIMEOUT_SECONDS,
        "connect_args": connect,
    }
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    # A connection that died with its server is replaced before a transaction begins on it.
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {**options, "pool_pre_ping": True}
    app.config["SQLALCHEMY_BINDS"] = {
        READS: {
            "url": settings.database_url,
            **options,
            # Reads are of one tenant, which an index leads to. Where one tenant has most of a table's rows, the planner
            # would rather go through all of them, the other tenants' rows included.
            "connect_args": {**connect, "options": f"{connect['options']} -c enable_seqscan=off"},
            "isolation_level": "AUTOCOMMIT",
            # There is no transaction to roll back.
            "pool_reset_on_return": None,
        }
    }
    db.init_app(app)
    with app.app_context():
        # After SQLAlchemy's own listener, which would make objects of them.
        event.listen(db.engines[READS], "connect", lambda connection, _: _take_as_it_is(connection))


def _take_as_it_is(connection_or_cursor: Any) -> None:
    """Let ids and JSON come as ready-made text."""
    register_type(_ID_AS_TEXT, connection_or_cursor)
    register_type(_JSON_AS_IT_IS, connection_or_cursor)


@contextmanager
def transaction() -> Iterator[scoped_session[FlaskSession]]:
    """Do the block's writes together: all of them, or none when it, or a block within it, raises.

    Raises:
        TransactionBroken: a block within raised, and its error was caught before it got here.
        TransactionChangedTenant: an enclosing transaction belongs to another tenant.
    """
    session = db.session()
    info = session.info
    tenant_id = tenant_id_or_none()
    if info.get("depth", 0):
        if info["tenant_id"] != tenant_id:
            raise TransactionChangedTenant
        try:
            yield db.session
        except BaseException as error:
            info["broken_by"] = error
            raise
        return
    if session.in_transaction():
        # What was read before belongs to a snapshot, and maybe a tenant, of its own.
        session.rollback()
    info.update(depth=1, tenant_id=tenant_id, on_commit=[], on_rollback=[], broken_by=None)
    outcome = "on_rollback"
    try:
        yield db.session
        _commit(session)
        outcome = "on_commit"
    except BaseException:
        session.rollback()
        raise
    finally:
        callbacks = info[outcome]
        info.update(depth=0, on_commit=[], on_rollback=[], broken_by=None)
        for callback in callbacks:
            _call(callback)


@contextmanager
def as_owner() -> Iterator[Connection]:
    """Do the block as the role that owns the tables, in a transaction: for commands that change tables."""
    engine = create_engine(current_settings().database_owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def _commit(session: FlaskSession) -> None:
    broken_by: BaseException | None = session.info["broken_by"]
    if broken_by is not None:
        raise TransactionBroken from broken_by
    session.commit()


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        # The writes stand: nobody may be told that they failed, and the other callbacks have work of their own.
        log.exception("database.callback_failed")


def on_commit(callback: Callable[[], None]) -> None:
    """Call `callback` after the outermost transaction has committed; at once outside of any.

    What fails after the commit is logged, and raised nowhere.
    """
    info = db.session().info
    if info.get("depth", 0):
        info["on_commit"].append(callback)
    else:
        callback()


def on_rollback(callback: Callable[[], None]) -> None:
    """Call `callback` after the outermost transaction, which is about to be refused, was rolled back.

    For what is to be known of a refusal however large the transaction was that it undid; at once outside of any. What
    fails then is logged, and raised nowhere: the refusal itself goes on its way.
    """
    info = db.session().info
    if info.get("depth", 0):
        info["on_rollback"].append(callback)
    else:
        callback()


@event.listens_for(Session, "after_begin")
def _tell_tenant(session: Session, _: SessionTransaction, connection: Connection) -> None:
    session.info["told"] = tenant_id_or_none()
    if session.info["told"] is not None:
        connection.execute(_SET_TENANT, {"tenant_id": str(session.info["told"])})


@event.listens_for(Session, "do_orm_execute")
def _read_what_is_locked(state: ORMExecuteState) -> None:
    """Let what is read with a lock be the row as it is, and not an object that was read before the lock was there."""
    if getattr(state.statement, "_for_update_arg", None) is not None:
        state.update_execution_options(populate_existing=True)


@event.listens_for(Session, "do_orm_execute")
def _keep_to_tenant(state: ORMExecuteState) -> None:
    """Ask as the present tenant even where the session has read as another before."""
    session, tenant_id = state.session, tenant_id_or_none()
    if session.info.get("depth", 0):
        if session.info["tenant_id"] != tenant_id:
            raise TransactionChangedTenant
    elif session.in_transaction() and session.info.get("told") != tenant_id:
        session.info["told"] = tenant_id
        session.connection().execute(_SET_TENANT, {"tenant_id": str(tenant_id or "")})


def violated_constraint(error: DBAPIError) -> str | None:
    """The name of the constraint that refused a write, so that the service can raise its own error."""
    diagnostics = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What the driver is given: the text, the values of its constants, and what tells the values known when asked."""

    sql: str
    constants: Mapping[str, Any]
    known: Mapping[str, Callable[[], Any]]


class Question:
    """A read that must be fast: one statement, answered in one round trip, as the current tenant.

    Tenant and statement travel as one message, which PostgreSQL runs as one implicit transaction: so row-level security
    holds as it does everywhere, without the round trips of BEGIN and ROLLBACK and without ORM entities. Inside
    `transaction()` the question is asked there, so that a command can answer with what it has just written. It is asked
    with a value for each `bindparam("name")`; `own(Model)` needs none. Ids arrive as text and JSON as a ready-made
    fragment.

    However it is asked, it raises:
        DatabaseUnavailable: PostgreSQL does not answer, even on a new connection, or all connections are in use.
        NoTenant: it is about rows of a tenant, and asked outside of any.
        QuestionTooSlow: the statement ran into its time-out.
        TransactionChangedTenant: an enclosing transaction belongs to another tenant.
    """

    def __init__(self, statement: ClauseElement) -> None:
        """Keep the statement; it is compiled when first asked."""
        self.statement = statement

    def all(self, **values: Any) -> list[Row]:
        """Every row."""
        tenant_id = tenant_id_or_none()
        asked = self._compiled
        parameters = {
            **asked.constants,
            **{name: _plain(value()) for name, value in asked.known.items()},
            **{name: _plain(value) for name, value in values.items()},
        }
        if db.session.registry.has() and db.session().info.get("depth", 0):
            if db.session().info["tenant_id"] != tenant_id:
                raise TransactionChangedTenant
            return _fetch_within_transaction(asked.sql, parameters)
        # A UUID's text is hexadecimal digits and hyphens: nothing in it can end the literal.
        message = f"SELECT set_config('app.tenant_id', '{tenant_id or ''}', true);\n{asked.sql}"
        return _fetch_patiently(message, parameters)

    def one(self, **values: Any) -> Row | None:
        """The first row, if there is any."""
        found = self.all(**values)
        return found[0] if found else None

    def value(self, **values: Any) -> Any:
        """The first column of the first row; None where there is no row."""
        found = self.all(**values)
        return found[0][0] if found else None

    def id(self, **values: Any) -> UUID | None:
        """The same, of a column of ids."""
        found = self.value(**values)
        return None if found is None else UUID(found)

    def records(self, **values: Any) -> list[dict[str, Any]]:
        """Every row as an object, by the names of the columns."""
        return [dict(zip(self._names, row, strict=True)) for row in self.all(**values)]

    def record(self, **values: Any) -> dict[str, Any] | None:
        """The first row as an object, if there is any."""
        found = self.one(**values)
        return None if found is None else dict(zip(self._names, found, strict=True))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.statement.selected_columns.keys()) if isinstance(self.statement, Select) else ()

    @cached_property
    def _compiled(self) -> _Compiled:
        # Neither when the module is imported nor each time: compiling costs more than a short query, and whoever
        # imports a module, every command among them, asks few of its questions.
        dialect = postgresql.psycopg2.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects have no signatures
        compiled: Any = self.statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        known = {name: bind.callable for name, bind in compiled.binds.items() if bind.callable}
        constants = {
            name: _plain(value) for name, value in compiled.params.items() if value is not None and name not in known
        }
        return _Compiled(str(compiled), constants, known)


class Shape:
    """Columns of a model in the order in which clients see them: `select(*shape)` asks for them."""

    def __init__(self, model: type[Any], *names: str) -> None:
        """Find the columns of these names.

        Raises:
            AttributeError: the model has none of one of them.
        """
        self.names = names
        self._columns = [getattr(model, name) for name in names]

    def __iter__(self) -> Iterator[InstrumentedAttribute[Any]]:
        """The columns."""
        return iter(self._columns)

    def of(self, entity: Any) -> dict[str, Any]:
        """What an entity of the model says in them, by their names."""
        return {name: getattr(entity, name) for name in self.names}


def _plain(value: Any) -> Any:
    """What the driver takes: ids and enums as text."""
    if isinstance(value, UUID | Enum):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


class _ConnectionLost(Exception):
    """PostgreSQL went away under a question, or was not to be reached."""


def _is_lost(error: DriverError | DBAPIError) -> bool:
    """True where PostgreSQL has not answered at all.

    Of a backend that was killed the driver knows no more than that: it raises the most general of its errors, without
    a code of PostgreSQL's, and takes the connection for open.
    """
    if isinstance(error, DBAPIError):
        return database_is_away(error)
    if isinstance(error, DriverOperationalError | DriverInterfaceError):
        return True
    return type(error) is DriverDatabaseError and error.pgcode is None


def _fetch_patiently(message: str, parameters: Mapping[str, Any]) -> list[Row]:
    try:
        return _fetch(message, parameters)
    except _ConnectionLost:
        log.info("database.read_retried")
    try:
        return _fetch(message, parameters)
    except _ConnectionLost as error:
        # What PostgreSQL or its driver said: whoever runs a command is told.
        raise DatabaseUnavailable from error.__cause__


def _fetch_within_transaction(sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    with driver_cursor() as cursor:
        # As on the connections for reads, or one answer would have two spellings and two ETags.
        _take_as_it_is(cursor)
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


@contextmanager
def driver_cursor() -> Iterator[Any]:
    """The driver's own cursor within the present transaction, for what SQLAlchemy has no words for.

    Raises:
        Collided: PostgreSQL let somebody else go first who waited for this.
        DatabaseUnavailable: PostgreSQL went away.
        QuestionTooSlow: a statement ran into its time-out.
    """
    db.session.flush()
    cursor = db.session.connection().connection.cursor()
    try:
        yield cursor
    except QueryCanceled as error:
        raise QuestionTooSlow from error
    except DeadlockDetected as error:
        raise Collided from error
    except DriverError as error:
        if _is_lost(error):
            raise DatabaseUnavailable from error
        raise
    finally:
        cursor.close()


def _connection_for_reads() -> PoolProxiedConnection:
    try:
        return db.engines[READS].raw_connection()
    except PoolTimeoutError as error:
        # It has been waited for once, and is not again.
        log.warning("database.pool_exhausted")
        raise DatabaseUnavailable from error
    except (DriverError, DBAPIError) as error:
        if _is_lost(error):
            raise _ConnectionLost from error
        raise


def _fetch(message: str, parameters: Mapping[str, Any]) -> list[Row]:
    pooled = _connection_for_reads()
    try:
        cursor = pooled.cursor()
        cursor.execute(message, parameters)
        return list(cursor.fetchall())
    except QueryCanceled as error:
        raise QuestionTooSlow from error
    except DriverError as error:
        if not _is_lost(error):
            raise
        pooled.invalidate()
        # Every other idle connection dates from before the server went away as well.
        db.engines[READS].dispose()
        raise _ConnectionLost from error
    finally:
        pooled.close()
