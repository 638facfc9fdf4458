"""Real processes of the service for a test: workers and beat, started, killed, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from deploy.local.processes import Account, spawn, stop

PROJECT = Path(__file__).resolve().parents[2]
OURSELVES = Account(uid=None, gid=None)
START_SECONDS = 30.0


class Process:
    """`celery -A celery_worker …` with a log of its own."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        """Start it."""
        self.log = log
        with log.open("wb") as output:
            self._process = spawn(
                [sys.executable, "-m", "celery", "-A", "celery_worker", *arguments],
                environment={"PATH": os.environ.get("PATH", os.defpath), **environment},
                output=output,
                death_signal=signal.SIGKILL,
                account=OURSELVES,
                folder=PROJECT,
            )

    @property
    def pid(self) -> int:
        """The main process."""
        return self._process.pid

    def wait_for(self, words: str, *, seconds: float = START_SECONDS) -> None:
        """Wait until the log holds these words.

        Raises:
            AssertionError: it ended or never said so; carries its log.
        """
        deadline = time.monotonic() + seconds
        while words not in self.log.read_text(errors="replace"):
            assert self._process.poll() is None, f"ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"no {words!r} within {seconds} s: {self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to it and all its children, as when the machine goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def stop(self) -> bool:
        """SIGTERM, and after 20 s SIGKILL; says whether it ended by itself."""
        children = self.family()
        ended = stop(self._process, by=signal.SIGTERM, timeout_seconds=20)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        return ended

    def family(self) -> list[psutil.Process]:
        """It and its children, as far as they run."""
        with contextlib.suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.pid)
            return [main, *main.children(recursive=True)]
        return []


class Processes:
    """Starts workers and beats for one environment."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Keep logs in `folder`."""
        self._environment = environment
        self._folder = folder
        self._started: list[Process] = []

    def start_workers(self, number: int, **settings: str) -> list[Process]:
        """Start workers of one process each, and wait until they take tasks."""
        options = ("worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
        workers = [
            self._start(*options, "--hostname", f"worker-{len(self._started)}-{each}@test", **settings)
            for each in range(number)
        ]
        for worker in workers:
            worker.wait_for(" ready.")
        return workers

    def start_beat(self) -> Process:
        """Start a beat."""
        return self._start("beat")

    def stop(self) -> None:
        """End all of them."""
        for process in reversed(self._started):
            process.kill()

    def _start(self, *arguments: str, **settings: str) -> Process:
        log = self._folder / f"{len(self._started)}-{arguments[0]}.log"
        process = Process(*arguments, environment={**self._environment, **settings}, log=log)
        self._started.append(process)
        return process


@contextlib.contextmanager
def processes(environment: Mapping[str, str], folder: Path) -> Iterator[Processes]:
    """Processes that end with the block."""
    started = Processes(environment, folder)
    try:
        yield started
    finally:
        started.stop()
