"""Runs the migrations, as the role that owns the tables."""

from __future__ import annotations

from alembic import context
from click import ClickException
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.core.commands import postgresql_says
from app.extensions import db
from app.settings import current_settings

# One migration at a time, however many hosts start at once; the number is any that nothing else uses.
_LOCK = 7_106_042
# What the search keeps for itself, written and asked in SQL alone.
_WITHOUT_MODEL = {"book_search", "search_words", "search_deletions"}
# The parts of a table, which its model speaks of as a whole.
_PARTS = "inventory_updates_"


def run_migrations() -> None:
    """Do what the command asks for; a server that is away or denies it ends the command with one line."""
    try:
        _run_in_one_transaction()
    except DBAPIError as error:
        if not isinstance(error, OperationalError) and not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise ClickException(f"{postgresql_says(error)} (DATABASE_OWNER_URL)") from error


def _run_in_one_transaction() -> None:
    engine = create_engine(current_settings().database_owner_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            compare_server_default=False,
            include_name=lambda name, kind, _: kind != "table" or not _has_no_model(str(name)),
        )
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()
    engine.dispose()


def _has_no_model(name: str) -> bool:
    return name in _WITHOUT_MODEL or name.startswith(_PARTS)


run_migrations()
