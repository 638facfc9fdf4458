"""How often Open Library is asked, and when not at all: shared by all processes through Redis.

`Pace` spaces requests evenly: the site answers bursts with 429 and punishes repeated ones, so there is no burst here.
`Breaker` stops asking while the site is down and lets a single request try whether it is back. Both use Redis's own
clock. While Redis is away each process keeps to a share of the rate and remembers outages for itself.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

# How many processes are taken to share the rate while Redis, which would tell, is away.
PROCESSES_ASSUMED: Final = 4
_MICROSECONDS: Final = 1_000_000

# KEYS: the time before which no further request may start. ARGV: the space between two requests and the longest wait
# the caller accepts, in microseconds. Gives the wait; where it is too long, nothing is reserved.
_RESERVE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = next - now
if wait > tonumber(ARGV[2]) then return {0, string.format('%.0f', wait)} end
local after = next + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return {1, string.format('%.0f', wait)}
"""

# KEYS as above. ARGV: how long nobody may ask, in microseconds.
_POSTPONE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now + tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
return 1
"""

# KEYS: the breaker's hash (`failures`, `openings`, `open_until`, `probe_until`). ARGV: how long a probe may take, in
# microseconds. Gives the wait (0: go ahead) and whether a success must be reported.
_ADMIT: Final = """
local state = redis.call('HMGET', KEYS[1], 'failures', 'open_until', 'probe_until')
if not state[1] then return {'0', 0} end
if not state[2] then return {'0', 1} end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local until_ = math.max(tonumber(state[2]), tonumber(state[3] or '0'))
if until_ > now then return {string.format('%.0f', until_ - now), 1} end
redis.call('HSET', KEYS[1], 'probe_until', string.format('%.0f', now + tonumber(ARGV[1])))
return {'0', 1}
"""

# KEYS as above. ARGV: failures that open the breaker, the first opening and the longest in microseconds, seconds after
# which all is forgotten, and an opening wanted now (0: count). A failed probe opens again, for twice as long.
_FAILED: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
local wanted = tonumber(ARGV[5])
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
local is_probe = open_until > 0 and open_until <= now
if wanted == 0 and not is_probe and (open_until > 0 or failures < tonumber(ARGV[1])) then return '0' end
local openings = redis.call('HINCRBY', KEYS[1], 'openings', 1)
local period = math.min(tonumber(ARGV[2]) * 2 ^ math.min(openings - 1, 20), tonumber(ARGV[3]))
period = math.max(period, wanted)
redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', now + period))
redis.call('HDEL', KEYS[1], 'probe_until')
redis.call('EXPIRE', KEYS[1], math.ceil(period / 1000000) + tonumber(ARGV[4]))
return string.format('%.0f', period)
"""


class TooBusy(Exception):
    """The next free place in the row is later than the caller is willing to wait."""

    def __init__(self, wait_seconds: float) -> None:
        """Keep how long the wait would have been."""
        super().__init__(f"The next request may start in {wait_seconds:.1f} s.")
        self.wait_seconds = wait_seconds


class Shared:
    """What the processes tell each other through Redis, or nothing while it is away."""

    # While Redis is away, finding that out costs its time-out; once in this while is enough.
    PAUSE_SECONDS: Final = 2.0

    def __init__(self, redis: Redis | None) -> None:
        """Use this Redis; None is one that is always away."""
        self._redis = redis
        self._away_until = 0.0

    def run(self, script: str, key: str, *arguments: float) -> Any | None:
        """Run a script on a key; None where Redis is away."""
        # A numeral without exponent, whatever its size.
        return self._ask(lambda redis: redis.eval(script, 1, key, *(f"{argument:.0f}" for argument in arguments)))

    def remember(self, key: str, *, seconds: int) -> None:
        """Let all know of `key` for some seconds."""
        self._ask(lambda redis: redis.set(key, 1, ex=seconds))

    def remembers(self, key: str) -> bool:
        """Say whether anybody made `key` known."""
        return bool(self._ask(lambda redis: redis.exists(key)))

    def forget(self, key: str) -> None:
        """Delete what stands under `key`."""
        self._ask(lambda redis: redis.delete(key))

    def _ask(self, command: Callable[[Redis], Any]) -> Any | None:
        if self._redis is None or time.monotonic() < self._away_until:
            return None
        try:
            return command(self._redis)
        except RedisError:
            log.warning("openlibrary.redis_away")
            self._away_until = time.monotonic() + self.PAUSE_SECONDS
            return None


@dataclass(frozen=True, slots=True)
class Admission:
    """What the breaker says: the wait before anybody may ask (0: ask), and whether it wants to hear of a success."""

    wait_seconds: float
    wants_success: bool


class Pace:
    """Evenly spaced places in one row for all processes."""

    def __init__(self, shared: Shared, *, name: str, requests_per_second: float) -> None:
        """Share the row `name` with all who use the same Redis; while it is away, keep to a share of the rate."""
        self._shared = shared
        self._key = f"openlibrary:pace:{name}"
        self._interval_us = round(_MICROSECONDS / requests_per_second)
        self._local_interval_seconds = PROCESSES_ASSUMED / requests_per_second
        self._local_next = 0.0
        self._lock = threading.Lock()

    def reserve(self, *, longest_wait_seconds: float) -> float:
        """Take the next place and give the seconds until it comes.

        Raises:
            TooBusy: it comes later than `longest_wait_seconds`; no place is taken.
        """
        arguments = (self._interval_us, longest_wait_seconds * _MICROSECONDS)
        answer = self._shared.run(_RESERVE, self._key, *arguments)
        if answer is None:
            return self._reserve_locally(longest_wait_seconds)
        granted, wait_us = cast("tuple[int, bytes]", answer)
        wait_seconds = int(wait_us) / _MICROSECONDS
        if not granted:
            raise TooBusy(wait_seconds)
        return wait_seconds

    def postpone(self, seconds: float) -> None:
        """Let nobody ask for the next `seconds`."""
        with self._lock:
            self._local_next = max(self._local_next, time.monotonic() + seconds)
        self._shared.run(_POSTPONE, self._key, seconds * _MICROSECONDS)

    def _reserve_locally(self, longest_wait_seconds: float) -> float:
        with self._lock:
            now = time.monotonic()
            place = max(self._local_next, now)
            if place - now > longest_wait_seconds:
                raise TooBusy(place - now)
            self._local_next = place + self._local_interval_seconds
            return place - now


class Breaker:
    """Remembers that a part of the site is down.

    After `failures_to_open` failures in a row nobody asks for `open_seconds`; then one request tries, and each failed
    try doubles the pause up to `longest_open_seconds`. A success forgets everything.
    """

    FAILURES_TO_OPEN: Final = 5
    # Failures farther apart than this are no outage.
    MEMORY_SECONDS: Final = 120

    def __init__(
        self,
        shared: Shared,
        *,
        name: str,
        open_seconds: float,
        longest_open_seconds: float,
        probe_seconds: float,
    ) -> None:
        """Share the state `name` with all who use the same Redis."""
        self._shared = shared
        self._key = f"openlibrary:breaker:{name}"
        self._open_seconds = open_seconds
        self._longest_open_seconds = longest_open_seconds
        self._probe_seconds = probe_seconds
        self._local = _LocalBreaker(self)

    def admit(self) -> Admission:
        """Say whether to ask; of those who come after a pause only the first is let through."""
        answer = self._shared.run(_ADMIT, self._key, self._probe_seconds * _MICROSECONDS)
        if answer is None:
            return self._local.admit(probe_seconds=self._probe_seconds)
        wait_us, wants_success = cast("tuple[bytes, int]", answer)
        return Admission(wait_seconds=int(wait_us) / _MICROSECONDS, wants_success=bool(wants_success))

    def failed(self, *, open_for_seconds: float = 0) -> float:
        """Count a failure, or open at once for `open_for_seconds`; gives the seconds it opened for, 0 if it did not."""
        arguments = (
            self.FAILURES_TO_OPEN,
            self._open_seconds * _MICROSECONDS,
            self._longest_open_seconds * _MICROSECONDS,
            self.MEMORY_SECONDS,
            open_for_seconds * _MICROSECONDS,
        )
        answer = self._shared.run(_FAILED, self._key, *arguments)
        if answer is None:
            return self._local.failed(
                open_seconds=self._open_seconds, longest=self._longest_open_seconds, wanted=open_for_seconds
            )
        return int(cast("bytes", answer)) / _MICROSECONDS

    def succeeded(self) -> None:
        """Forget the failures."""
        self._local.succeeded()
        self._shared.forget(self._key)


class _LocalBreaker:
    """The breaker's state in one process, for as long as Redis is away."""

    def __init__(self, breaker: Breaker) -> None:
        self._failures_to_open = breaker.FAILURES_TO_OPEN
        self._memory_seconds = breaker.MEMORY_SECONDS
        self._lock = threading.Lock()
        self._failures = 0
        self._openings = 0
        self._last_failure = 0.0
        self._open_until: float | None = None

    def admit(self, *, probe_seconds: float) -> Admission:
        with self._lock:
            now = time.monotonic()
            if self._open_until is None:
                return Admission(wait_seconds=0, wants_success=self._failures > 0)
            if self._open_until > now:
                return Admission(wait_seconds=self._open_until - now, wants_success=True)
            self._open_until = now + probe_seconds
            return Admission(wait_seconds=0, wants_success=True)

    def failed(self, *, open_seconds: float, longest: float, wanted: float) -> float:
        with self._lock:
            now = time.monotonic()
            if now - self._last_failure > self._memory_seconds:
                self._forget()
            self._last_failure = now
            self._failures += 1
            if not wanted and self._open_until is None and self._failures < self._failures_to_open:
                return 0
            self._openings += 1
            period: float = max(wanted, min(open_seconds * 2.0 ** min(self._openings - 1, 20), longest))
            self._open_until = now + period
            return period

    def succeeded(self) -> None:
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._failures = 0
        self._openings = 0
        self._open_until = None
