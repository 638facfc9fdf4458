"""Whether the application's statements name the tenant.

Row-level security would give them the right rows without it: it is the net, and not the plan. A statement that leans
on it alone reads every tenant's rows where somebody forgets a wall. So all statements of all tests are looked at; those
that tests write themselves are left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from psycopg2.extensions import cursor
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.core.tenancy import OUTSIDE_ROW_LEVEL_SECURITY
from app.extensions import db

ROOT = Path(__file__).parents[1]
_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+(\w+)")
_NAMED = re.compile(r"\btenant_id\s*(?:=|IN\b)")

unnamed: list[str] = []
_listening: list[list[str]] = []


@contextmanager
def sent_statements() -> Iterator[list[str]]:
    """Collects the statements that are sent within the block, on whichever connection and by whichever thread."""
    sent: list[str] = []
    _listening.append(sent)
    try:
        yield sent
    finally:
        _listening[:] = [each for each in _listening if each is not sent]


@event.listens_for(Engine, "connect")
def _look_at_statements(connection: Any, _: object) -> None:
    connection.cursor_factory = _LookingCursor


class _LookingCursor(cursor):
    """Sends every statement, and notes those of the application that leave the tenant to row-level security."""

    def execute(self, query: Any, parameters: Any = None) -> None:
        """Send one."""
        for sent in _listening:
            sent.append(str(query))
        if isinstance(query, str | bytes) and leaves_it_to_the_wall(query):
            place = _place(sys._getframe())
            if place.startswith("app/"):
                unnamed.append(f"{place}: {query!r}")
        super().execute(query, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Send one that takes or gives rows."""
        for sent in _listening:
            sent.append(str(sql))
        super().copy_expert(sql, file, size)


@cache
def leaves_it_to_the_wall(query: str | bytes) -> bool:
    """True where a query is about rows of tenants and does not say which."""
    text = query.decode() if isinstance(query, bytes) else query
    tables = {name for name, table in db.metadata.tables.items() if "tenant_id" in table.columns}
    return bool((tables - set(OUTSIDE_ROW_LEVEL_SECURITY)) & set(_TABLE.findall(text))) and not _NAMED.search(text)


def _place(frame: FrameType | None) -> str:
    """Where in this repository a statement comes from, past the ways that all statements take."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        ours = path.is_relative_to(ROOT) and ".venv" not in path.parts
        if ours and path not in {Path(__file__), ROOT / "app/core/database.py"}:
            return f"{path.relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
