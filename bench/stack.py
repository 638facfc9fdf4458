"""The servers of a bench: engines of its own, the service and the floor on the same WSGI server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from deploy.local.engines import Engines

ROOT = Path(__file__).resolve().parent.parent
# As few threads as the figures were wanted for: two processes on two cores, and a second thread for whoever waits.
PROCESSES, THREADS = 2, 2
_START_SECONDS = 60


@contextmanager
def process(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process from the project's root that is ended with the block, its output in `log`."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield started
    finally:
        children = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
        for child in psutil.wait_procs(children, timeout=5)[1]:
            child.kill()


@contextmanager
def own_server(environment: Mapping[str, str], log: Path, *, processes: int = PROCESSES) -> Iterator[tuple[str, int]]:
    """The library's own web server; gives its address and process id once it answers."""
    port = free_port()
    command = [sys.executable, "web_server.py", "--port", str(port), "--processes", str(processes)]
    command += ["--threads", str(THREADS), "--log-level", "warning"]
    with _served(command, {**environment, "WEB_THREADS": str(THREADS)}, log, port=port, ready="/health/live") as server:
        yield server


@contextmanager
def floor_server(environment: Mapping[str, str], log: Path) -> Iterator[tuple[str, int]]:
    """A plain granian over the floor; gives its address and process id once it answers."""
    port = free_port()
    command = [
        program("granian"), "--interface", "wsgi", "bench.floor:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(PROCESSES), "--blocking-threads", str(THREADS), "--log-level", "warning",
    ]  # fmt: skip
    with _served(command, environment, log, port=port, ready="/none") as server:
        yield server


@contextmanager
def _served(
    command: list[str], environment: Mapping[str, str], log: Path, *, port: int, ready: str
) -> Iterator[tuple[str, int]]:
    with process(command, environment, log) as started:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}{ready}", log)
        yield address, started.pid


def wait_for(url: str, log: Path) -> None:
    """Wait until the address answers anything.

    Raises:
        RuntimeError: it does not within a minute; the end of the log is in the message.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-2000:]}")


def engine_pids(running: Engines) -> list[int]:
    """The process ids of PostgreSQL and Redis."""
    servers = [server.process for server in (running.postgres, running.redis) if server]
    return [process.pid for process in servers if process]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def program(name: str) -> str:
    """A program of the virtual environment."""
    return str(Path(sys.executable).with_name(name))


def require_wrk() -> None:
    """End with one line where wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit("`make bench` needs wrk: install it with `apt-get install wrk` (Debian) or `brew install wrk`.")
