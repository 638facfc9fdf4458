"""Models and migrations say the same, and migrations go both ways."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.script import ScriptDirectory
from flask_migrate import downgrade, upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from app import create_app
from app.demo.service import load_demo
from app.extensions import db, redis
from app.settings import Settings
from tests.conftest import database_of_its_own

ROOT = Path(__file__).parents[2]

# What a schema is made of, each with the table it belongs to, as PostgreSQL itself spells it.
COLUMNS = """
SELECT table_name, format('%s.%s %s %s %s', table_name, column_name, udt_name, is_nullable,
    coalesce(regexp_replace(column_default, '::\\w+', '', 'g'), ''))
FROM information_schema.columns WHERE table_schema = 'public'
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, format('%s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x')
"""
# A table's parts belong to it: its model speaks of the whole.
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
# The schema's version, and what the search keeps for itself: written and asked in SQL alone.
WITHOUT_MODEL = {"alembic_version", "book_search", "search_words", "search_deletions"}
INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"


def schema_of(engine: Engine) -> dict[str, set[str]]:
    """Columns, constraints and indexes of the tables that have a model; and the names of all tables."""
    with engine.connect() as connection:
        parts = {
            what: {
                definition
                for table, definition in connection.execute(text(question))
                if table.strip('"') in db.metadata.tables
            }
            for what, question in (("columns", COLUMNS), ("constraints", CONSTRAINTS), ("indexes", INDEXES))
        }
        return {**parts, "tables": set(connection.scalars(text(TABLES)))}


@contextmanager
def scratch(environment: dict[str, str], name: str) -> Iterator[Engine]:
    """An empty database, with an app over it entered."""
    with database_of_its_own(environment, f"library_{name}_{os.getpid()}") as own:
        settings = Settings.from_environment(own)
        engine = create_engine(settings.database_owner_url, poolclass=NullPool)
        with create_app(settings).app_context():
            yield engine
            redis.client.flushdb()
            db.session.remove()
            for each in db.engines.values():
                each.dispose()


def test_models_and_migrations_agree(environment: dict[str, str]) -> None:
    with scratch(environment, "by_migrations") as engine:
        upgrade()
        migrated = schema_of(engine)
    with scratch(environment, "by_models") as engine:
        db.metadata.create_all(engine)
        modelled = schema_of(engine)

    for what in ("columns", "constraints", "indexes"):
        assert migrated[what] == modelled[what], (
            f"Write a migration, or mend the model. {what.title()}"
            f"\n  in migrations only: {sorted(migrated[what] - modelled[what])}"
            f"\n  in models only: {sorted(modelled[what] - migrated[what])}"
        )
    assert migrated["tables"] - modelled["tables"] == WITHOUT_MODEL, "Write a model, or say in WITHOUT_MODEL why not."


def test_migrations_go_up_and_down_and_up(environment: dict[str, str]) -> None:
    with scratch(environment, "up_and_down") as engine:
        upgrade()
        first = schema_of(engine)
        downgrade(revision="base")
        left = schema_of(engine)["tables"]
        upgrade()
        again = schema_of(engine)

    assert left == {"alembic_version"}, f"Let downgrade() drop these as well: {sorted(left)}"
    assert again == first, "Downgrading leaves something behind that upgrading meets again."


def test_migrations_go_down_from_a_filled_database_and_up_again(environment: dict[str, str]) -> None:
    with scratch(environment, "filled"):
        upgrade()
        books = load_demo()
        downgrade(revision="base")
        upgrade()

        assert load_demo() == books > 0, "Of what was there before, something is left, or the tables are others."


def test_migrations_stand_by_themselves() -> None:
    scripts = [*(ROOT / "migrations/versions").glob("*.py"), ROOT / "migrations/walls.py"]
    living = [script.name for script in scripts if re.search(r"^(from|import) app\b", script.read_text(), re.MULTILINE)]

    assert not living, f"What these import changes, and with it the past; put a copy into migrations/: {living}"


def test_migrations_are_one_line() -> None:
    directory = ScriptDirectory(str(ROOT / "migrations"))

    revisions = [script.revision for script in directory.walk_revisions()]
    assert revisions[::-1] == [f"{number:04d}" for number in range(1, len(revisions) + 1)], "Number them in one line."
