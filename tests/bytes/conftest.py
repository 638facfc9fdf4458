"""A web server in processes of its own, over the tests' database, and a tenant with a key."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
import pytest
import requests
from flask import Flask
from sqlalchemy.engine import Engine

from app import create_app
from app.core.security import SYSTEM, acting_as
from app.extensions import db, redis
from app.settings import Settings
from app.tenants import service as tenants
from deploy.local.processes import Account, spawn, stop
from tests.bytes.wire import Wire
from tests.conftest import empty, make_key

PROJECT = Path(__file__).resolve().parents[2]
THREADS = 2


@dataclass
class Site:
    """A running server, and what it takes to be let in."""

    port: int
    pid: int
    key: str
    # Of who writes stock.
    stock_key: str
    log: Path
    # The same application, beside the server.
    app: Flask
    tenant_id: UUID

    @property
    def books(self) -> str:
        """The address of the tenant's books."""
        return "/api/v1/tenants/quayside/books"

    def wire(self, *, seconds: float = 10.0) -> Wire:
        """A connection."""
        return Wire(self.port, seconds=seconds)

    def head(self, method: str, path: str, *headers: str) -> str:
        """The head of a request with a key."""
        lines = [f"{method} {path} HTTP/1.1", "Host: library", f"Authorization: Bearer {self.key}", *headers]
        return "\r\n".join(lines) + "\r\n\r\n"

    def stream(self, *headers: str, key: str | None = None) -> str:
        """The head of a POST of stock as lines."""
        lines = ["POST /api/v1/tenants/quayside/inventory/updates HTTP/1.1", "Host: library"]
        lines += [f"Authorization: Bearer {key or self.stock_key}", "Content-Type: application/x-ndjson", *headers]
        return "\r\n".join(lines) + "\r\n\r\n"

    def post(self, *headers: str, path: str | None = None) -> str:
        """The head of a POST of a book."""
        return self.head("POST", path or self.books, "Content-Type: application/json", *headers)

    def answers(self) -> bool:
        """Whether others are served: a list, and a book that is made, each on a connection of its own."""
        url, signed = f"http://127.0.0.1:{self.port}{self.books}", {"Authorization": f"Bearer {self.key}"}
        book = {"title": "Waves", "authors": [{"name": "Virginia"}]}
        listed = requests.get(url, headers=signed, timeout=8)
        made = requests.post(url, json=book, headers=signed, timeout=8)
        return (listed.status_code, made.status_code) == (200, 201)


@pytest.fixture(scope="module")
def site(migrated: dict[str, str], owner: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server, with less patience than the real one; it is gone at the end, and so is what it wrote."""
    with serving(migrated, tmp_path_factory.mktemp("web") / "log") as found:
        yield found
    empty(owner)


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[Site]:
    """The server over these migrated engines, with a tenant."""
    app = create_app(Settings.from_environment(environment))
    with app.app_context(), acting_as(SYSTEM):
        tenant = tenants.create_tenant(slug="quayside", name="Quayside", kind="library")
        db.session.remove()
        key, stock_key = (make_key(app, tenant.id, role) for role in ("librarian", "lms"))
    port = _free_port()
    environment = {"PATH": os.environ.get("PATH", os.defpath), **environment, "WEB_THREADS": str(THREADS)}
    options = ["--port", str(port), "--processes", "1", "--threads", str(THREADS), "--log-level", "warning"]
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "-m", "tests.bytes.impatient", *options],
            environment=environment,
            output=output,
            death_signal=signal.SIGTERM,
            account=Account(uid=None, gid=None),
            folder=PROJECT,
        )
    try:
        found = Site(port, process.pid, key=key, stock_key=stock_key, log=log, app=app, tenant_id=tenant.id)
        _wait_until_open(found)
        yield found
    finally:
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        ended = stop(process, by=signal.SIGTERM, timeout_seconds=20)
        for worker in psutil.wait_procs(workers, timeout=0)[1]:
            worker.kill()
        with app.app_context():
            redis.client.flushdb()
            for engine in db.engines.values():
                engine.dispose()
    assert ended, log.read_text()


def _wait_until_open(site: Site) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{site.port}/health/live", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(site.log.read_text()[-3000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
