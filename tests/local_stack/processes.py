"""Seeing to it that processes are really gone."""

import contextlib
import time
from collections.abc import Callable, Iterable

import psutil


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def alive(processes: Iterable[psutil.Process]) -> list[str]:
    """Name those that still run; a zombie does not."""
    return [_described(process) for process in processes if _runs(process)]


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Wait for a condition and say whether it came true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(process: psutil.Process) -> bool:
    # It may end between any two looks.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _described(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return f"{process.pid} {' '.join(process.cmdline())}"
    return f"{process.pid}, ended meanwhile"
