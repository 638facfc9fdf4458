"""Ingestion of a large author from a local stand-in for Open Library that does not limit, with one worker process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import requests

from bench.cases import prepare_tenant
from bench.measure import Memory
from bench.report import Line
from bench.stack import free_port, own_server, process, program, wait_for

_LIMIT_SECONDS = 600


def measure(environment: Mapping[str, str], folder: Path, *, works: int) -> list[Line]:
    """Ingest `works` works, then the same again unchanged; works a second, and the worker's memory meanwhile."""
    port = free_port()
    stand_in = [program("python"), "-m", "tests.stand_in", "--port", str(port), "--generated", str(works)]
    url = f"http://127.0.0.1:{port}"
    settings = {**environment, "OPEN_LIBRARY_URL": url}
    worker = [program("celery"), "-A", "celery_worker", "worker", "--concurrency", "1", "--loglevel", "WARNING"]
    key = prepare_tenant("ingesting")
    with (
        process(stand_in, {}, folder / "stand_in.log"),
        own_server(settings, folder / "api.log") as (address, _),
    ):
        wait_for(f"{url}/search.json?q=none&fields=key", folder / "stand_in.log")
        with process([*worker, "-Q", "ingestion,upkeep"], settings, folder / "worker.log") as started:
            watch = Memory(started.pid)
            lines = [_one(address, key, works, name, watch) for name in ("new", "unchanged")]
            watch.stop()
    return lines


def _one(address: str, key: str, works: int, name: str, watch: Memory) -> Line:
    base = f"{address}/api/v1/tenants/ingesting/ingestion/jobs"
    signed = {"Authorization": f"Bearer {key}"}
    body = {"query": "subject:Generated", "max_works": works, "refresh": True}
    posted = requests.post(base, json=body, headers=signed, timeout=10)
    posted.raise_for_status()
    began = time.monotonic()
    job = posted.json()
    while job["status"] in {"pending", "running"} and time.monotonic() - began < _LIMIT_SECONDS:
        time.sleep(0.2)
        job = requests.get(f"{base}/{job['id']}", headers=signed, timeout=10).json()
    seconds = time.monotonic() - began
    done = job["progress"]["done"]
    if job["status"] != "completed" or done != works:
        raise RuntimeError(f"The job ended as {job['status']} with {job['progress']}: {job['error']}")
    return Line(
        name=f"ingestion of {works:,} works, {name}",
        requests_per_second=None,
        p50_ms=None,
        p99_ms=None,
        cpu_us=None,
        ratio=None,
        wanted="≥ 300 works/s, < 250 MB",
        note=f"{done / seconds:,.0f} works/s; worker at most {watch.most_mb:.0f} MB, at the end {watch.now_mb:.0f} MB",
    )
