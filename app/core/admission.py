"""The one Redis round trip of a request: limits, generations and a cached answer, decided by one script.

Sliding window, exact: each limit keeps the times of its accepted hits in a list, oldest last; what has left the window
is dropped, and a hit is accepted while fewer than `limit` remain. Refused hits are not counted, and a request counts
against all of its limits or none. Redis's own clock is used, so hosts need not agree on the time.

A generation is a number that changes with every write to what it stands for (`core/cache.py`). It is made from the
clock, so a lost Redis never brings an old number back.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.core.logging import SeldomWarning
from app.extensions import PatientRedis

log = logging.getLogger(__name__)

# KEYS: the limits' lists, then the generations, then at most one cached answer.
# ARGV: number of limits, number of generations, the generation the client already has ('' for none),
#       then for each limit its size, its window in microseconds and the cost of this hit (0: only look).
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamp = string.format('%.0f', now)
local limits, generations = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {0, stamp}
local longest = -1
local renew = {}
-- Hits need not outlive Redis; without this, each would be written to its append-only file.
redis.set_repl(redis.REPL_NONE)
for i = 1, limits do
  local key, at = KEYS[i], 3 * i + 1
  local size, window, cost = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local oldest = redis.call('LINDEX', key, -1)
  renew[i] = not oldest
  while oldest and tonumber(oldest) <= now - window do
    redis.call('RPOP', key)
    oldest = redis.call('LINDEX', key, -1)
    renew[i] = true
  end
  local used = oldest and redis.call('LLEN', key) or 0
  local wait = 0
  if oldest then wait = tonumber(oldest) + window - now end
  if used + cost > size then
    -- the hit that has to leave before this one fits
    local blocking = cost <= size and redis.call('LINDEX', key, size - used - cost)
    if blocking then wait = tonumber(blocking) + window - now else wait = window end
    if wait > longest then
      answer[1] = i
      longest = wait
    end
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = string.format('%.0f', wait)
end
if answer[1] == 0 then
  for i = 1, limits do
    local at = 3 * i + 1
    local cost = tonumber(ARGV[at + 2])
    for _ = 1, cost do redis.call('LPUSH', KEYS[i], stamp) end
    -- Two windows: while no hit has left since the last renewal, the oldest is younger than a window, and so the
    -- renewal as well.
    if cost > 0 and renew[i] then redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[at + 1]) / 500)) end
  end
end
redis.set_repl(redis.REPL_ALL)
local last = ''
local numbers = generations > 0 and redis.call('MGET', unpack(KEYS, limits + 1, limits + generations)) or {}
for i = 1, generations do
  last = numbers[i]
  if not last then
    last = stamp
    redis.call('SET', KEYS[limits + i], last, 'EX', 3600)
  end
  answer[#answer + 1] = last
end
local cached = KEYS[limits + generations + 1]
if cached and answer[1] == 0 and last ~= ARGV[3] then
  local found = redis.call('GET', cached)
  local head = #last + 1
  if found and string.sub(found, 1, head) == last .. ':' then answer[#answer + 1] = string.sub(found, head + 1) end
end
return answer
"""

RETRY_SECONDS = 1.0
# However a process may die between its commit and the new number: nothing is taken for current longer than this. The
# script has the number once more.
GENERATION_SECONDS = 3600


class Window(NamedTuple):
    """One limit as a request meets it: at most `limit` hits of `key` in `window_seconds`, this one costs `cost`."""

    policy: str
    key: str
    limit: int
    window_seconds: int
    cost: int = 1
    closed_without_redis: bool = False


class WindowState(NamedTuple):
    """A limit after the request: hits left, and microseconds until one more fits."""

    window: Window
    remaining: int
    wait_us: int


class Admission(NamedTuple):
    """The script's answer; `refused` is the state of the limit that refuses, if one does."""

    states: tuple[WindowState, ...]
    refused: WindowState | None
    generations: tuple[str, ...]
    cached_body: bytes | None


class RedisAway(Exception):
    """Redis did not answer; the caller decides what that means."""


class _Line:
    """Commands over one connection a thread.

    The client's own way from a pool costs as much again as the command itself; so each thread keeps a connection of
    redis-py's, with its time-outs, and opens a new one when that breaks.
    """

    def __init__(self, client: PatientRedis) -> None:
        self._pool = client.connection_pool
        self._thread = threading.local()

    def send(self, *command: str | int | bytes) -> Any:
        """The answer to a command; tried once more on a new connection, since the server may have been restarted."""
        try:
            return self._send(command)
        except RedisConnectionError:
            return self._send(command)

    def _send(self, command: tuple[str | int | bytes, ...]) -> Any:
        connection = getattr(self._thread, "connection", None)
        if connection is None:
            connection = self._thread.connection = self._pool.make_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        except ResponseError:
            raise  # an answer: the connection is as it was
        except BaseException:
            # An answer that was not read would be taken for the next command's.
            connection.disconnect()
            raise


class Gate:
    """Asks the script, and counts alone while Redis is away."""

    def __init__(self, client: PatientRedis, *, processes: int) -> None:
        """`processes` share each limit when every one of them has to count alone."""
        self._client = client
        self._line = _Line(client)
        self._sha = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
        # By key, the last move that Redis does not know of yet.
        self._owed: dict[str, object] = {}
        self._owing = threading.Lock()
        self._later: threading.Timer | None = None
        self._processes = processes
        self._warn_away = SeldomWarning(log, "redis.away")
        self._warn_delayed = SeldomWarning(log, "cache.touch_delayed")
        self._alone = MovingWindowRateLimiter(MemoryStorage())

    def ask(
        self,
        windows: Sequence[Window],
        *,
        generation_keys: Sequence[str] = (),
        cache_key: str | None = None,
        known_generation: str = "",
    ) -> Admission:
        """Count one request against its limits and fetch what the answer may be made of.

        Raises:
            RedisAway: Redis does not answer within its time-out, or did not a moment ago.
        """
        if self._owed:
            self._settle()
        keys = [window.key for window in windows] + list(generation_keys) + ([cache_key] if cache_key else [])
        arguments: list[str | int] = [len(windows), len(generation_keys), known_generation]
        for window in windows:
            arguments += (window.limit, window.window_seconds * 1_000_000, window.cost)
        try:
            with self._client.asking():
                answer = self._run(len(keys), *keys, *arguments)
        except (RedisError, OSError) as error:
            self._warn_away(error=type(error).__name__)
            raise RedisAway from error
        return _read(answer, windows, len(generation_keys))

    def _run(self, *arguments: str | int) -> list[bytes | int]:
        try:
            answer = self._line.send("EVALSHA", self._sha, *arguments)
        except NoScriptError:
            answer = self._line.send("EVAL", _SCRIPT, *arguments)
        return list(answer)

    def move(self, generation_key: str) -> None:
        """Replace a generation; where Redis is away, before the next request of this process is let in."""
        with self._owing:
            self._owed[generation_key] = object()
        self._settle()

    def _settle(self) -> None:
        with self._owing:
            owed = dict(self._owed)
        try:
            for key, move in owed.items():
                with self._client.asking():
                    # Nanoseconds: never a number that stood there before, whatever clock wrote it.
                    self._line.send("SET", key, time.time_ns(), "EX", GENERATION_SECONDS)
                self._strike_off(key, move)
        except (RedisError, OSError) as error:
            self._warn_delayed(error=type(error).__name__)
            self._settle_later()

    def _strike_off(self, key: str, move: object) -> None:
        """Owe the move no longer; one that came while Redis was told of this one is still owed."""
        with self._owing:
            if self._owed.get(key) is move:
                del self._owed[key]

    def _settle_later(self) -> None:
        """Try again in a moment: to a worker no request comes, and the other processes wait to be told."""
        waiting = self._later
        if waiting is None or waiting is threading.current_thread() or not waiting.is_alive():
            self._later = threading.Timer(RETRY_SECONDS, self._settle)
            self._later.daemon = True
            self._later.start()

    def keep(self, key: str, *, generation: str, body: bytes, seconds: int) -> None:
        """Keep a finished answer under its generation; a Redis that is away costs only the saving."""
        try:
            with self._client.asking():
                self._line.send("SET", key, generation.encode() + b":" + body, "EX", seconds)
        except (RedisError, OSError) as error:
            log.warning("cache.keep_failed", extra={"error": type(error).__name__})

    def count_alone(self, windows: Sequence[Window]) -> Admission:
        """Count in this process's memory, at this process's share of each limit: for the time Redis is away."""
        items = [RateLimitItemPerSecond(max(1, each.limit // self._processes), each.window_seconds) for each in windows]
        full = None
        for window, item in zip(windows, items, strict=True):
            if not self._alone.test(item, window.key, cost=window.cost):
                full = window
        if full is None:
            for window, item in zip(windows, items, strict=True):
                self._alone.hit(item, window.key, cost=window.cost)
        states = []
        for window, item in zip(windows, items, strict=True):
            stats = self._alone.get_window_stats(item, window.key)
            states.append(WindowState(window, stats.remaining, max(0, int((stats.reset_time - time.time()) * 10**6))))
        return Admission(tuple(states), next((each for each in states if each.window is full), None), (), None)


def _read(answer: list[bytes | int], windows: Sequence[Window], generations: int) -> Admission:
    refused_at = int(answer[0])
    states = []
    for index, window in enumerate(windows):
        used, wait_us = int(answer[2 + 2 * index]), int(answer[3 + 2 * index])
        spent = 0 if refused_at else window.cost
        states.append(
            WindowState(window, max(0, window.limit - used - spent), wait_us or window.window_seconds * 10**6)
        )
    rest = answer[2 + 2 * len(windows) :]
    body = rest[generations] if len(rest) > generations else None
    return Admission(
        states=tuple(states),
        refused=states[refused_at - 1] if refused_at else None,
        generations=tuple(value.decode() for value in rest[:generations] if isinstance(value, bytes)),
        cached_body=body if isinstance(body, bytes) else None,
    )
