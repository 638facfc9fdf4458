"""The way from the web server to the application and back: WSGI, spoken over the server's own protocol objects.

On its WSGI side, granian reads a body in the thread that works on the request, for as long as the client likes, and
nothing can wake that thread. Its RSGI side gives bodies piece by piece. So requests are taken from there, in the same
pool of threads: one without a body goes to the application at once, any other when its body is in.

Lines without a limit (NDJSON) are offered to the application by their head alone: it says who may send them. They wait
on disk, and many of them are worked on in a thread beside the pool, where they take no short request's place.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from app.core.errors import MAX_BODY_BYTES, BadRequest, BodyTooLarge, Busy, InternalError, problem_members
from app.core.idempotency import REPEATED_HEADERS
from app.core.spool import LINES, SPOOL, Spool, let_go
from app.pipeline.bodies import (
    GATEWAY_REFUSAL,
    Held,
    InMemory,
    Intake,
    Loop,
    OnDisk,
    Outcome,
    Patience,
    Source,
    Store,
    Watchman,
)
from app.pipeline.offers import OFFER, Offer, Verdict
from app.pipeline.passage import request_id_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_Headers = list[tuple[str, str]]
_COMMON: dict[str, Any] = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_SOFTWARE": "granian",
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
# Made once, for these come with most requests.
_NAMES = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in (
        "accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "cookie",
        "forwarded", "host", "idempotency-key", "if-match", "if-none-match", "origin", "referer", "user-agent",
        "x-api-key", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
    )
} | {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}  # fmt: skip
# Where a stream keeps what counts it out.
_LEAVE = "library.leave_streams"
# No text of any header that the application understands.
_NOT_ASCII = "\xff"
# A name, or an address of either kind, and perhaps a port (RFC 9110, 7.2); a name may be empty.
_HOST = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?", re.ASCII)
# No text of any host.
_NO_HOST = "/"
_EVENTS = "text/event-stream"
# What a stream may send: the server queues it for as long as the client doesn't read, and doesn't tell. It is enough
# for a thousand events, and whoever follows comes back for more.
STREAM_BYTES = 1024 * 1024
_APART_SECONDS = 0.005
# Streams of a process at once, slow ones included: each is an open file. A tenant has no more than its share.
STREAMS, STREAMS_OF_ONE = 64, 8
# Long streams that are worked on at once; others wait for their turn. They are busy with PostgreSQL for the most part.
STREAM_THREADS = 2


class Scope(Protocol):
    """What the server knows of a request."""

    path: str
    query_string: str
    method: str
    client: str
    server: str
    http_version: str
    scheme: str
    authority: str | None
    headers: Any


class Transport(Protocol):
    """The server's end of an answer that is sent piece by piece."""

    def send_bytes(self, piece: bytes) -> Iterator[None]:
        """Queue a piece; what it returns raises where the client has gone."""


class Exchange(Source, Protocol):
    """The server's side of a request and its answer."""

    def response_bytes(self, status: int, headers: _Headers, body: bytes) -> None:
        """Answer."""

    def response_stream(self, status: int, headers: _Headers) -> Transport:
        """Answer piece by piece."""


class Arrival(Protocol):
    """A request as the server hands it over."""

    scope: Scope
    proto: Exchange

    def done(self) -> None:
        """Let go of the rest of the body; where there is no answer yet, it is a bare 500."""


class Gateway:
    """Takes requests from the server's threads, and answers them by a WSGI application."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        threads: int,
        patience: Patience = Patience(),  # noqa: B008 - it can't be changed
        spool_folder: str | None = None,
    ) -> None:
        """Take the application, how many threads the server has for it, and the patience with bodies.

        `spool_folder` is where bodies without a limit wait; None is the system's place for such.
        """
        self._app = app
        self._spool_folder = spool_folder
        self._streams = _Streams()
        self._beside = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="stream")
        self._threads = threads
        self._working: set[int] = set()
        self._patience = patience
        self._held = Held(most_bytes=patience.held_bytes)
        self._watchman = Watchman(are_threads_busy=lambda: len(self._working) >= self._threads)
        self.loop = Loop()

    def __call__(self, arrival: Arrival) -> None:
        """Answer a request, or see to it that it is answered when its body is in; never raises."""
        exchange = arrival.proto
        try:
            environ = _environ(arrival.scope)
            fault = _fault_in_head(environ)
            if fault:
                environ[GATEWAY_REFUSAL] = BadRequest(fault)
            if environ.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
                self._answer(exchange, environ, b"")
            elif environ.get("CONTENT_TYPE", "").lower().startswith(LINES) and not fault:
                self._offer(arrival, environ)
            else:
                self._take_in(arrival, environ, InMemory(self._held))
        except Exception:
            # Nothing is above but the server's own code, which would leave the client without any answer.
            log.exception("gateway.failed")
            _apologise(exchange, {})

    def _offer(self, arrival: Arrival, environ: WSGIEnvironment) -> None:
        """Let the application say, before there is a body, what becomes of lines without a limit."""
        offer = Offer()
        # A copy: layers of the application write to it, and read the same once more when the body is in.
        self._work(lambda: tuple(self._app({**environ, OFFER: offer}, _start_nothing)))
        environ.update(offer.decided)
        if offer.verdict is Verdict.AS_ANY_OTHER:
            self._take_in(arrival, environ, InMemory(self._held))
        elif offer.verdict is Verdict.REFUSED:
            self._answer(arrival.proto, environ, b"", release=arrival.done)
        elif not self._streams.enter(offer.counted_by):
            environ[GATEWAY_REFUSAL] = Busy()
            self._answer(arrival.proto, environ, b"", release=arrival.done)
        else:
            self._take_in_stream(arrival, environ, offer.counted_by)

    def _take_in_stream(self, arrival: Arrival, environ: WSGIEnvironment, counted_by: str) -> None:
        try:
            spool = environ[SPOOL] = Spool(self._spool_folder)
        except OSError:
            log.exception("body.no_place")
            self._streams.leave(counted_by)
            environ[GATEWAY_REFUSAL] = Busy()
            self._answer(arrival.proto, environ, b"", release=arrival.done)
            return
        environ[_LEAVE] = partial(self._streams.leave, counted_by)
        self._take_in(arrival, environ, OnDisk(spool))

    def _take_in(self, arrival: Arrival, environ: WSGIEnvironment, store: Store) -> None:
        if environ.pop("HTTP_TRANSFER_ENCODING", None) or not environ["CONTENT_LENGTH"].isdecimal():
            # Chunks win; and of one length said twice, the server knows that it is one.
            environ.pop("CONTENT_LENGTH", None)
        declared_bytes = int(environ.get("CONTENT_LENGTH", "0"))
        then = partial(self._answer_body, arrival, environ)
        if declared_bytes > MAX_BODY_BYTES and "HTTP_EXPECT" in environ and SPOOL not in environ:
            # The client waits for the answer before it sends anything.
            then(Outcome(refusal=BodyTooLarge()))
            return
        intake = Intake(arrival.proto, declared_bytes=declared_bytes, store=store, patience=self._patience, then=then)
        intake.begin()
        if not intake.is_over:
            self._watchman.watch(intake)

    def _answer_body(self, arrival: Arrival, environ: WSGIEnvironment, outcome: Outcome) -> None:
        body = outcome.body
        size_bytes = body.size_bytes if isinstance(body, Spool) else len(body)
        environ.setdefault("CONTENT_LENGTH", str(size_bytes))
        if outcome.refusal is not None:
            environ[GATEWAY_REFUSAL] = outcome.refusal
            self._answer(arrival.proto, environ, b"", release=arrival.done)
        elif not isinstance(body, Spool):
            self._answer(arrival.proto, environ, body)
        elif size_bytes <= MAX_BODY_BYTES:
            self._answer(arrival.proto, environ, b"")
        else:
            self._beside.submit(self._send, arrival.proto, environ)

    def _answer(
        self, exchange: Exchange, environ: WSGIEnvironment, body: bytes, *, release: Callable[[], None] | None = None
    ) -> None:
        environ["wsgi.input"] = BytesIO(body)
        self._work(lambda: self._send(exchange, environ, release))

    def _work(self, work: Callable[[], object]) -> None:
        """Do it as one of the pool's threads."""
        thread = threading.get_ident()
        self._working.add(thread)
        try:
            work()
        finally:
            self._working.discard(thread)

    def _send(self, exchange: Exchange, environ: WSGIEnvironment, release: Callable[[], None] | None = None) -> None:
        try:
            _Answer(exchange, environ, release).send(self._app)
        except Exception:
            log.exception("gateway.failed")
            _apologise(exchange, environ)
        finally:
            let_go(environ)
            environ.get(_LEAVE, _do_nothing)()


class _Streams:
    """How many bodies without a limit each tenant has on their way or at work in this process."""

    def __init__(self) -> None:
        self._under_way = Counter[str]()
        self._lock = threading.Lock()

    def enter(self, counted_by: str) -> bool:
        """Count one more; False where there are too many."""
        with self._lock:
            if self._under_way.total() >= STREAMS or self._under_way[counted_by] >= STREAMS_OF_ONE:
                return False
            self._under_way[counted_by] += 1
            return True

    def leave(self, counted_by: str) -> None:
        """Count one less."""
        with self._lock:
            self._under_way -= Counter([counted_by])


class _Answer:
    """One answer on its way out; `release` lets go of the rest of a body that nobody will read.

    Only events are sent as they are made; anything else is made whole first. The server ends the chunks of an answer
    properly whatever happens, so a torn one looks whole: events have an end of their own (`done`), other answers a
    length. An application that sends events calls `start_response` before it returns, and once.
    """

    def __init__(self, exchange: Exchange, environ: WSGIEnvironment, release: Callable[[], None] | None) -> None:
        self._exchange = exchange
        self._environ = environ
        self._release = release
        self._status = 500
        self._headers: _Headers = []

    def send(self, app: WSGIApplication) -> None:
        pieces = app(self._environ, self._start)
        try:
            if self._release is not None:
                self._send_and_release(b"".join(pieces), self._release)
            elif any(name.lower() == "content-type" and value.startswith(_EVENTS) for name, value in self._headers):
                self._send_events(pieces)
            else:
                # Handed over in one: the server sends it at the client's pace, and the thread is free.
                body = b"".join(pieces)
                self._exchange.response_bytes(self._status, self._headers, body)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _start(self, status: str, headers: _Headers, _: object = None) -> Callable[[bytes], object]:
        self._status, self._headers = int(status[:3]), headers
        return _write_nothing

    def _send_events(self, pieces: Iterable[bytes]) -> None:
        transport, left_bytes = self._exchange.response_stream(self._status, self._headers), STREAM_BYTES
        for piece in pieces:
            left_bytes -= len(piece)
            if left_bytes < 0 or not _is_sent(transport, piece):
                return

    def _send_and_release(self, body: bytes, release: Callable[[], None]) -> None:
        """Answer, and let the server close the connection.

        It looks whether anybody still reads the request only when it has something to write. So the last byte follows
        a little later: with those before, the server may have looked too early, or been busy with the body itself.
        """
        transport = self._exchange.response_stream(self._status, self._headers)

        def finish() -> None:
            release()
            _is_sent(transport, body[-1:])

        release()
        _is_sent(transport, body[:-1])
        # Nobody waits for it: many bodies may be overdue at once.
        threading.Timer(_APART_SECONDS, finish).start()


def _is_sent(transport: Transport, piece: bytes) -> bool:
    """Send a piece; False where the client has gone."""
    try:
        next(transport.send_bytes(piece), None)
    except RuntimeError:
        return False
    return True


def _environ(scope: Scope) -> WSGIEnvironment:
    environ = _COMMON.copy()
    environ["REQUEST_METHOD"] = scope.method
    environ["PATH_INFO"] = _latin(scope.path)
    environ["QUERY_STRING"] = _latin(scope.query_string)
    environ["REMOTE_ADDR"] = _host(scope.client)
    environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
    environ["SERVER_PROTOCOL"] = f"HTTP/{scope.http_version}"
    environ["wsgi.url_scheme"] = scope.scheme
    variables_before, repeated = len(environ), set()
    for name, value in scope.headers.items():
        variable = _NAMES.get(name) or _variable(name)
        if variable is None:
            continue
        if variable in environ:
            repeated.add(variable)
            value = f"{environ[variable]}{';' if name == 'cookie' else ','}{value}"  # noqa: PLW2901 - one value of both
        environ[variable] = value
    if len(environ) - variables_before < len(scope.headers):
        _stand_in(environ, scope.headers)
    if repeated:
        environ[REPEATED_HEADERS] = repeated
    if "HTTP_HOST" not in environ:
        # HTTP/1.1 insists on the header; HTTP/1.0 doesn't know it.
        environ["HTTP_HOST"] = scope.authority or (_NO_HOST if scope.http_version == "1.1" else "")
    return environ


def _fault_in_head(environ: WSGIEnvironment) -> str | None:
    """What HTTP itself forbids in a head, and the server lets through."""
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        return "A body may be chunked, and have no other transfer coding."
    if not _HOST.fullmatch(environ["HTTP_HOST"]) or "HTTP_HOST" in environ.get(REPEATED_HEADERS, ()):
        return "The Host header must name one host."
    return None


def _variable(name: str) -> str | None:
    """A header's name in WSGI; with an underscore it has none, for it would pass for one that a proxy vouches for."""
    return None if "_" in name else "HTTP_" + name.upper().replace("-", "_")


def _stand_in(environ: WSGIEnvironment, headers: Iterable[str]) -> None:
    """Put something in the place of values with a byte above 0x7F, which the server keeps to itself.

    So each is refused where the header means anything; without it, a precondition would just not count. Where such a
    header comes twice, and once in ASCII, that one stands for both.
    """
    for name in headers:
        variable = _NAMES.get(name) or _variable(name)
        if variable is not None:
            environ.setdefault(variable, _NOT_ASCII)


def _latin(text: str) -> str:
    """Spell a text as WSGI wants it: a character for each byte of its UTF-8.

    In a path, bytes that are no UTF-8 have become U+FFFD already; nothing of ours has that in its address.
    """
    return text if text.isascii() else text.encode().decode("latin-1")


def _host(address: str) -> str:
    """The host of `host:port`; an IPv6 one without its brackets."""
    host = address.rpartition(":")[0]
    return host[1:-1] if host.startswith("[") else host


def _apologise(exchange: Exchange, environ: WSGIEnvironment) -> None:
    """Answer 500; where an answer was given already, the server leaves it at that."""
    request_id, error = request_id_of(environ), InternalError()
    problem = problem_members(error.status, error.code, error.detail, request_id)
    headers = [
        ("Content-Type", "application/problem+json"),
        ("X-Request-ID", request_id),
        ("Cache-Control", "no-store"),
    ]
    exchange.response_bytes(error.status, headers, orjson.dumps(problem))


def _start_nothing(_status: str, _headers: _Headers, _: object = None) -> Callable[[bytes], object]:
    return _write_nothing


def _do_nothing() -> None:
    """For a request that is no stream."""


def _write_nothing(_: bytes) -> None:
    raise RuntimeError("The application returns its answers; it does not write them.")
