"""Libraries that are filled past the application, for questions whose plans show only among many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app import create_app
from app.extensions import db, redis
from app.settings import Settings
from tests.conftest import empty
from tests.explained import nodes


@contextmanager
def app_over(environment: Mapping[str, str], owner: Engine, *, tables: Iterable[str]) -> Iterator[Flask]:
    """The app, when PostgreSQL has looked over `tables`, which were just filled; all is emptied afterwards."""
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM (ANALYZE) {', '.join(tables)}"))
    app = create_app(Settings.from_environment(environment))
    yield app
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
        redis.client.flushdb()
    empty(owner)


def assert_frugal(plan: dict[str, Any], *, most: int) -> None:
    """No table is read through, and fewer than `most` blocks are touched."""
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < most
