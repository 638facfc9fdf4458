"""Stock in bulk: through the service, and beside it by a bare COPY of the same rows into the same kind of table.

The bare COPY is psycopg2's, of text that is ready, as a superuser into a table with the same rows, columns, constraints
and months; without row-level security, HTTP, key, limit, validation or event. Each batch is a durable transaction
in both. They take turns, one connection each.
"""

from __future__ import annotations

import io
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import orjson
import psycopg2

from app.core.clock import new_ids, utc_now
from bench.cases import PRODUCTS, SLUG
from bench.measure import Memory
from bench.report import Line
from bench.stack import own_server
from deploy.local.engines import Engines

_TENANT = "0193a000-0000-7000-8000-000000000009"
_TWIN = """
DROP TABLE IF EXISTS bare_updates;
CREATE TABLE bare_updates (LIKE inventory_updates INCLUDING ALL) PARTITION BY RANGE ("timestamp");
DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT replace(relname, 'inventory', 'bare') AS name, pg_get_expr(relpartbound, oid) AS bounds
        FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'inventory_updates'::regclass
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF bare_updates %s', part.name, part.bounds);
    END LOOP;
END
$$;
INSERT INTO bare_updates SELECT * FROM inventory_updates;
"""
_COPY = 'COPY bare_updates (tenant_id, id, product_id, "timestamp", quantity) FROM STDIN'


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows at once, how often in turn, and how many as one stream."""

    batches: tuple[tuple[int, int], ...]
    stream: int


class _Client:
    """One connection to the service, with nothing in between that would take time of its own."""

    def __init__(self, address: str, key: str) -> None:
        where = urlsplit(address)
        self._socket = socket.create_connection((where.hostname, where.port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = f"/api/v1/tenants/{SLUG}/inventory/updates"
        self._head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"

    def head(self, media_type: str, size: int) -> bytes:
        """The head of a request with a body of this size."""
        return f"{self._head}Content-Type: {media_type}\r\nContent-Length: {size}\r\n\r\n".encode()

    def post(self, request: bytes, file: IO[bytes] | None = None) -> None:
        """Send a request, and a file after it, and read the answer."""
        self._socket.sendall(request)
        if file is not None:
            self._socket.sendfile(file)
        answer = b""
        while b"}" not in answer:
            answer += self._socket.recv(65536) or b"}"
        if not answer.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(f"The service answers {answer[:500]!r}")


def measure(running: Engines, key: str, environment: Mapping[str, str], folder: Path, *, sizes: Sizes) -> list[Line]:
    """Rows a second of both, for each size; and the memory of the web process while it took the stream."""
    url = running.database_superuser_url or running.database_owner_url
    with (
        own_server(environment, folder / "bulk.log", processes=1) as (address, pid),
        closing(psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://"))) as bare,
    ):
        with bare, bare.cursor() as cursor:
            cursor.execute(_TWIN)
        client = _Client(address, key)
        lines = [_bulk(client, bare, size=size, rounds=rounds) for size, rounds in sizes.batches]
        return [*lines, _stream(client, bare, pid, rows=sizes.stream)]


def _bulk(client: _Client, bare: Any, *, size: int, rounds: int) -> Line:
    ours, theirs = [], []
    for turn in range(-2, rounds):  # two to warm up
        items = _items(size)
        body, text = orjson.dumps({"items": items}), _copy_text(items)
        request = client.head("application/json", len(body)) + body
        taken = _timed(lambda: client.post(request))  # noqa: B023 - called at once
        bare_taken = _timed(lambda: _copy(bare, io.BytesIO(text)))  # noqa: B023 - called at once
        if turn >= 0:
            ours.append(size / taken)
            theirs.append(size / bare_taken)
    return _line(f"stock, {size:,} rows as JSON", statistics.median(ours), statistics.median(theirs), wanted="≥ 60 %")


def _stream(client: _Client, bare: Any, pid: int, *, rows: int) -> Line:
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as text:
        for begin in range(0, rows, 10_000):
            items = _items(min(10_000, rows - begin))
            lines.writelines(orjson.dumps(item) + b"\n" for item in items)
            text.write(_copy_text(items))
        head = client.head("application/x-ndjson", lines.tell())
        lines.seek(0)
        text.seek(0)
        watch = Memory(pid)
        taken = _timed(lambda: client.post(head, lines))
        watch.stop()
        bare_taken = _timed(lambda: _copy(bare, text))
    line = _line(f"stock, {rows:,} rows as NDJSON", rows / taken, rows / bare_taken, wanted="≥ 50 %, < 200 MB")
    return replace(line, note=f"{line.note}; the web process at most {watch.most_mb:.0f} MB")


def _line(name: str, ours: float, theirs: float, *, wanted: str) -> Line:
    note = f"{ours:,.0f} rows/s, a bare COPY {theirs:,.0f}: {ours / theirs:.0%}"
    return Line(name, None, None, None, None, None, wanted=wanted, note=note)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _copy(bare: Any, text: IO[bytes]) -> None:
    with bare, bare.cursor() as cursor:
        cursor.copy_expert(_COPY, text, 256 * 1024)


_dice = random.Random(17)
_month = f"{utc_now():%Y-%m}"


def _items(count: int) -> list[dict[str, object]]:
    """Some of this month's feed."""
    return [
        {
            "product_id": f"SKU-{_dice.randrange(PRODUCTS):06d}",
            "quantity": _dice.randrange(1000),
            "timestamp": f"{_month}-{_dice.randrange(1, 29):02d}T{_dice.randrange(24):02d}:30:00Z",
        }
        for _ in range(count)
    ]


def _copy_text(items: list[dict[str, object]]) -> bytes:
    rows = (
        f"{_TENANT}\t{each}\t{item['product_id']}\t{item['timestamp']}\t{item['quantity']}\n"
        for each, item in zip(new_ids(len(items)), items, strict=True)
    )
    return "".join(rows).encode()
