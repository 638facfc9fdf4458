"""What the gateway hands to the server, without a server: streams, and what a process may open."""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import web_server
from app.pipeline.gateway import STREAM_BYTES, Gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NO_LIMIT = resource.RLIM_INFINITY
EVENT = b"data: " + b"x" * 1000 + b"\n\n"


class Line:
    """The server's side of one request: what it was told to send."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self.status = 0
        self.whole: bytes | None = None
        self.pieces: list[bytes] = []

    def response_bytes(self, status: int, _: list[tuple[str, str]], body: bytes) -> None:
        """Note an answer in one; like the server, only the first."""
        if self.status == 0:
            self.status, self.whole = status, body

    def response_stream(self, status: int, _: list[tuple[str, str]]) -> Line:
        """Note the beginning of an answer in pieces."""
        self.status = status
        return self

    def send_bytes(self, piece: bytes) -> Iterator[None]:
        """Note a piece."""
        self.pieces.append(piece)
        return iter(())


def answered(pieces: Iterable[bytes], *, content_type: str) -> Line:
    """What becomes of an answer of these pieces."""

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", content_type)])
        return pieces

    return sent_by(app)


def sent_by(app: WSGIApplication) -> Line:
    """What an application sends."""
    line = Line()
    scope = SimpleNamespace(
        path="/", query_string="", method="GET", client="[::1]:5", server="[::1]:80", http_version="1.1", scheme="http",
        authority=None, headers={"host": "library"},
    )  # fmt: skip
    arrival: Any = SimpleNamespace(scope=scope, proto=line)
    Gateway(app, threads=1)(arrival)
    return line


def test_a_stream_of_events_ends_before_it_fills_the_memory() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield EVENT

    line = answered(endless(), content_type="text/event-stream; charset=utf-8")

    assert line.status == 200
    assert set(line.pieces) == {EVENT}
    assert STREAM_BYTES - len(EVENT) < sum(map(len, line.pieces)) <= STREAM_BYTES


def test_anything_but_events_is_made_whole_first() -> None:
    def torn() -> Iterator[bytes]:
        yield b"[1, 2"
        raise RuntimeError

    assert answered(iter([b"[1, ", b"2]"]), content_type="application/json").whole == b"[1, 2]"
    line = answered(torn(), content_type="application/json")

    assert (line.status, line.pieces) == (500, [])
    assert b"internal_error" in (line.whole or b"")


def test_an_application_may_start_its_answer_late() -> None:
    def late(_: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("201 Created", [("Content-Type", "application/json")])
        yield b"{}"

    line = sent_by(late)

    assert (line.status, line.whole) == (201, b"{}")


@pytest.mark.parametrize(
    ("limits", "connections"),
    [
        ((1024, NO_LIMIT), web_server.CONNECTIONS),
        ((NO_LIMIT, NO_LIMIT), web_server.CONNECTIONS),
        ((300, 600), 600 - web_server.OTHER_FILES),
        ((10, 10), 1),
    ],
)
def test_a_process_has_as_many_connections_as_it_may_open_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], connections: int
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: raised.append(pair))
    started: dict[str, Any] = {}
    monkeypatch.setattr(
        web_server, "Server", lambda _, **options: SimpleNamespace(serve=lambda: started.update(options))
    )
    monkeypatch.setenv("WEB_THREADS", "3")

    options = argparse.Namespace(host="127.0.0.1", port=5000, processes=1, threads=5, log_level="info")
    web_server.serve(options, target="nowhere:nothing", head_seconds=1)

    assert (started["backpressure"], started["backlog"]) == (connections, connections)
    assert all(soft <= limits[1] or limits[1] == NO_LIMIT for soft, _ in raised)
    # What is given on the command line is what the application reads.
    assert (started["blocking_threads"], os.environ["WEB_THREADS"]) == (5, "5")
