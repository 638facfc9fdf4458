"""Streams of stock whose server dies, or whose database is restarted, on engines of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from flask_migrate import upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from app import create_app
from app.settings import Settings
from deploy.local import engines
from deploy.local.engines import Engines
from tests.bytes.conftest import Site, serving
from tests.bytes.test_streams import LINE, sent, stored, wait_for, workers
from tests.conftest import TEST_ENVIRONMENT

pytestmark = pytest.mark.timeout(180)

MANY = 1_000_000


@pytest.fixture(scope="module")
def breakable() -> Iterator[Engines]:
    """A PostgreSQL and a Redis of these tests' own."""
    with engines.start_temporary() as started:
        yield started


@pytest.fixture(scope="module")
def owner(breakable: Engines) -> Iterator[Engine]:
    """That PostgreSQL as the tables' owner, whose connections don't outlive a question."""
    engine = create_engine(breakable.database_superuser_url or breakable.database_owner_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def site(breakable: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server over them."""
    environment = {**TEST_ENVIRONMENT, **breakable.environment()}
    with create_app(Settings.from_environment(environment)).app_context():
        upgrade()
    with serving(environment, tmp_path_factory.mktemp("web") / "log") as found:
        yield found


@pytest.fixture(autouse=True)
def no_stock_before(site: Site, owner: Engine) -> Iterator[None]:
    """Each test begins without any."""
    yield
    with owner.begin() as connection:
        connection.execute(text("TRUNCATE inventory_updates"))


def test_postgresql_restarted_in_mid_stream_is_told_at_once(site: Site, owner: Engine, breakable: Engines) -> None:
    body = LINE * MANY
    with site.wire(seconds=60) as wire:
        wire.send(site.stream(f"Content-Length: {len(body)}", "Idempotency-Key: restarted"))
        wire.send(body)
        wait_for(lambda: _is_writing(owner))
        breakable.restart_postgres()
        began = time.monotonic()
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (503, "database_unavailable")
    assert time.monotonic() - began < 5
    assert stored(owner) == 0
    wait_for(site.answers)
    again = sent(site, body, "Idempotency-Key: restarted")
    assert (again.status, "idempotent-replayed" in again.headers) == (201, False)
    assert stored(owner) == MANY


def test_postgresql_restarted_while_lines_come_in_hinders_nobody(site: Site, owner: Engine, breakable: Engines) -> None:
    with site.wire(seconds=30) as wire:
        wire.send(site.stream(f"Content-Length: {2 * len(LINE)}", "Expect: 100-continue"))
        # It was let in.
        assert [wire.line(), wire.line()] == ["HTTP/1.1 100 Continue", ""]
        wire.send(LINE)
        breakable.restart_postgres()
        wire.send(LINE)

        assert wire.reply().status == 201
    assert stored(owner) == 2


def test_a_process_killed_in_mid_stream_leaves_nothing(site: Site, owner: Engine) -> None:
    body = LINE * MANY
    with site.wire(seconds=60) as wire:
        wire.send(site.stream(f"Content-Length: {len(body)}", "Idempotency-Key: killed"))
        wire.send(body)
        wait_for(lambda: _is_writing(owner))
        for worker in workers(site):
            os.kill(worker.pid, signal.SIGKILL)
        wait_for(wire.is_closed)
    wait_for(lambda: not _is_writing(owner))

    assert stored(owner) == 0
    # The server has another process by now.
    wait_for(lambda: _answers(site), seconds=60)
    again = sent(site, LINE, "Idempotency-Key: killed")
    assert again.status == 201


def _is_writing(owner: Engine) -> bool:
    with owner.connect() as connection:
        found = text(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND state <> 'idle'"
            " AND query LIKE 'INSERT INTO inventory_updates %'"
        )
        return bool(connection.scalar(found))


def _answers(site: Site) -> bool:
    try:
        return site.answers()
    except OSError:
        return False
