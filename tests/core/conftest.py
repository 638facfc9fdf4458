"""Fixtures for the core: servers that may be stopped, and the lines of the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade

from app import create_app
from app.core.logging import JsonFormatter
from app.extensions import celery, db
from app.settings import Settings
from deploy.local import engines
from deploy.local.engines import Engines
from tests.conftest import TEST_ENVIRONMENT
from tests.documented import DocumentedClient


class LogLines:
    """What was logged, line by line, as it would have been written."""

    def __init__(self) -> None:
        """Begin with none."""
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        """All lines as one text."""
        return self.stream.getvalue()

    def all(self, event: str | None = None) -> list[dict[str, Any]]:
        """All lines, or those of one event."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if event in (None, line["event"])]


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """What is logged from here on."""
    lines = LogLines()
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def breakable() -> Iterator[Engines]:
    """A PostgreSQL and a Redis of these tests' own, which may be stopped and started."""
    with engines.start_temporary() as started:
        with create_app(Settings.from_environment({**TEST_ENVIRONMENT, **started.environment()})).app_context():
            upgrade()
        yield started


def forget_broker() -> None:
    """Let Celery, of which a process has one, connect anew to the broker of the app made last."""
    celery._after_fork()  # type: ignore[attr-defined]  # what it does in a new process


@pytest.fixture
def make_breakable_app(breakable: Engines) -> Iterator[Callable[..., Flask]]:
    """Makes apps on those servers."""
    made: list[Flask] = []

    def make(**changes: str) -> Flask:
        made.append(create_app(Settings.from_environment({**TEST_ENVIRONMENT, **breakable.environment(), **changes})))
        made[-1].test_client_class = DocumentedClient
        forget_broker()
        return made[-1]

    yield make
    forget_broker()
    for app in made:
        with app.app_context():
            db.session.remove()
            for engine in db.engines.values():
                engine.dispose()
