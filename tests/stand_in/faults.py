"""What can go wrong with an answer, on demand."""

import threading
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "server_error",  # 500, plain text: the search engine is down or too slow
    "unavailable",  # 503, HTML: no server left to take the request
    "html",  # 200 with an HTML page: overload, as some clients saw it
    "cut_json",  # 200 with half of the JSON, as if it were whole
    "cut_connection",  # 200, half of the announced body, then the connection closes
    "wrong_type",  # 200 with sound JSON called text/html
    "wrong_shape",  # 200 with sound JSON that is no answer
    "slow_first_byte",  # nothing for `seconds`, then the right answer
    "slow_body",  # the right answer, dripping over `seconds`
    "reset",  # the connection is reset
    "rate_limit",  # 429 without Retry-After
    "rate_limit_with_retry_after",  # 429 with Retry-After: `seconds`
    "refuse",  # 403 for the client's name
    "endless",  # 200 with a body that never ends
    "redirect_elsewhere",  # 302 to another host
    "not_found",  # 404 for an address that the site no longer has
]


@dataclass
class Fault:
    """A fault for the next `times` requests (None: all) whose path begins with `path`."""

    kind: FaultKind
    times: int | None = 1
    path: str = "/"
    seconds: float = 1.0


@dataclass
class Faults:
    """The faults that wait for their requests, first come first served."""

    _waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Let a fault wait for its requests."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Let everything go well again."""
        with self._lock:
            self._waiting.clear()

    def take(self, path: str) -> Fault | None:
        """Give the fault that this request is to suffer, if any."""
        with self._lock:
            for fault in self._waiting:
                if path.startswith(fault.path):
                    return self._used(fault)
        return None

    def _used(self, fault: Fault) -> Fault:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._waiting.remove(fault)
        return fault
