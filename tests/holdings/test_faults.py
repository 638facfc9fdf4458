"""A synchronisation that is cut off half-way: the collection is as it was, or as it was to be, and books count that.

A lock on a book's row holds the synchronisation up where its items are written and its counts are not. Whatever is then
ended is a real process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import requests
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from app import create_app
from app.extensions import db, redis
from app.settings import Settings
from app.tenants import service as tenants
from bench.dataset import isbn13
from bench.stack import free_port, wait_for
from deploy.local.engines import Engines
from deploy.local.processes import Account, spawn, stop
from tests.conftest import Library, empty
from tests.holdings.recount import wrong_counts
from tests.holdings.shelf import Shelf, make_book
from tests.ingestion.conftest import wait_until

pytestmark = pytest.mark.timeout(90)

PROJECT = Path(__file__).resolve().parents[2]
OLD = {isbn13(number): 1 for number in range(3000)}
NEW = {isbn13(number): 2 for number in range(1000, 4000)}
# The last that is written: all other items are there when its book is come to.
LAST = isbn13(3999)


@dataclass
class Scene:
    """A collection with the old state in it, and a web server that is asked for the new one."""

    app: Flask
    owner: Engine
    # Who may see what others ask for.
    superuser: Engine
    server: subprocess.Popen[bytes]
    address: str
    shelf: Shelf
    book: str

    @property
    def url(self) -> str:
        """Where the items are."""
        return f"{self.address}/api/v1/tenants/{self.shelf.library.slug}{self.shelf.path}/items"

    @property
    def headers(self) -> dict[str, str]:
        """What the library management system sends along."""
        key = self.shelf.library.key("lms")
        return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, feed: dict[str, int] = NEW) -> requests.Response:
        """Ask for the new state."""
        return requests.put(self.url, data=body_of(feed), headers=self.headers, timeout=60)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Keep the counts of the last item's book from being written while the block runs."""
        with self.owner.connect() as connection, connection.begin():
            connection.execute(
                text("SELECT FROM books WHERE tenant_id = :tenant AND id = :book FOR UPDATE"),
                {"tenant": self.shelf.library.id, "book": self.book},
            )
            yield

    def is_half_way(self) -> bool:
        """True where a synchronisation waits for that book, its items written."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :query"
        with self.superuser.connect() as connection:
            return bool(connection.scalar(text(waiting), {"query": "INSERT INTO collection_items%"}))

    def holds(self) -> dict[str, int]:
        """What is really stored."""
        with self.owner.connect() as connection:
            rows = connection.execute(text("SELECT isbn, copies_total FROM collection_items"))
            return {row.isbn: row.copies_total for row in rows}


def body_of(feed: dict[str, int]) -> bytes:
    return orjson.dumps({"items": [{"isbn": isbn, "copies_total": number} for isbn, number in feed.items()]})


@pytest.fixture
def scene(prepared: dict[str, str], servers: Engines, tmp_path: Path) -> Iterator[Scene]:
    """The old state, and a web server."""
    app = create_app(Settings.from_environment(prepared))
    owner = create_engine(Settings.from_environment(prepared).database_owner_url, poolclass=NullPool)
    with app.app_context():
        tenant_id = tenants.create_tenant(slug="riverside", name="Riverside", kind="library").id
        db.session.remove()
    shelf = Shelf.put_up(Library(app, "riverside", tenant_id))
    make_book(shelf.library, "In both", isbn13(1500))
    book = make_book(shelf.library, "In the new one", LAST)
    assert shelf.put(*({"isbn": isbn, "copies_total": number} for isbn, number in OLD.items())).status_code == 200
    with web_server(prepared, tmp_path / "web.log") as (server, address):
        superuser = create_engine(str(servers.database_superuser_url), poolclass=NullPool)
        yield Scene(app, owner, superuser, server, address, shelf, book)
    wait_until(lambda: is_quiet(superuser), seconds=20, what="the end of what the application asked for")
    empty(owner)
    with app.app_context():
        db.session.remove()
        redis.client.flushdb()
        for engine in db.engines.values():
            engine.dispose()


@contextmanager
def web_server(environment: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The library's own web server."""
    port = free_port()
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "web_server.py", "--port", str(port), "--processes", "1", "--threads", "2"],
            environment={"PATH": os.environ.get("PATH", os.defpath), **environment},
            output=output,
            death_signal=signal.SIGKILL,
            account=Account(uid=None, gid=None),
            folder=PROJECT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live", log)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        stop(process, by=signal.SIGTERM, timeout_seconds=20)


def is_quiet(superuser: Engine) -> bool:
    """True where nothing of the application is under way in PostgreSQL."""
    question = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND state <> 'idle'"
    with superuser.connect() as connection:
        return not connection.scalar(text(question))


@contextmanager
def sent(scene: Scene) -> Iterator[Future[requests.Response]]:
    """The new state, on its way and half-way there while the block runs."""
    with ThreadPoolExecutor(1) as threads, scene.held_up():
        answer = threads.submit(scene.send)
        wait_until(scene.is_half_way, seconds=30, what="a synchronisation that is half-way")
        yield answer


def test_the_feed_is_taken_when_nothing_comes_between(scene: Scene) -> None:
    with sent(scene) as answer:
        held = scene.holds()

    assert answer.result().json() == {"added": 1000, "updated": 2000, "removed": 1000, "unchanged": 0, "rejected": []}
    assert held == OLD
    assert scene.holds() == NEW
    assert not wrong_counts(scene.owner)


def test_a_killed_web_server_leaves_the_old_state_and_the_feed_can_be_sent_again(
    scene: Scene, prepared: dict[str, str], tmp_path: Path
) -> None:
    with sent(scene) as answer:
        os.killpg(scene.server.pid, signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            answer.result(30)
    wait_until(lambda: is_quiet(scene.superuser), seconds=20, what="the end of the connection that was left behind")

    left = scene.holds()
    with web_server(prepared, tmp_path / "second.log") as (_, address):
        scene.address = address
        again = scene.send()

    assert left == OLD
    assert again.status_code == 200
    assert scene.holds() == NEW
    assert not wrong_counts(scene.owner)


def test_a_restarted_postgresql_leaves_the_old_state_and_the_feed_can_be_sent_again(
    scene: Scene, servers: Engines
) -> None:
    # The lock's own connection goes as well.
    with contextlib.suppress(Exception), sent(scene) as answer:
        servers.restart_postgres()
    refused = answer.result(30)

    wait_until(lambda: answers(scene.owner), seconds=10, what="an answer of the restarted database")
    left, wrong = scene.holds(), wrong_counts(scene.owner)
    again = scene.send()

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert (left, wrong) == (OLD, [])
    assert again.status_code == 200
    assert scene.holds() == NEW
    assert not wrong_counts(scene.owner)


def answers(owner: Engine) -> bool:
    """True where PostgreSQL answers."""
    with contextlib.suppress(Exception), owner.connect() as connection:
        return bool(connection.scalar(text("SELECT 1")))
    return False


def test_a_client_that_went_away_half_way_finds_the_new_state(scene: Scene) -> None:
    body = body_of(NEW)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**scene.headers, "Host": "x"}.items())
    path = scene.url.removeprefix(scene.address)
    request = f"PUT {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    port = int(scene.address.rpartition(":")[2])

    with scene.held_up():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            wait_until(scene.is_half_way, seconds=30, what="a synchronisation that is half-way")
        held = scene.holds()
    wait_until(lambda: scene.holds() != OLD, seconds=20, what="the end of the synchronisation")

    assert held == OLD
    assert scene.holds() == NEW
    assert not wrong_counts(scene.owner)


def test_a_feed_of_which_the_end_never_came_changes_nothing(scene: Scene) -> None:
    body = body_of(NEW)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**scene.headers, "Host": "x"}.items())
    path = scene.url.removeprefix(scene.address)
    request = f"PUT {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2]
    port = int(scene.address.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)

    assert scene.holds() == OLD
