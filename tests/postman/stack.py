"""A service of one's own to run the collection against: started fresh, and gone without a trace afterwards."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from deploy.local.processes import last_lines, stop
from deploy.local.reset import remove
from deploy.local.supervisor import answers_ready
from tests.postman.node import PROJECT, RunError
from tests.stand_in.server import StandIn

START_SECONDS = 180.0
# What the stack itself gives its programs to finish, and a little more.
STOP_SECONDS = 60.0
# More works than the chain's long job takes in before it is cancelled.
GENERATED_WORKS = 3000
# A job takes only what the chain needs; the stand-in is ours and may be asked often.
REQUESTS_PER_SECOND = 20


@dataclass(frozen=True)
class Service:
    """A running service: what Postman must know to enter it, and what stands behind it."""

    environment_file: Path
    open_library: str


@contextlib.contextmanager
def fresh(*, offline: bool) -> Iterator[Service]:
    """Start the whole service over an empty folder, with a stand-in for Open Library or, `offline`, with nothing.

    Raises:
        RunError: it does not start.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="library-postman-"))
        # PostgreSQL may run as somebody else; the keys' file inside is closed by itself.
        folder.chmod(0o755)
        stack.callback(_remove, folder)
        if offline:
            # Nobody listens at the port that is kept for discarding.
            address, behind = "http://127.0.0.1:9", "out of reach"
        else:
            site = StandIn()
            site.generated_catalogue(GENERATED_WORKS)
            address, behind = stack.enter_context(site).url, "a stand-in"
        stack.enter_context(_running(folder, port=_free_port(), open_library_url=address))
        yield Service(folder / "demo.postman_environment.json", behind)


def running_already(keys_file: Path) -> Service:
    """The service that `make run` has started, by the file with its keys.

    Raises:
        RunError: there is none.
    """
    environment_file = keys_file.with_suffix(".postman_environment.json")
    if not environment_file.exists():
        raise RunError(f"there is no {environment_file}: start the service with `make run`, or load its demo again.")
    values = json.loads(environment_file.read_bytes())["values"]
    site = next(each["value"] for each in values if each["key"] == "base_url")
    try:
        requests.get(f"{site}/health/live", timeout=10)
    except requests.RequestException as error:
        raise RunError(f"nothing answers at {site}: start the service with `make run`.") from error
    return Service(environment_file.absolute(), "as that service has it")


@contextlib.contextmanager
def _running(folder: Path, *, port: int, open_library_url: str) -> Iterator[None]:
    settings = {
        # Empty: servers of its own, whatever this machine's settings say.
        **dict.fromkeys(("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "METRICS_TOKEN"), ""),
        "APP_ENV": "development",
        "PORT": str(port),
        "OPEN_LIBRARY_URL": open_library_url,
        "OPEN_LIBRARY_CONTACT": "https://library.example.org",
        "OPEN_LIBRARY_REQUESTS_PER_SECOND": str(REQUESTS_PER_SECOND),
    }
    log = folder / "stack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "--until-parent-ends", "--folder", str(folder)],
            cwd=PROJECT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_open(process, port=port, log=log)
        yield
    finally:
        stop(process, by=signal.SIGTERM, timeout_seconds=STOP_SECONDS)


def _wait_until_open(process: subprocess.Popen[bytes], *, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RunError(f"the service did not start: {last_lines(log)}")
        time.sleep(0.2)


def _remove(folder: Path) -> None:
    (folder / "stack.log").unlink(missing_ok=True)
    remove(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
