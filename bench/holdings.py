"""Collections synchronised over HTTP, durably: all of fifty thousand editions, the same again, and a delta."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import requests

from bench.dataset import isbn13
from bench.measure import cpu_seconds
from bench.report import Line
from bench.stack import own_server

_ROWS, _DELTA, _ROUNDS = 50_000, 500, 3
# The others are of no book: such are queued to be looked up.
_KNOWN = 45_000

Rows = list[dict[str, Any]]


def measure(
    environment: Mapping[str, str], folder: Path, *, base: str, key: str, books: int, engines: Iterable[int]
) -> list[Line]:
    """Synchronise a collection of the tenant at `base`, whose books have the first ISBNs; medians of some rounds."""
    taken: dict[str, list[tuple[float, float]]] = {}
    with own_server(environment, folder / "holdings.log") as (address, pid):
        client = _Client(f"{address}{base}/collections", key, [pid, *engines])
        for _ in range(_ROUNDS):
            for name, seconds in _round(client, _isbns(books)):
                taken.setdefault(name, []).append(seconds)
    wanted = {"new": "< 4 s", "every row changed": "", "unchanged": "< 2 s", "emptied": "", "delta": "< 0.2 s"}
    return [_line(name, rounds, wanted[name]) for name, rounds in taken.items()]


def _isbns(books: int) -> list[str]:
    dice = random.Random(13)
    known = dice.sample(range(1, books + 1), min(_KNOWN, books))
    return [isbn13(number) for number in (*known, *range(20_000_000, 20_000_000 + _ROWS - len(known)))]


def _round(client: _Client, isbns: list[str]) -> Iterable[tuple[str, tuple[float, float]]]:
    first: Rows = [{"isbn": isbn, "copies_total": int(isbn[-3:]) % 5 + 2, "copies_available": 1} for isbn in isbns]
    second = [{**row, "copies_available": 2} for row in first]
    delta = [{**row, "action": "update", "copies_available": 0} for row in second[:_DELTA]]
    collection = client.create()
    yield "new", client.send("PUT", collection, first, added=_ROWS)
    yield "unchanged", client.send("PUT", collection, first, unchanged=_ROWS)
    yield "every row changed", client.send("PUT", collection, second, updated=_ROWS)
    yield "delta", client.send("PATCH", collection, delta, updated=_DELTA)
    yield "emptied", client.send("PUT", collection, [], removed=_ROWS)


class _Client:
    """A library management system that looks at its watch, and at the servers' CPU time."""

    def __init__(self, address: str, key: str, servers: list[int]) -> None:
        self._address = address
        self._servers = servers
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"Bearer {key}", "Content-Type": "application/json"})

    def create(self) -> str:
        answer = self._session.post(self._address, json={"name": "Main branch"}, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def send(self, method: str, collection: str, rows: Rows, **expected: int) -> tuple[float, float]:
        """How many seconds it took, and how many of CPU time."""
        body, began, used = orjson.dumps({"items": rows}), time.monotonic(), cpu_seconds(self._servers)
        answer = self._session.request(method, f"{self._address}/{collection}/items", data=body, timeout=120)
        seconds, cpu = time.monotonic() - began, cpu_seconds(self._servers) - used
        counts = answer.json()
        if answer.status_code != 200 or any(counts[name] != number for name, number in expected.items()):
            raise RuntimeError(f"{method} answers {answer.status_code}: {answer.text[:200]}")
        return seconds, cpu


def _line(name: str, rounds: list[tuple[float, float]], wanted: str) -> Line:
    seconds, cpu = (statistics.median(each) for each in zip(*rounds, strict=True))
    rows = f"a delta of {_DELTA} rows" if name == "delta" else f"{_ROWS:,} rows of a collection, {name}"
    return Line(
        name=rows,
        requests_per_second=None,
        p50_ms=None,
        p99_ms=None,
        cpu_us=None,
        ratio=None,
        wanted=wanted,
        note=f"{seconds:.2f} s, of it {cpu:.2f} s of CPU",
    )
