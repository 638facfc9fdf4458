"""`make run` over stand-in commands: it starts in order, says what is wrong in one line, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import LocalStackError
from deploy.local.reset import remove
from tests.local_stack.processes import alive, family, wait_until
from tests.local_stack.stand_in import free_port

PROJECT = Path(__file__).resolve().parent.parent.parent
# Addresses of engines that need not be there: the stand-ins never connect.
ELSEWHERE = {"DATABASE_URL": "postgresql://nowhere/library", "REDIS_URL": "redis://nowhere"}

pytestmark = pytest.mark.timeout(60)


@dataclass
class Stack:
    """A running stand-in stack, its port and where its terminal output goes."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path

    def text(self) -> str:
        """Return what was printed."""
        return self.output.read_text()

    def wait_until_open(self) -> list[psutil.Process]:
        """Wait for the welcome and return all processes of the stack."""
        assert wait_until(lambda: "library is open" in self.text(), timeout_seconds=30), self.text()
        return family(self.process.pid)


class Starter:
    """Starts stacks over one folder and kills in the end what a failed test has left."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self.folder = folder
        self.stacks: list[Stack] = []

    def __call__(self, *, port: int | None = None, migrate: str = "migrate", own_engines: bool = False) -> Stack:
        """Start one."""
        port = port or free_port()
        command = [sys.executable, "-m", "tests.local_stack.stand_in", "stack", str(self.folder), str(port), migrate]
        output = self.folder.parent / f"output-{len(self.stacks)}"
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment if own_engines else {**environment, **ELSEWHERE},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.stacks.append(Stack(process=process, port=port, output=output))
        return self.stacks[-1]

    def clear(self) -> None:
        """Kill every process of every stack."""
        for stack in self.stacks:
            if stack.process.poll() is None:
                for process in family(stack.process.pid):
                    # Killing one ends others.
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            stack.process.wait(timeout=10)
        wait_until(self._removed, timeout_seconds=10)

    def _removed(self) -> bool:
        # Servers of a killed supervisor need a moment to end.
        with contextlib.suppress(LocalStackError, OSError):
            remove(self.folder)
        return not self.folder.exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Give a starter over a fresh folder."""
    starter = Starter(tmp_path / "data")
    yield starter
    starter.clear()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(start: Starter, number: signal.Signals) -> None:
    stack = start(own_engines=True)
    processes = stack.wait_until_open()

    stack.process.send_signal(number)

    assert stack.process.wait(timeout=20) == 0
    assert alive(processes) == []
    # Supervisor; PostgreSQL with its helpers; Redis; two guards with a program of two processes each.
    assert len(processes) > 10


def test_killing_the_supervisor_leaves_no_process(start: Starter) -> None:
    stack = start(own_engines=True)
    processes = stack.wait_until_open()

    stack.process.kill()

    assert wait_until(lambda: alive(processes) == [], timeout_seconds=15), alive(processes)
    assert can_be_bound(stack.port)


def test_the_end_of_the_parent_stops_everything(start: Starter, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.local_stack.stand_in",
        "stack",
        str(tmp_path / "data"),
        str(free_port()),
        "migrate",
    ]
    output = tmp_path / "output"
    with output.open("wb") as file:
        parent = subprocess.Popen(
            ["/bin/sh", "-c", '"$@"; true', "sh", *command], cwd=PROJECT, env={**os.environ, **ELSEWHERE}, stdout=file
        )
    start.stacks.append(Stack(process=parent, port=0, output=output))
    processes = start.stacks[-1].wait_until_open()

    parent.kill()

    assert wait_until(lambda: alive(processes[1:]) == [], timeout_seconds=15), alive(processes[1:])


def test_a_killed_server_takes_its_workers_and_everything_else_along(start: Starter) -> None:
    stack = start()
    processes = stack.wait_until_open()
    web = next(process for process in processes if is_part(process, "web"))

    web.kill()

    assert stack.process.wait(timeout=20) == 1
    assert "web ended (killed by SIGKILL), so everything stops" in stack.text()
    assert alive(processes) == []
    assert can_be_bound(stack.port)


@pytest.mark.parametrize(("name", "program"), [("PostgreSQL", "postgres"), ("Redis", "redis-server")])
def test_a_killed_engine_takes_everything_else_along(start: Starter, name: str, program: str) -> None:
    stack = start(own_engines=True)
    processes = stack.wait_until_open()
    engine = next(each for each in processes if each.name() == program and each.ppid() == stack.process.pid)

    engine.kill()

    assert stack.process.wait(timeout=40) == 1
    assert f"{name} ended (killed by SIGKILL), so everything stops" in stack.text()
    assert wait_until(lambda: alive(processes) == [], timeout_seconds=15), alive(processes)


def test_the_demo_speaks_to_the_newcomer(start: Starter) -> None:
    stack = start()

    stack.wait_until_open()

    assert "demo key: lib_stand_in" in stack.text()
    assert f"http://127.0.0.1:{stack.port}/api/v1" in stack.text()


def test_commands_in_another_terminal_find_what_runs(start: Starter) -> None:
    stack = start(own_engines=True)
    stack.wait_until_open()
    told = start.folder / "engines.env"

    flask = f"{sys.executable} -m flask --app wsgi"
    listed = subprocess.run(
        ["/bin/sh", "-c", f'. "$0"; {flask} db upgrade && {flask} tenants list', told],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name not in ELSEWHERE},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    mode = stat.S_IMODE(told.stat().st_mode)
    stack.process.terminate()
    stack.process.wait(timeout=20)

    assert listed.stdout.split()[:3] == ["platform", "library", "active"], listed.stderr
    assert mode == 0o600
    assert not told.exists()


def test_a_second_start_is_refused_in_one_line(start: Starter) -> None:
    start().wait_until_open()

    second = start()

    assert second.process.wait(timeout=20) == 1
    assert second.text() == f"already running from {start.folder}: stop that one first.\n"


def test_a_busy_port_is_said_in_one_line(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        stack = start(port=port)

        assert stack.process.wait(timeout=20) == 1
    assert stack.text().startswith(f"port {port} cannot be used (Address already in use)")
    assert len(stack.text().splitlines()) == 1


def test_a_failing_migration_is_quoted_and_nothing_else_starts(start: Starter) -> None:
    stack = start(migrate="broken-migrate")

    assert stack.process.wait(timeout=20) == 1
    assert stack.text().splitlines()[-1] == "migrate failed (status 3): the moon is in the wrong phase"
    assert "demo" not in stack.text()


def is_part(process: psutil.Process, name: str) -> bool:
    """Say whether a process is the stand-in's part itself, not the guard that holds the same words."""
    words = process.cmdline()
    return "deploy.local.guard" not in words and words[-2:-1] == [name]


def can_be_bound(port: int) -> bool:
    """Say whether nobody listens on the port any more."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
