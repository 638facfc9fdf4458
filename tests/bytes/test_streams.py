"""Lines of stock without a limit: however they come, all are written or none, and nobody waits for them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.auth import service as auth
from app.core.tenancy import tenant as as_tenant
from app.pipeline.gateway import STREAMS_OF_ONE
from tests.bytes.conftest import THREADS, Site
from tests.bytes.impatient import GRACE_SECONDS
from tests.bytes.wire import Reply

pytestmark = pytest.mark.timeout(180)

LINE = b'{"product_id":"SKU-1","quantity":3,"timestamp":"2026-11-01T12:00:00Z"}\n'
MEGABYTE = 1024 * 1024
# More than is held in memory of any body.
MANY = 300_000


def stored(owner: Engine) -> int:
    """How many updates there are."""
    with owner.connect() as connection:
        found: int = connection.scalar(text("SELECT count(*) FROM inventory_updates"))
        return found


@pytest.fixture(autouse=True)
def no_stock_before(site: Site, owner: Engine) -> Iterator[None]:
    """Each test begins without any."""
    yield
    with owner.begin() as connection:
        connection.execute(text("TRUNCATE inventory_updates"))


def workers(site: Site) -> list[psutil.Process]:
    """The processes that answer requests."""
    return [
        each
        for each in psutil.Process(site.pid).children(recursive=True)
        if "resource_tracker" not in str(each.cmdline())
    ]


def spooled(site: Site) -> int:
    """How many files without a name the server has open."""
    found = 0
    for worker in workers(site):
        for link in Path(f"/proc/{worker.pid}/fd").iterdir():
            try:
                found += link.readlink().name.endswith("(deleted)") and "/dev/" not in str(link.readlink())
            except OSError:
                continue
    return found


def sent(site: Site, body: bytes, *headers: str) -> Reply:
    """The answer to a stream that is sent in one go."""
    with site.wire(seconds=120) as wire:
        wire.send(site.stream(f"Content-Length: {len(body)}", *headers) + "")
        wire.send(body)
        return wire.reply()


def test_more_than_any_other_body_may_have_is_taken_in_little_memory(site: Site, owner: Engine) -> None:
    assert sent(site, LINE * 10).json == {"inserted": 10}
    before = max(worker.memory_info().rss for worker in workers(site))
    most = [before]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            most.append(max(worker.memory_info().rss for worker in workers(site)))

    watching = threading.Thread(target=watch)
    watching.start()
    reply = sent(site, LINE * MANY)
    over.set()
    watching.join()

    assert (reply.status, reply.json) == (201, {"inserted": MANY})
    assert stored(owner) == MANY + 10
    assert len(LINE) * MANY > 20 * MEGABYTE
    assert max(most) - before < 60 * MEGABYTE
    assert spooled(site) == 0


def test_chunks_are_taken_as_well(site: Site, owner: Engine) -> None:
    piece = LINE * 500
    with site.wire(seconds=60) as wire:
        wire.send(site.stream("Transfer-Encoding: chunked"))
        for _ in range(600):
            wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        wire.send(b"0\r\n\r\n")

        assert wire.reply().json == {"inserted": 300_000}
    assert stored(owner) == 300_000


def test_a_repeated_stream_is_written_once(site: Site, owner: Engine) -> None:
    body = LINE * MANY
    first, again = (sent(site, body, "Idempotency-Key: once") for _ in range(2))
    other = sent(site, body + LINE, "Idempotency-Key: once")

    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert stored(owner) == MANY


def test_of_two_at_once_with_one_key_one_is_written(site: Site, owner: Engine) -> None:
    replies: list[Reply] = []
    both = [
        threading.Thread(target=lambda: replies.append(sent(site, LINE * MANY, "Idempotency-Key: two"))) for _ in "ab"
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert {reply.status for reply in replies} <= {201, 409}
    assert 201 in {reply.status for reply in replies}
    assert stored(owner) == MANY


def test_a_faulty_line_at_the_end_undoes_all(site: Site, owner: Engine) -> None:
    reply = sent(site, LINE * MANY + b"{}\n")

    assert (reply.status, reply.json["errors"][0]["field"]) == (422, f"lines.{MANY + 1}.product_id")
    assert stored(owner) == 0
    assert spooled(site) == 0


def test_a_line_without_an_end_takes_no_memory(site: Site, owner: Engine) -> None:
    before = max(worker.memory_info().rss for worker in workers(site))
    with site.wire(seconds=60) as wire:
        wire.send(site.stream(f"Content-Length: {100 * MEGABYTE}"))
        for _ in range(100):
            wire.send(b"x" * MEGABYTE)
        reply = wire.reply()

    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "lines.1")
    assert max(worker.memory_info().rss for worker in workers(site)) - before < 60 * MEGABYTE


def test_bytes_that_are_no_text_are_named_by_their_line(site: Site) -> None:
    reply = sent(site, LINE * 3 + LINE.replace(b"SKU", b"\xff\xfe"))

    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "lines.4")


@pytest.mark.parametrize("framing", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_a_stream_cut_off_half_way_writes_nothing(site: Site, owner: Engine, framing: str) -> None:
    piece = LINE * 50_000
    with site.wire() as wire:
        wire.send(site.stream(framing, "Idempotency-Key: cut"))
        wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if "chunked" in framing else piece)
        wire.socket.shutdown(socket.SHUT_WR)

        assert wire.socket.recv(4096).startswith((b"", b"HTTP/1.1 400"))
    for _ in range(5):
        with site.wire() as wire:
            wire.send(site.stream(framing))
            wire.send(piece[: len(piece) // 2])
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: spooled(site) == 0)

    assert stored(owner) == 0
    # Nothing is kept of what was refused.
    assert sent(site, LINE, "Idempotency-Key: cut").status == 201


def test_clients_that_trickle_keep_nobody_waiting(site: Site, owner: Engine) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(site.wire()) for _ in range(STREAMS_OF_ONE)]
        for wire in slow:
            wire.send(site.stream("Content-Length: 1000000"))
            wire.send(LINE[:10])
        time.sleep(0.3)
        with owner.connect() as connection:
            idle = connection.scalar(
                text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND state LIKE 'idle in%'")
            )

        assert idle == 0
        assert all(site.answers() for _ in range(3))
        assert max(worker.num_threads() for worker in workers(site)) <= THREADS + 12
        # One more of the tenant's is too many, and told so before it sends anything.
        with site.wire() as one_more:
            one_more.send(site.stream("Content-Length: 1000000", "Expect: 100-continue"))
            refused = one_more.reply()
        assert (refused.status, refused.json["code"]) == (503, "busy")
        late = [wire.reply() for wire in slow]
    assert {(reply.status, reply.json["code"]) for reply in late} == {(408, "request_timeout")}
    wait_for(lambda: spooled(site) == 0)
    assert sent(site, LINE).status == 201


def test_a_stream_that_begins_fast_and_falls_silent_is_given_up(site: Site, owner: Engine) -> None:
    with site.wire(seconds=20) as wire:
        wire.send(site.stream("Content-Length: 100000000"))
        wire.send(LINE * (20 * MEGABYTE // len(LINE)))
        began = time.monotonic()
        reply = wire.reply()

    # By its pace alone it would have had twenty minutes.
    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert time.monotonic() - began < GRACE_SECONDS + 5
    assert stored(owner) == 0


@pytest.mark.parametrize(
    ("key", "status"), [("lib_0000000000_none", 401), (None, 403)], ids=["nobody", "who only reads"]
)
def test_who_may_not_write_is_told_before_anything_is_sent(site: Site, key: str | None, status: int) -> None:
    with site.wire() as wire:
        wire.send(site.stream("Content-Length: 1000000000", "Expect: 100-continue", key=key or site.key))
        reply = wire.reply()

    assert (reply.status, "x-request-id" in reply.headers) == (status, True)
    assert spooled(site) == 0


def test_who_sends_all_the_same_can_read_the_refusal(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.stream("Content-Length: 1000000", key=site.key))
        wire.send(LINE * 1000)

        assert wire.reply().status == 403


def test_two_hundred_megabytes_of_json_are_refused_before_they_are_read(site: Site, owner: Engine) -> None:
    head = site.stream(f"Content-Length: {200 * MEGABYTE}", "Expect: 100-continue")
    with site.wire() as wire:
        wire.send(head.replace("x-ndjson", "json"))
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (413, "body_too_large")
    assert stored(owner) == 0


def test_lines_for_who_takes_none_have_the_limit_of_every_body(site: Site) -> None:
    with site.wire() as wire:
        head = site.post("Content-Length: 2", "Expect: none").replace("application/json", "application/x-ndjson")
        wire.send(head.replace("Expect: none\r\n", "") + "{}")
        taken = wire.reply()
    with site.wire() as wire:
        head = site.post(f"Content-Length: {17 * MEGABYTE}", "Expect: 100-continue")
        wire.send(head.replace("application/json", "application/x-ndjson"))
        refused = wire.reply()

    assert (taken.status, refused.status) == (415, 413)


def test_a_right_that_is_lost_meanwhile_counts(site: Site, owner: Engine) -> None:
    with site.app.app_context(), as_tenant(site.tenant_id):
        account = auth.create_service_account(name="Another feed", role="lms")
        key, _ = auth.create_key(account.id)
    with site.wire() as wire:
        wire.send(site.stream(f"Content-Length: {2 * len(LINE)}", key=key))
        wire.send(LINE)
        time.sleep(0.2)
        with site.app.app_context(), as_tenant(site.tenant_id):
            auth.delete_service_account(account.id)
        wire.send(LINE)
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (401, "unauthenticated")
    assert stored(owner) == 0


def wait_for(condition: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
