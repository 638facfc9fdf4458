"""A library with servers of its own, for tests in which a request is cut off half-way.

A lock holds the request up where some of its rows are written and some are not. Whatever is then ended is a real
process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from app import create_app
from app.extensions import db, redis
from app.settings import Settings
from app.tenants import service as tenants
from bench.stack import free_port, wait_for
from deploy.local.engines import Engines
from deploy.local.processes import Account, spawn, stop
from tests.conftest import Library, empty
from tests.ingestion.conftest import wait_until

_PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Obstacle:
    """A lock on what a request needs, and words of the statement that then waits for it."""

    lock: str
    statement: str


@dataclass
class Stage:
    """A library, the servers beneath it, and its web server."""

    library: Library
    engines: Engines
    owner: Engine
    # Who may see what others ask for.
    superuser: Engine
    server: subprocess.Popen[bytes]
    address: str

    def url(self, path: str) -> str:
        """Where something of the library's is."""
        return f"{self.address}/api/v1/tenants/{self.library.slug}{path}"

    @contextmanager
    def held_up(self, by: Obstacle, **values: Any) -> Iterator[None]:
        """Put an obstacle in the way of requests while the block runs."""
        with self.owner.connect() as connection, connection.begin():
            connection.execute(text(by.lock), values)
            yield

    @contextmanager
    def half_way(
        self, send: Callable[[], requests.Response], *, by: Obstacle, **values: Any
    ) -> Iterator[Future[requests.Response]]:
        """Have a request on its way, and half-way there while the block runs."""
        with ThreadPoolExecutor(1) as threads, self.held_up(by, **values):
            answer = threads.submit(send)
            self.wait_until_half_way(by)
            yield answer

    def wait_until_half_way(self, by: Obstacle) -> None:
        """Wait for a request to come to the obstacle."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :query"

        def is_there() -> bool:
            with self.superuser.connect() as connection:
                return bool(connection.scalar(text(waiting), {"query": f"%{by.statement}%"}))

        wait_until(is_there, seconds=30, what="a request that is half-way")

    def wait_until_quiet(self) -> None:
        """Wait for the end of all that the application has asked PostgreSQL for."""
        busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND state <> 'idle'"

        def is_quiet() -> bool:
            with self.superuser.connect() as connection:
                return not connection.scalar(text(busy))

        wait_until(is_quiet, seconds=20, what="the end of what the application asked for")

    def kill_server(self) -> None:
        """End the web server without a warning."""
        os.killpg(self.server.pid, signal.SIGKILL)

    def restart_postgres(self) -> None:
        """End every connection, and wait until PostgreSQL answers again."""
        self.engines.restart_postgres()

        def answers() -> bool:
            with contextlib.suppress(Exception), self.owner.connect() as connection:
                return bool(connection.scalar(text("SELECT 1")))
            return False

        wait_until(answers, seconds=10, what="an answer of the restarted database")


@contextmanager
def staged(environment: dict[str, str], engines: Engines, log: Path) -> Iterator[Stage]:
    """A new library on these engines; what is written is deleted at the end."""
    app = create_app(Settings.from_environment(environment))
    owner = create_engine(app.extensions["settings"].database_owner_url, poolclass=NullPool)
    superuser = create_engine(str(engines.database_superuser_url), poolclass=NullPool)
    with app.app_context():
        tenant_id = tenants.create_tenant(slug="riverside", name="Riverside", kind="library").id
        db.session.remove()
    with web_server(environment, log) as (server, address):
        stage = Stage(Library(app, "riverside", tenant_id), engines, owner, superuser, server, address)
        yield stage
    stage.wait_until_quiet()
    empty(owner)
    with app.app_context():
        db.session.remove()
        redis.client.flushdb()
        for engine in db.engines.values():
            engine.dispose()


@contextmanager
def web_server(environment: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A web server as it is run, and its address."""
    port = free_port()
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "web_server.py", "--port", str(port), "--processes", "1", "--threads", "2"],
            environment={"PATH": os.environ.get("PATH", os.defpath), **environment},
            output=output,
            death_signal=signal.SIGKILL,
            account=Account(uid=None, gid=None),
            folder=_PROJECT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live", log)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        stop(process, by=signal.SIGTERM, timeout_seconds=20)


def sent_by_hand(method: str, url: str, headers: Mapping[str, str], body: bytes) -> socket.socket:
    """A connection on which a request with this body, or with half of it, was sent, and no answer read."""
    parts = urlsplit(url)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Host": "x"}.items())
    connection = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
    connection.sendall(f"{method} {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return connection
