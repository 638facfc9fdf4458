"""Bodies of requests, taken in whole before anything else runs, at the client's pace and at no thread's cost.

A body arrives in pieces; whichever thread of the pool is free takes a piece and lets go again. So a client that sends
slowly, or nothing at all, costs a connection and the bytes it has sent so far. One watchman looks after all bodies of
the process and refuses those that are overdue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.core.errors import MAX_BODY_BYTES, BadRequest, BodyTooLarge, Busy, DomainError, RequestTimeout
from app.core.spool import Spool

log = logging.getLogger(__name__)

# What goes into memory without being counted, so that nobody who sends large bodies can keep small ones out. The
# server's limit of connections bounds it; web_server.py has the reckoning.
SMALL_BYTES = 16 * 1024
LINGER_BYTES = 4 * MAX_BODY_BYTES
_LOOK_SECONDS = 0.25
# Where the application finds why there is no body, or what is wrong with the head.
GATEWAY_REFUSAL = "library.gateway_refusal"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long bodies are waited for, and how much of them is held."""

    # A body may take this long, and longer only as long as it keeps to the pace: less than the slowest mobile line.
    grace_seconds: float = 10.0
    slowest_bytes_per_second: int = 16 * 1024
    # A body without a limit could earn hours by its beginning; this long, nothing of it may come.
    silent_seconds: float = 30.0
    # The rest of a refused body is thrown away for a while, before the answer: where the connection is closed upon
    # unread bytes, the client's system may throw away the answer too.
    linger_seconds: float = 2.0
    # Of large bodies, by the whole process.
    held_bytes: int = 64 * 1024 * 1024


class Future(Protocol):
    """A piece of a body on its way."""

    def add_done_callback(self, step: Step) -> None:
        """Take the step when the piece has come; where it is there already, mark the step as ready."""

    def result(self) -> bytes:
        """The piece."""

    def cancel(self) -> bool:
        """Give the piece up."""


class Source(Protocol):
    """The server's side of a request, as far as it gives the body."""

    def __aiter__(self) -> Source:
        """Begin with the body."""

    def __anext__(self) -> Future:
        """The next piece; an empty one stands for the end, and also for a client that is gone.

        Raises:
            StopAsyncIteration: the end was given already.
        """


class Step:
    """What happens when a piece has come."""

    def __init__(self, intake: Intake) -> None:
        """Keep the body it belongs to."""
        self._intake = intake
        self.is_ready = False

    def __call__(self, future: Future) -> None:
        """Go on with the body."""
        self._intake.go_on(future)


class Loop:
    """What the server takes for an event loop: it calls these when a piece has come.

    A piece that is there before anybody waits for it is not worked on within that very wait: a large body would end in
    a very deep stack.
    """

    def call_soon(self, step: Step, _: Future, *, context: object = None) -> None:  # noqa: ARG002 - the server's call
        """Mark the step: the piece was there at once."""
        step.is_ready = True

    def call_soon_threadsafe(self, step: Step, future: Future, *, context: object = None) -> None:  # noqa: ARG002
        """Take the step, in a thread of the pool."""
        step(future)


class Held:
    """How many bytes the large bodies of this process hold."""

    def __init__(self, *, most_bytes: int) -> None:
        """Begin with none."""
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """Take room for so many bytes; False where there is not enough."""
        with self._lock:
            if size_bytes > self._left_bytes:
                return False
            self._left_bytes -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """Give room back."""
        with self._lock:
            self._left_bytes += size_bytes


class Store(Protocol):
    """Where a body waits until it is whole."""

    def add(self, piece: bytes) -> DomainError | None:
        """Keep a piece; the reason, where it can't be kept."""

    def whole(self) -> bytes | Spool:
        """All that was kept."""

    def let_go(self) -> None:
        """Keep nothing any more."""


class InMemory:
    """A body with a limit, among others whose sizes are counted together."""

    def __init__(self, held: Held) -> None:
        """Begin with nothing."""
        self._held = held
        self._pieces: list[bytes] = []
        self._size_bytes = self._counted_bytes = 0

    def add(self, piece: bytes) -> DomainError | None:
        """Keep a piece, as long as there is room for it."""
        self._pieces.append(piece)
        self._size_bytes += len(piece)
        if self._size_bytes > MAX_BODY_BYTES:
            return BodyTooLarge()
        if self._size_bytes > SMALL_BYTES:
            if not self._held.take(self._size_bytes - self._counted_bytes):
                return Busy()
            self._counted_bytes = self._size_bytes
        return None

    def whole(self) -> bytes:
        """The pieces, put together."""
        whole, self._pieces = b"".join(self._pieces), []
        return whole

    def let_go(self) -> None:
        """Give the room back."""
        self._pieces = []
        self._held.give_back(self._counted_bytes)
        self._counted_bytes = 0


class OnDisk:
    """A body without a limit."""

    def __init__(self, spool: Spool) -> None:
        """Write to this file, which is closed with the last of it."""
        self._spool = spool

    def add(self, piece: bytes) -> DomainError | None:
        """Write a piece down."""
        try:
            self._spool.write(piece)
        except OSError as error:
            log.warning("body.no_room", extra={"error": str(error)})
            return Busy()
        return None

    def whole(self) -> Spool:
        """The file; whoever answers the request closes it."""
        return self._spool

    def let_go(self) -> None:
        """Nothing is held in memory."""


class Outcome(NamedTuple):
    """A whole body, or the reason why there is none."""

    body: bytes | Spool = b""
    refusal: DomainError | None = None


class Intake:
    """One body on its way in; `then` gets the outcome, once, in whichever thread it is known."""

    def __init__(
        self,
        source: Source,
        *,
        declared_bytes: int,
        store: Store,
        patience: Patience,
        then: Callable[[Outcome], None],
    ) -> None:
        """Take the length that the client has declared; 0 for chunks."""
        self._source: Source | None = source.__aiter__()
        self._store = store
        self._patience = patience
        self._then = then
        self._size_bytes = self._refused_at_bytes = 0
        self._future: Future | None = None
        self._refusal: DomainError | None = None
        self._empty_pieces = 0
        # Pieces come in any thread, and the watchman looks in his own.
        self._turn = threading.Lock()
        self._begun_at = time.monotonic()
        self.due_at = self._begun_at + self._allowed_seconds()
        self.is_over = False
        if declared_bytes > MAX_BODY_BYTES and isinstance(store, InMemory):
            self._refuse(BodyTooLarge())

    def begin(self) -> None:
        """Ask for the first piece."""
        self._pull()

    def go_on(self, future: Future) -> None:
        """Keep the piece that has come, and ask for the next."""
        with self._turn:
            outcome = None if self.is_over else self._keep(future.result())
        self._tell(outcome)
        self._pull()

    def expire(self) -> None:
        """Give the body up: its time is over."""
        with self._turn:
            if self.is_over:
                return
            if self._future is not None:
                self._future.cancel()
            outcome = self._leave(Outcome(refusal=self._refusal or RequestTimeout()))
        self._tell(outcome)

    def postpone(self) -> None:
        """Allow some time more: that nothing came was not the client's fault."""
        self.due_at = time.monotonic() + self._patience.grace_seconds

    def _pull(self) -> None:
        """Ask for pieces as long as they are there at once."""
        while True:
            with self._turn:
                if self._source is None:
                    return
                try:
                    future = self._source.__anext__()
                except StopAsyncIteration:
                    outcome: Outcome | None = self._end()
                else:
                    self._future, step = future, Step(self)
                    future.add_done_callback(step)
                    if not step.is_ready:
                        return
                    outcome = self._keep(future.result())
            self._tell(outcome)

    def _keep(self, piece: bytes) -> Outcome | None:
        if not piece:
            self._empty_pieces += 1
            return None
        self._size_bytes += len(piece)
        if self._refusal is not None:
            lingered = self._size_bytes - self._refused_at_bytes
            return self._leave(Outcome(refusal=self._refusal)) if lingered > LINGER_BYTES else None
        refusal = self._store.add(piece)
        if refusal is not None:
            self._refuse(refusal)
        else:
            self.due_at = self._due()
        return None

    def _due(self) -> float:
        due_at = self._begun_at + self._allowed_seconds()
        if self._size_bytes > MAX_BODY_BYTES:
            return min(due_at, time.monotonic() + self._patience.silent_seconds)
        return due_at

    def _refuse(self, refusal: DomainError) -> None:
        """Throw away what has come, and for a while whatever comes."""
        self._refusal = refusal
        self.due_at = time.monotonic() + self._patience.linger_seconds
        self._refused_at_bytes = self._size_bytes
        self._store.let_go()

    def _end(self) -> Outcome:
        # One empty piece is the end. Before it, another stands for an error of reading, and for trailers just the same:
        # RFC 9112 would have those ignored, but the server doesn't tell them from chunks that are cut off.
        if self._refusal is None and self._empty_pieces > 1:
            self._refusal = BadRequest("The body was cut off, or its chunks are none, or trailers follow them.")
        return self._leave(Outcome(b"" if self._refusal else self._store.whole(), self._refusal))

    def _leave(self, outcome: Outcome) -> Outcome:
        self.is_over = True
        # The future knows the step, the step knows this: apart, they go at once.
        self._future = self._source = None
        return outcome

    def _tell(self, outcome: Outcome | None) -> None:
        # Outside of the turn: the whole request is answered here, and keeps the body's room until then.
        if outcome is not None:
            self._then(outcome)
            self._store.let_go()

    def _allowed_seconds(self) -> float:
        return self._patience.grace_seconds + self._size_bytes / self._patience.slowest_bytes_per_second


class Watchman:
    """Looks after the bodies on their way in, in a thread of its own that sleeps while there are none."""

    def __init__(self, *, are_threads_busy: Callable[[], bool]) -> None:
        """Take what tells whether there is a thread that could have taken a piece."""
        self._are_threads_busy = are_threads_busy
        self._intakes: set[Intake] = set()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, intake: Intake) -> None:
        """Look after a body until it is over."""
        with self._lock:
            self._intakes.add(intake)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="bodies", daemon=True)
                self._thread.start()
        self._some.set()

    def _look(self) -> None:
        while self._some.wait():
            time.sleep(_LOOK_SECONDS)
            self._look_once()

    def _look_once(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._intakes = {intake for intake in self._intakes if not intake.is_over}
            overdue = [intake for intake in self._intakes if intake.due_at < now]
            if not self._intakes:
                self._some.clear()
        for intake in overdue:
            self._expire(intake)

    def _expire(self, intake: Intake) -> None:
        if self._are_threads_busy():
            intake.postpone()
            return
        try:
            intake.expire()
        except Exception:
            # One body must not take the watchman away from all others.
            log.exception("body.expiry_failed")
