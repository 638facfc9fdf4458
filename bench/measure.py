"""Drives one case with wrk and reads what it cost from the process table."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
# Plays a list of paths once around, or of bodies to post; `start` lets every run go on where the one before ended.
_SCRIPT = """
local lines, at = {{}}, {start}
for line in io.lines('{lines}') do lines[#lines + 1] = line end
request = function()
  at = at % #lines + 1
  {ask}
end
"""
_GET = "return wrk.format('GET', lines[at])"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of wrk gave; latencies in milliseconds, CPU in microseconds a request of all servers together."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    refused: int


@dataclass(frozen=True, slots=True)
class Load:
    """One case: addresses to ask in turn, with headers; `prepare` runs before each round."""

    base_url: str
    paths: Sequence[str]
    headers: Mapping[str, str]
    # Runs before each round, and may give further headers.
    prepare: Callable[[], Mapping[str, str] | None] | None = None
    expected_status: int = 200
    # Of JSON, to be posted in turn to the only path.
    bodies: Sequence[str] = ()


def run(load: Load, *, seconds: int, connections: int, start: int, servers: Iterable[int]) -> Run:
    """Ask `load` for some seconds; `servers` are the process ids whose CPU time counts, children included."""
    pids = list(servers)
    sent = {**load.headers, **((load.prepare and load.prepare()) or {})}
    _check(load, sent)
    with tempfile.TemporaryDirectory() as folder:
        lines, script = Path(folder, "lines"), Path(folder, "script.lua")
        played = load.bodies or load.paths
        lines.write_text("\n".join(played) + "\n")
        ask = f"return wrk.format('POST', '{load.paths[0]}', nil, lines[at])" if load.bodies else _GET
        script.write_text(_SCRIPT.format(lines=lines, start=start % len(played), ask=ask))
        headers = [part for name, value in sent.items() for part in ("-H", f"{name}: {value}")]
        before = cpu_seconds(pids)
        finished = subprocess.run(
            [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                "--latency",
                "-s",
                str(script),
                *headers,
                load.base_url,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        used = cpu_seconds(pids) - before
    return _read(finished.stdout, used)


def _check(load: Load, headers: Mapping[str, str]) -> None:
    """See that the case is what it is said to be: wrk tells a 304 from a 200 no more than from a redirect."""
    # The last is the one that no run comes to.
    body = load.bodies[-1] if load.bodies else None
    method = "POST" if body else "GET"
    answer = requests.request(method, load.base_url + load.paths[0], data=body, headers=dict(headers), timeout=10)
    if answer.status_code != load.expected_status:
        raise RuntimeError(f"{load.paths[0]} answers {answer.status_code}: {answer.text[:200]}")


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes and all that came of them, ended ones included."""
    total = 0.0
    for pid in pids:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, in megabytes."""
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)]) / 1e6


class Memory:
    """Watches the resident memory of the largest process of a family."""

    def __init__(self, pid: int) -> None:
        """Begin to watch."""
        self.most_mb = self.now_mb = 0.0
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.now_mb = max(each.memory_info().rss for each in family) / 1e6
            except psutil.NoSuchProcess:
                continue
            self.most_mb = max(self.most_mb, self.now_mb)


def _read(output: str, used_seconds: float) -> Run:
    answered = _number(r"(\d+) requests in", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: (.*)", output)
    if errors and any(int(number) for number in re.findall(r"\d+", errors[1])):
        raise RuntimeError(f"The server broke connections: {errors[1]}")
    return Run(
        requests=int(answered),
        requests_per_second=_number(r"Requests/sec:\s+([\d.]+)", output),
        p50_ms=_latency("50%", output),
        p99_ms=_latency("99%", output),
        cpu_us=used_seconds / max(1.0, answered) * 1e6,
        refused=int(refused[1]) if refused else 0,
    )


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if not found:
        raise RuntimeError(f"wrk said something else than expected:\n{output}")
    return float(found[1])


def _latency(percentile: str, output: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", output)
    if not found:
        raise RuntimeError(f"wrk said something else than expected:\n{output}")
    return float(found[1]) * _UNITS_MS[found[2]]
