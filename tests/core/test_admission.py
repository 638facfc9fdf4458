"""The gate in processes that no request comes to, and with commits that cross each other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from redis.connection import ConnectionPool
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core.admission import RETRY_SECONDS, Gate
from app.core.cache import Generation, generation_key, touch
from app.core.logging import SeldomWarning
from app.core.tenancy import tenant
from app.extensions import PatientRedis, redis
from deploy.local.engines import Engines
from tests.core.conftest import LogLines
from tests.core.probes import Probes
from tests.local_stack.processes import wait_until


def test_a_process_without_requests_tells_redis_of_its_commits(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    web, worker = make_breakable_app(), make_breakable_app()
    library = Probes(web).library("told-by-a-worker")
    breakable.stop_redis()
    try:
        with worker.app_context(), tenant(library.id):
            touch(Generation.CATALOGUE)
            touch(Generation.ACCESS)
            # Long enough for tries that fail.
            time.sleep(2.5 * RETRY_SECONDS)
    finally:
        breakable.start_redis()

    with web.app_context():
        keys = [generation_key(library.id, each) for each in (Generation.CATALOGUE, Generation.ACCESS)]
        assert wait_until(lambda: redis.client.exists(*keys) == len(keys), timeout_seconds=10)


class CrossedConnection:
    """Tells the first move, while another is made, which Redis does not hear of."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self.sent: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def send_command(self, name: str, *_: object) -> None:
        """Note the command."""
        self.sent.append(name)

    def read_response(self) -> object:
        """Answer; the first command's answer comes only after another commit, the second's not in time."""
        if len(self.sent) == 1:
            commit = threading.Thread(target=self.meanwhile)
            commit.start()
            commit.join(5)
        elif len(self.sent) == 2:
            raise RedisTimeoutError
        return [0, b"0"]

    def disconnect(self) -> None:
        """Nothing is connected."""


class CrossedPool(ConnectionPool):
    """Gives out that connection."""

    def __init__(self) -> None:
        """Make it."""
        super().__init__()
        self.crossed = CrossedConnection()

    def make_connection(self) -> Any:
        """The connection."""
        return self.crossed


def test_a_move_that_comes_while_another_is_told_is_not_forgotten() -> None:
    pool = CrossedPool()
    gate = Gate(PatientRedis(connection_pool=pool), processes=1)
    pool.crossed.meanwhile = lambda: gate.move("generation")

    gate.move("generation")
    gate.ask([])

    assert pool.crossed.sent == ["SET", "SET", "SET", "EVALSHA"]


def test_that_redis_is_away_is_logged_once_a_second(
    make_breakable_app: Callable[..., Flask], breakable: Engines, request: pytest.FixtureRequest
) -> None:
    library = Probes(make_breakable_app()).library("quiet")
    # Making an app sets up logging anew, so that these come after it.
    log_lines: LogLines = request.getfixturevalue("log_lines")
    library.get("/probes/plain")
    breakable.stop_redis()
    try:
        library.post("/probes/touched")
        began = time.monotonic()
        asked = sum(library.get("/probes/plain").status_code == 200 for _ in range(40))
        seconds = time.monotonic() - began
    finally:
        breakable.start_redis()

    assert asked == 40
    for event in ("redis.away", "cache.touch_delayed"):
        assert 1 <= len(log_lines.all(event)) <= 3 + seconds, event


def test_a_warning_that_is_seldom_logged_tells_how_many_there_were(log_lines: LogLines) -> None:
    warn = SeldomWarning(logging.getLogger("tests"), "it.happened")
    warn.EVERY_SECONDS = 0.2
    for number in range(5):
        warn(number=number)
    time.sleep(0.25)
    warn(number=5)

    assert [(line["number"], line["unlogged"]) for line in log_lines.all("it.happened")] == [(0, 0), (5, 4)]
