"""Starts preparations one after the other, then programs side by side, and stops everything when one of them ends."""

import contextlib
import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploy.local.processes import Account, LocalStackError, last_lines, spawn, stop
from deploy.local.watching import Watch

SAME_ACCOUNT = Account(uid=None, gid=None)
LOG_BYTES = 10 * 1024 * 1024
LOOK_SECONDS = 1.0
# What the guard needs beyond the program's own grace before it is given up.
GUARD_SECONDS = 5.0


class Stopped(Exception):
    """A signal, or the end of the parent, asks for the end of the stack."""


@dataclass(frozen=True)
class Program:
    """A long-running part of the service; it gets `grace_seconds` after SIGTERM to finish what it began."""

    name: str
    command: Sequence[str]
    grace_seconds: float = 30.0


@dataclass(frozen=True)
class Supervisor:
    """Runs commands in `folder` with `environment`, their output going to files below `logs`."""

    watch: Watch
    folder: Path
    logs: Path
    environment: Mapping[str, str]

    def run_once(self, name: str, command: Sequence[str], *, timeout_seconds: float) -> str:
        """Run a command to its end and return what it wrote to stdout; its stderr goes to a log.

        Raises:
            LocalStackError: it failed or took too long; carries the end of its log.
            Stopped: somebody asked for the end meanwhile.
        """
        log_path, answer_path = self.logs / f"{name}.log", self.logs / f"{name}.out"
        with log_path.open("wb") as log, answer_path.open("wb") as answer:
            process = self._spawn(command, output=answer, errors=log)
            try:
                self._wait_for_end(process, timeout_seconds=timeout_seconds)
            finally:
                stop(process, by=signal.SIGTERM, timeout_seconds=10)
        answer_text = answer_path.read_text(errors="replace")
        answer_path.unlink()
        if process.returncode != 0:
            reason = last_lines(log_path, count=12) or answer_text.strip()
            raise LocalStackError(f"{name} failed (status {process.returncode}): {reason}")
        return answer_text

    def start(self, program: Program, *, stack: contextlib.ExitStack) -> "Running":
        """Start a program under its guard, to be stopped when `stack` closes."""
        log_path = self.logs / f"{program.name}.log"
        with _opened_log(log_path) as log:
            guard = [sys.executable, "-m", "deploy.local.guard", str(program.grace_seconds), *program.command]
            process = self._spawn(guard, output=log, errors=subprocess.STDOUT)
        stack.callback(stop, process, by=signal.SIGTERM, timeout_seconds=program.grace_seconds + GUARD_SECONDS)
        return Running(name=program.name, process=process, log=log_path)

    def wait_until(self, is_ready: Callable[[], bool], *, running: "Sequence[Running]", timeout_seconds: float) -> None:
        """Wait until `is_ready` says so.

        Raises:
            LocalStackError: a program ended, or the time is over.
            Stopped: somebody asked for the end meanwhile.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            self.look(running)
            if time.monotonic() > deadline:
                raise LocalStackError(f"Not ready after {timeout_seconds:.0f} seconds: see the logs in {self.logs}.")
            self.watch.wait(0.1)

    def wait_for_the_end(self, running: "Sequence[Running]") -> None:
        """Sleep until somebody asks for the end.

        Raises:
            LocalStackError: a program ended by itself.
            Stopped: always otherwise.
        """
        while True:
            self.look(running)
            self.watch.wait(LOOK_SECONDS)

    def look(self, running: "Sequence[Running]") -> None:
        """Raise `Stopped` if the end was asked for, `LocalStackError` if a program has ended."""
        if self.watch.received or self.watch.has_lost_parent:
            raise Stopped
        for one in running:
            if one.process.poll() is not None:
                raise LocalStackError(
                    f"{one.name} ended ({_ending(one.process.returncode)}), so everything stops: "
                    f"{last_lines(one.log)} (whole log: {one.log})"
                )

    def _spawn(self, command: Sequence[str], *, output: IO[bytes], errors: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return spawn(
            command,
            environment=self.environment,
            output=output,
            errors=errors,
            death_signal=signal.SIGTERM,
            account=SAME_ACCOUNT,
            folder=self.folder,
        )

    def _wait_for_end(self, process: subprocess.Popen[bytes], *, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while process.poll() is None:
            self.look([])
            if time.monotonic() > deadline:
                return
            self.watch.wait(LOOK_SECONDS)


@dataclass(frozen=True)
class Running:
    """A program, or one of the engines below it, that was started and is to stay."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def answers_ready(port: int) -> bool:
    """Say whether the service on this machine's `port` calls itself ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _opened_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return path.open("ab")


def _ending(status: int) -> str:
    # The guard reports a signal as shells do.
    number = -status if status < 0 else status - 128
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(number).name}"
    return f"exit status {status}"
