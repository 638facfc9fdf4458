"""Circulation: copies lent by eight desks at once, and what is popular out of a million loans.

Beside the check-outs goes a bare insert of the same loans (`floor.py`): one statement into a table with the same rows,
columns, constraints and indexes, without foreign keys, row-level security, key, limit, copy, hold, count or event. Each
is a durable transaction in both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from uuid import UUID

import orjson
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from app import create_app
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.members import service as members
from bench.cases import BASE, Prepared
from bench.measure import Load, Run, run
from bench.report import Line
from bench.stack import engine_pids, floor_server, own_server
from deploy.local.engines import Engines

_READERS, _POPULAR = 2_000, 50
# The loans of a year, of which the latest thirty days count; some books are lent far more often than others.
_FILL = """
SET LOCAL session_replication_role = replica;
INSERT INTO loans (tenant_id, id, book_id, borrowed_at, due_at, returned_at)
SELECT :tenant, gen_random_uuid(), books.ids[1 + floor(power(random(), 3) * array_length(books.ids, 1))::int],
    moment, moment + interval '28 days', moment + interval '14 days'
FROM generate_series(1, :loans) AS n, (SELECT array_agg(id) AS ids FROM books WHERE tenant_id = :tenant) AS books,
    LATERAL (SELECT now() - n * interval '365 days' / :loans AS moment) AS moments;
UPDATE books SET times_borrowed = lent.times
FROM (SELECT book_id, count(*) AS times FROM loans GROUP BY book_id) AS lent WHERE tenant_id = :tenant AND id = book_id;
CREATE TABLE bare_loans (LIKE loans INCLUDING ALL);
INSERT INTO bare_loans SELECT * FROM loans
"""
_COPIES = """
INSERT INTO copies (tenant_id, id, book_id, barcode, status)
SELECT :tenant, gen_random_uuid(), id, 'BENCH-' || row_number() OVER (ORDER BY id), 'available'
FROM books WHERE tenant_id = :tenant ORDER BY id LIMIT :copies
"""
_RESET = (
    "DELETE FROM loans WHERE returned_at IS NULL",
    "DELETE FROM bare_loans WHERE returned_at IS NULL",
    "UPDATE copies SET status = 'available' WHERE status = 'on_loan'",
    "VACUUM (ANALYZE) loans, bare_loans, copies, books",
    "CHECKPOINT",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many loans there were in a year, how many copies are there to be lent, and how often and long."""

    loans: int
    copies: int
    rounds: int
    seconds: int


def measure(
    running: Engines, prepared: Prepared, environment: Mapping[str, str], folder: Path, *, sizes: Sizes
) -> list[Line]:
    """Check-outs beside bare inserts, in turn; then what is popular, uncached."""
    url = running.database_superuser_url or running.database_owner_url
    superuser = create_engine(url)
    lent = _prepare(superuser, prepared.tenant_id, _people(prepared.tenant_id), sizes)
    dsn = url.replace("postgresql+psycopg2://", "postgresql://")
    signed = {"Authorization": f"Bearer {prepared.key}", "Content-Type": "application/json"}
    with (
        own_server(environment, folder / "lending.log") as (address, pid),
        floor_server({"FLOOR_DSN": dsn}, folder / "bare.log") as (bare_address, bare_pid),
    ):
        ours = [orjson.dumps({"reader_id": each.reader_id, "barcode": each.barcode}).decode() for each in lent]
        bare = [orjson.dumps(asdict(each)).decode() for each in lent]
        loads = {
            pid: Load(address, [f"{BASE}/loans"], signed, expected_status=201, bodies=ours),
            bare_pid: Load(bare_address, [f"/loans/{prepared.tenant_id}"], signed, expected_status=201, bodies=bare),
        }
        runs: dict[int, list[Run]] = {server: [] for server in loads}
        for _ in range(sizes.rounds):
            for server, load in loads.items():
                _reset(superuser)
                servers = [server, *engine_pids(running)]
                runs[server].append(run(load, seconds=sizes.seconds, connections=8, start=0, servers=servers))
        lines = [_lent(runs[pid], runs[bare_pid]), _popular(f"{address}{BASE}/books/popular", signed, sizes)]
    superuser.dispose()
    return lines


@dataclass(frozen=True, slots=True)
class _Lent:
    """What is lent to whom."""

    reader_id: str
    copy_id: str
    book_id: str
    barcode: str


def _people(tenant_id: UUID) -> list[UUID]:
    app = create_app()
    with app.app_context(), acting_as(SYSTEM), tenant(tenant_id):
        readers = [members.create_user(type="reader", name=f"Reader {each}").id for each in range(_READERS)]
        db.session.remove()
    return readers


def _prepare(superuser: Engine, tenant_id: UUID, readers: Sequence[UUID], sizes: Sizes) -> list[_Lent]:
    """Fill the tables; gives what is to be lent, each copy to another reader than the next."""
    with superuser.begin() as connection:
        connection.execute(text(_COPIES), {"tenant": tenant_id, "copies": sizes.copies})
        for statement in _FILL.split(";"):
            connection.execute(text(statement), {"tenant": tenant_id, "loans": sizes.loans})
        copies = connection.execute(
            text("SELECT id, book_id, barcode FROM copies WHERE tenant_id = :tenant"), {"tenant": tenant_id}
        )
        return [
            _Lent(str(reader), str(copy.id), str(copy.book_id), copy.barcode)
            for copy, reader in zip(copies, cycle(readers))
        ]


def _reset(superuser: Engine) -> None:
    """Put everything on the shelf again, and do now what autovacuum would do in the middle of a run."""
    with superuser.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in _RESET:
            connection.execute(text(statement))


def _lent(ours: Sequence[Run], bare: Sequence[Run]) -> Line:
    rates = [statistics.median(each.requests_per_second for each in runs) for runs in (ours, bare)]
    cpu = [statistics.median(each.cpu_us for each in runs) for runs in (ours, bare)]
    refused = sum(each.refused for each in (*ours, *bare))
    return Line(
        name="check-outs of different copies",
        requests_per_second=rates[0],
        p50_ms=statistics.median(each.p50_ms for each in ours),
        p99_ms=statistics.median(each.p99_ms for each in ours),
        cpu_us=cpu[0],
        ratio=None,
        wanted="≥ 50 % of a bare insert",
        note=f"a bare insert {rates[1]:,.0f}/s at {cpu[1]:,.0f} µs: {rates[0] / rates[1]:.0%}"
        + (f"; {refused} refused" if refused else ""),
    )


def _popular(url: str, signed: Mapping[str, str], sizes: Sizes) -> Line:
    """Each asks for another number of books, so that none is answered from the cache."""
    taken = []
    with requests.Session() as session:
        for limit in range(1, _POPULAR + 1):
            began = time.perf_counter()
            answer = session.get(f"{url}?period=month&limit={limit}", headers=dict(signed), timeout=30)
            taken.append((time.perf_counter() - began) * 1000)
            if len(answer.json()["items"]) != limit:
                raise RuntimeError(f"{url} answers {answer.text[:200]}")
    note = f"p50 {statistics.median(taken):.0f} ms, the slowest {max(taken):.0f} ms"
    return Line(f"popular of a month, {sizes.loans:,} loans, uncached", None, None, None, None, None, "< 50 ms", note)
