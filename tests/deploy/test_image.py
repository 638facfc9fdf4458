"""What the Dockerfile puts into the image, alone in a folder, with the commands and health checks of the containers.

The packages are those of the present environment; everything else is what a container has.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from deploy.local import engines
from deploy.local.engines import Engines
from tests.deploy.containers import (
    BASE,
    DEVELOPMENT,
    PROJECT,
    command_of_image,
    copied,
    health_check_of_image,
    instruction,
    stack,
)
from tests.local_stack.processes import wait_until
from tests.local_stack.stand_in import free_port

SERVICES = stack(BASE, DEVELOPMENT)
# Beat sends its first task after five seconds; the rest is starting Python several times on a busy machine.
WELL_SECONDS, STOP_SECONDS = 60.0, 40.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with what the Dockerfile copies, and nothing else."""
    folder = tmp_path / "image"
    folder.mkdir()
    for sources, destination in copied():
        for source in sources:
            target = folder / destination / Path(source).name if destination.endswith("/") else folder / destination
            target.parent.mkdir(parents=True, exist_ok=True)
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(PROJECT / source, target)
    return folder


@pytest.fixture
def empty_engines() -> Iterator[Engines]:
    """PostgreSQL and Redis without anything in them."""
    with engines.start_temporary() as started:
        yield started


class Container:
    """Runs commands as containers do: in the image's folder, with the settings of compose, and a folder to write in."""

    def __init__(self, image: Path, writable: Path, engines: Engines, *, port: int) -> None:
        """Remember where things are."""
        self.image, self.writable, self.engines, self.port = image, writable, engines, port
        writable.mkdir()

    def here(self, word: str) -> str:
        """A word of a command, with the port and the folder of this machine."""
        return re.sub(r"(--port |127\.0\.0\.1:)5000", rf"\g<1>{self.port}", word).replace("/tmp/", f"{self.writable}/")  # noqa: S108 - the container's own

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service, with addresses of this machine."""
        of_image = dict(pair.split("=", 1) for pair in instruction("ENV").split() if not pair.startswith("PATH"))
        given = {name: self.here(str(value)) for name, value in SERVICES[service]["environment"].items()}
        if "PROMETHEUS_MULTIPROC_DIR" in given:
            given["PROMETHEUS_MULTIPROC_DIR"] = str(self.writable)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        elsewhere = {"PATH": path, "HOME": "/nonexistent", "TMPDIR": str(self.writable)}
        # Port 9 (discard) refuses at once.
        elsewhere["OPEN_LIBRARY_URL"] = "http://127.0.0.1:9"
        return {**of_image, **given, **self.engines.environment(), **elsewhere}

    def start(self, service: str) -> subprocess.Popen[bytes]:
        """Start what the service's container would run."""
        command = SERVICES[service].get("command") or command_of_image()
        with self._log(service).open("wb") as log:
            return subprocess.Popen(
                [self.here(word) for word in command],
                cwd=self.image,
                env=self.environment(service),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_well(self, service: str) -> bool:
        """Ask the service's health check."""
        check = SERVICES[service].get("healthcheck", {}).get("test") or ["CMD", *health_check_of_image()]
        command = ["sh", "-c", *check[1:]] if check[0] == "CMD-SHELL" else check[1:]
        outcome = subprocess.run(
            [self.here(word) for word in command],
            cwd=self.image,
            env=self.environment(service),
            capture_output=True,
            timeout=30,
            check=False,
        )
        return outcome.returncode == 0

    def log(self, service: str) -> str:
        """What a service wrote."""
        return self._log(service).read_text()

    def _log(self, service: str) -> Path:
        return self.writable.parent / f"{service}.log"


def statuses_at_the_end(processes: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    """Stop processes as `docker compose stop` does, all at once, and return their exit statuses."""
    for process in processes.values():
        process.terminate()
    return {name: process.wait(timeout=STOP_SECONDS) for name, process in processes.items()}


def kill(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a process and its children behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def files_in(folder: Path) -> dict[str, float]:
    """Every path below a folder with the time of its last change."""
    return {str(path.relative_to(folder)): path.lstat().st_mtime for path in folder.rglob("*")}


def test_the_containers_commands_run_on_what_the_image_holds(
    image: Path, tmp_path: Path, empty_engines: Engines
) -> None:
    container = Container(image, tmp_path / "tmp", empty_engines, port=free_port())
    before = files_in(image)

    migrate = container.start("migrate")
    assert migrate.wait(timeout=60) == 0, container.log("migrate")
    # The keys that `docker compose logs migrate` shows a developer.
    assert re.search(r"^export LIBRARIAN_KEY=lib_\w+$", container.log("migrate"), re.MULTILINE)

    with ExitStack() as started:
        processes = {}
        for name in ("web", "worker", "beat"):
            assert not container.is_well(name)
            processes[name] = container.start(name)
            started.callback(kill, processes[name])
        for name in processes:
            well = wait_until(partial(container.is_well, name), timeout_seconds=WELL_SECONDS)
            assert well, container.log(name)
        assert statuses_at_the_end(processes) == {"web": 0, "worker": 0, "beat": 0}

    assert files_in(image) == before, "the containers' file system can only be read"


def test_a_worker_that_has_been_silent_for_a_minute_is_not_well(image: Path, tmp_path: Path, running: Engines) -> None:
    container = Container(image, tmp_path / "tmp", running, port=free_port())
    heartbeat = container.writable / "heartbeat"

    heartbeat.touch()
    well = container.is_well("worker"), container.is_well("beat")
    os.utime(heartbeat, (time.time() - 90, time.time() - 90))

    assert well == (True, True)
    assert (container.is_well("worker"), container.is_well("beat")) == (False, False)
