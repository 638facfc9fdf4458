"""Clients that keep the server waiting: they cost it nothing that others need."""

from __future__ import annotations

import time
from contextlib import ExitStack

import psutil
import pytest

from tests.bytes.conftest import THREADS, Site
from tests.bytes.impatient import GRACE_SECONDS

pytestmark = pytest.mark.timeout(60)

BOOK = b'{"title": "Waves", "authors": [{"name": "Virginia"}]}'


def test_two_hundred_silent_senders_keep_nobody_waiting(site: Site) -> None:
    begun = time.monotonic()
    with ExitStack() as stack:
        silent = [stack.enter_context(site.wire()) for _ in range(200)]
        for wire in silent:
            wire.send(site.post("Content-Length: 100") + '{"title": ')

        assert all(site.answers() for _ in range(3))
        assert time.monotonic() - begun < 8  # none of them has been waited for
        refused = [wire.reply() for wire in silent]

        assert {reply.status for reply in refused} == {408}
        assert {reply.headers["content-type"] for reply in refused} == {"application/problem+json"}
        assert {reply.json["code"] for reply in refused} == {"request_timeout"}
        assert {reply.headers["connection"] for reply in refused} == {"close"}
        assert all(wire.is_closed() for wire in silent)
    assert site.answers()
    assert "Traceback" not in site.log.read_text()


def test_of_many_overdue_bodies_the_last_is_told_in_time(site: Site) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(site.wire()) for _ in range(400)]
        for wire in silent:
            wire.send(site.post("Content-Length: 100"))
        sent_at = time.monotonic()
        assert {wire.reply().status for wire in silent} == {408}

    # 400 pauses of five milliseconds, one after the other, would be two seconds more.
    assert time.monotonic() - sent_at < GRACE_SECONDS + 2


def test_a_refusal_for_slowness_has_the_request_id(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post("Content-Length: 100", "X-Request-ID: slow-client-1"))
        reply = wire.reply()

    assert reply.json == {
        "type": "/docs/errors#request_timeout",
        "title": "Request Timeout",
        "status": 408,
        "detail": "The request's body did not arrive in time.",
        "code": "request_timeout",
        "request_id": "slow-client-1",
    }
    assert reply.headers["x-request-id"] == "slow-client-1"


def test_a_body_that_drips_is_refused_in_time(site: Site) -> None:
    begun = time.monotonic()
    with site.wire() as wire:
        wire.send(site.post("Content-Length: 1000000"))
        while time.monotonic() - begun < GRACE_SECONDS - 0.5:
            wire.send(b" ")
            time.sleep(0.1)
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert time.monotonic() - begun < GRACE_SECONDS + 5


def test_a_chunked_body_that_never_ends_is_refused(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post("Transfer-Encoding: chunked") + "5\r\n     \r\n")
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (408, "request_timeout")


def test_a_slow_body_that_comes_in_time_is_taken(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(BOOK)}"))
        for byte in BOOK:
            wire.send(bytes([byte]))
            time.sleep(0.01)
        reply = wire.reply()

    assert (reply.status, reply.json["title"]) == (201, "Waves")


def test_silent_connections_cost_no_thread(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            wire = stack.enter_context(site.wire())
            wire.send(site.post("Content-Length: 100"))
        for _ in range(100):
            stack.enter_context(site.wire())
        assert site.answers()
        worker = psutil.Process(site.pid).children(recursive=True)[-1]

        # The pool, the server's own few, and the watchman.
        assert worker.num_threads() <= THREADS + 10


def test_a_head_that_drips_is_given_up(site: Site) -> None:
    with site.wire() as wire:
        wire.send("GET /health/live HTTP/1.1\r\nHost: library\r\n")

        assert wire.is_closed()


def test_a_connection_that_says_nothing_is_closed(site: Site) -> None:
    with site.wire() as wire:
        assert wire.is_closed()


def test_clients_that_never_read_keep_nobody_waiting(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(site.wire())
            wire.send(site.head("GET", "/openapi.json") * 20)

        assert all(site.answers() for _ in range(3))
    assert site.answers()
