"""Runs the migrations, as the role that owns the tables."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool, text

from app.extensions import db

# One migration at a time, however many hosts start at once; the number is any that nothing else uses.
_LOCK = 7_106_042


def run_migrations() -> None:
    """Bring the schema to the wanted revision, in one transaction."""
    engine = create_engine(current_app.config["DATABASE_OWNER_URL"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata, compare_server_default=False)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()
    engine.dispose()


run_migrations()
