"""Runs the bench and prints its table: `python -m bench [--quick] [--only WORD]`."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import cases, holdings, ingestion, inventory, lending, sign_in
from bench.cases import Case, Prepared
from bench.measure import Load, Run, memory_mb, run
from bench.report import Line, chart, table
from bench.stack import ROOT, THREADS, engine_pids, floor_server, own_server, require_wrk
from deploy.local import engines
from deploy.local.engines import Engines

_SETTINGS = {
    "APP_ENV": "development",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    # The limits are checked as always; they are only too high to be met.
    "API_RATE_LIMIT_REQUESTS": "999999999",
    "CATALOGUE_RATE_LIMIT": "999999999/hour",
    "INGESTION_RATE_LIMIT_REQUESTS": "999999999",
    "INVENTORY_WRITE_RATE_LIMIT": "999999999/hour",
    "INVENTORY_READ_RATE_LIMIT": "999999999/hour",
    "OPEN_LIBRARY_CONTACT": "https://library.example.org",
    "OPEN_LIBRARY_REQUESTS_PER_SECOND": "100000",
    "OPEN_LIBRARY_CACHE_HOURS": "0",
    "WEB_THREADS": str(THREADS),
}
_POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Options:
    """How long and what."""

    books: int
    updates: int
    # Of stock: how many at once, and how often.
    batches: tuple[tuple[int, int], ...]
    works: int
    loans: int
    copies: int
    rounds: int
    seconds: int
    only: str


def main() -> None:
    """Measure all cases, interleaved, and write table and chart."""
    options = _options()
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder, ExitStack() as stack:
        running = stack.enter_context(engines.start_temporary(durable=True, postgres_settings=_POSTGRES))
        environment = {**_SETTINGS, **running.environment()}
        # The servers log as always; what this process asks while it prepares is nobody's business.
        os.environ.update({**environment, "LOG_LEVEL": "WARNING"})
        prepared = cases.prepare(running, books=options.books, updates=options.updates)
        lines = _requests(options, running, prepared, Path(folder))
        if options.only in "holdings":
            lines += holdings.measure(
                environment,
                Path(folder),
                base=cases.BASE,
                key=prepared.key,
                books=options.books,
                engines=engine_pids(running),
            )
        if options.only in "circulation":
            lent = lending.Sizes(options.loans, options.copies, rounds=options.rounds, seconds=options.seconds)
            lines += lending.measure(running, prepared, environment, Path(folder), sizes=lent)
        if options.only in "stock in bulk":
            sizes = inventory.Sizes(batches=options.batches, stream=options.updates)
            lines += inventory.measure(running, prepared.stock_key, environment, Path(folder), sizes=sizes)
        if options.only in "ingestion":
            lines += ingestion.measure(environment, Path(folder), works=options.works)
        if options.only in "sign-in":
            lines += sign_in.measure(environment, Path(folder))
    result = table(lines)
    print(f"\n{_machine()}\n\n{result}")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "table.md").write_text(f"{_machine()}\n\n{result}\n")
    (results / "chart.svg").write_text(chart(lines))
    print(f"\nWritten to {results.relative_to(ROOT)}/table.md and chart.svg.")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the books, one short round")
    parser.add_argument("--only", default="", metavar="WORD", help="only cases with this word in their name")
    given = parser.parse_args()
    if given.quick:
        batches = ((500, 40), (10_000, 10))
        return Options(
            books=10_000,
            updates=100_000,
            batches=batches,
            works=1_000,
            loans=100_000,
            copies=10_000,
            rounds=1,
            seconds=2,
            only=given.only,
        )
    batches = ((500, 300), (10_000, 40))
    return Options(
        books=100_000,
        updates=1_000_000,
        batches=batches,
        works=10_000,
        loans=1_000_000,
        copies=40_000,
        rounds=3,
        seconds=4,
        only=given.only,
    )


@contextmanager
def _servers(running: Engines, folder: Path) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    dsn = running.database_owner_url.replace("postgresql+psycopg2://", "postgresql://")
    with (
        own_server(_SETTINGS, folder / "service.log") as service,
        floor_server({"FLOOR_DSN": dsn}, folder / "floor.log") as floor,
    ):
        yield service, floor


def _requests(options: Options, running: Engines, prepared: Prepared, folder: Path) -> list[Line]:
    with _servers(running, folder) as (service, floor):
        chosen = [case for case in prepared.cases if options.only in case.name or case.is_floor]
        rounds: dict[str, list[Run]] = {case.name: [] for case in chosen}
        alone: dict[str, Run] = {}
        for turn in range(options.rounds):
            for case in chosen:
                address, pid = floor if case.is_floor or case.on_floor else service
                load = Load(address, case.paths, case.headers, case.prepare, case.expected_status)
                servers = [pid, *engine_pids(running)]
                start = turn * len(case.paths) // options.rounds
                rounds[case.name].append(
                    run(load, seconds=options.seconds, connections=8, start=start, servers=servers)
                )
                if turn == 0:
                    alone[case.name] = run(load, seconds=2, connections=1, start=start, servers=servers)
        memory = memory_mb(service[1])
    base = statistics.median(each.cpu_us for each in rounds[next(case.name for case in chosen if case.is_floor)])
    lines = [_line(case, rounds[case.name], alone[case.name], base) for case in chosen]
    return [*lines, Line("memory of the service", None, None, None, None, None, note=f"{memory:.0f} MB in all")]


def _line(case: Case, runs: list[Run], alone: Run, base: float) -> Line:
    cpu = statistics.median(each.cpu_us for each in runs)
    refused = sum(each.refused for each in runs)
    return Line(
        name=case.name,
        requests_per_second=statistics.median(each.requests_per_second for each in runs),
        p50_ms=alone.p50_ms,
        p99_ms=alone.p99_ms,
        cpu_us=cpu,
        ratio=cpu / base,
        wanted=case.wanted,
        note=f"{refused} refused" if refused else "",
    )


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}; "
        "requests/s and CPU at 8 connections, latencies at 1; median of the rounds."
    )


if __name__ == "__main__":
    main()
