"""Time and ids: the two things that are different at every call."""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime
from uuid import UUID


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """A UUID version 7 (RFC 9562): milliseconds, then randomness; ids of one process sort by their making."""
    return UUID(int=_numbers(1)[0])


def new_ids(count: int) -> list[str]:
    """So many of them in the order of their making, as text without hyphens: for rows by the thousand."""
    return [f"{number:032x}" for number in _numbers(count)]


def _numbers(count: int) -> range:
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    # The variant, and a zero before the rest, so that counting on from here never runs over.
    value = value & ~(0x7 << 61) | (0x4 << 61)
    with _making:
        # Within a millisecond, or when the clock was set back, counting on keeps the order (RFC 9562, 6.2, method 2).
        first = max(value, _newest[0] + 1)
        _newest[0] = first + count - 1
    return range(first, first + count)


_making = threading.Lock()
_newest = [0]
