"""`make run`: the whole service on this machine, from an empty folder to a loaded demo library, until Ctrl-C."""

import argparse
import contextlib
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from deploy.local import engines
from deploy.local.processes import LocalStackError, locked
from deploy.local.supervisor import Program, Running, Stopped, Supervisor, answers_ready
from deploy.local.watching import Watch

PROJECT = Path(__file__).resolve().parent.parent.parent
# As in Procfile and docker-compose.yml: a worker consumes no queue that is not named.
QUEUES = "ingestion,upkeep"
DEFAULT_PORT = 5000
DEFAULT_WEB_THREADS = "8"
# What `flask` commands in another terminal must have in common with the run.
SHARED = ("APP_ENV", "DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "PII_KEYS")
PREPARATION_TIMEOUT_SECONDS = 600.0
READY_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """What is run over the engines: `migrate`, then `demo`, whose answer is shown, then `programs` side by side."""

    migrate: Sequence[str]
    demo: Sequence[str]
    # In the order of their start; they are stopped in reverse, web first, so that no request meets a stopped database.
    programs: Sequence[Program]


def main(arguments: list[str] | None = None) -> int:
    """Run the stack until it is stopped; return the exit status."""
    options = _options(arguments)
    watch = Watch(minds_parent=options.until_parent_ends)
    environment = _with_defaults({**_dotenv(), **os.environ})
    try:
        port, plan = port_in(environment), service(environment, folder=options.folder)
        run(
            options.folder.absolute(),
            environment=environment,
            port=port,
            plan=plan,
            watch=watch,
        )
    except Stopped:
        _say("Stopped; the data stays for the next start.")
        return 0
    except LocalStackError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    return 0


def run(folder: Path, *, environment: Mapping[str, str], port: int, plan: Plan, watch: Watch) -> None:
    """Start everything over the data in `folder` and stay until the end.

    Raises:
        LocalStackError: something is missing or ended by itself; everything else is stopped.
        Stopped: somebody asked for the end; everything is stopped.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder / "run.lock", message=f"already running from {folder}: stop that one first."))
        _check_port(port)
        _say("Starting PostgreSQL and Redis …")
        running = stack.enter_context(engines.start(folder, durable=True, given=environment))
        if running.data_folder not in {None, folder.resolve()}:
            _say(f"PostgreSQL's account cannot reach {folder}, so the data lie in {running.data_folder}.")
        surroundings = {**environment, **running.environment(), "PYTHONUNBUFFERED": "1"}
        surroundings.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_emptied(folder / "metrics")))
        stack.enter_context(_told_to_commands(folder / "engines.env", surroundings))
        supervisor = Supervisor(watch=watch, folder=PROJECT, logs=logs, environment=surroundings)
        _say("Bringing the database up to date …")
        supervisor.run_once("migrate", plan.migrate, timeout_seconds=PREPARATION_TIMEOUT_SECONDS)
        _say("Loading the demo library, if there is none …")
        demo = supervisor.run_once("demo", plan.demo, timeout_seconds=PREPARATION_TIMEOUT_SECONDS)
        programs = [*_watched(running), *(supervisor.start(program, stack=stack) for program in plan.programs)]
        supervisor.wait_until(lambda: answers_ready(port), running=programs, timeout_seconds=READY_TIMEOUT_SECONDS)
        _welcome(port, demo=demo, logs=logs)
        stack.callback(_say, "Stopping …")
        supervisor.wait_for_the_end(programs)


@contextlib.contextmanager
def _told_to_commands(file: Path, surroundings: Mapping[str, str]) -> Iterator[None]:
    """Have a file, for its owner's eyes, from which a shell learns how to reach what runs."""
    lines = [f"export {name}={shlex.quote(surroundings[name])}\n" for name in SHARED if surroundings.get(name)]
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text("".join(lines))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _watched(started: engines.Engines) -> Iterator[Running]:
    """The engines that are ours: nobody else would notice, or tell, that one of them has ended."""
    for name, server in (("PostgreSQL", started.postgres), ("Redis", started.redis)):
        if server is not None and server.process is not None:
            yield Running(name=name, process=server.process, log=server.log)


def service(environment: Mapping[str, str], *, folder: Path) -> Plan:
    """Return the commands of the real service; the demo library's keys go into a file in `folder`.

    Raises:
        LocalStackError: PORT is no port.
    """
    flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
    celery = [sys.executable, "-m", "celery", "-A", "celery_worker"]
    worker = [*celery, "worker", "--queues", QUEUES, "--without-gossip", "--without-mingle"]
    worker += ["--concurrency", environment["WORKER_PROCESSES"]]
    web = [sys.executable, "web_server.py", "--host", "127.0.0.1", "--port", str(port_in(environment))]
    web += ["--processes", environment["WEB_PROCESSES"], "--threads", environment["WEB_THREADS"]]
    site = f"http://127.0.0.1:{port_in(environment)}"
    return Plan(
        migrate=[*flask, "db", "upgrade"],
        demo=[*flask, "demo", "load", "--site", site, "--keys-file", _short(folder / "demo.env")],
        programs=[Program("worker", worker), Program("beat", [*celery, "beat"]), Program("web", web)],
    )


def _welcome(port: int, *, demo: str, logs: Path) -> None:
    site = f"http://127.0.0.1:{port}"
    _say(
        f"""
The library is open (Ctrl-C closes it).

  API            {site}/api/v1
  Documentation  {site}/docs
  Health         {site}/health
  Logs           {_short(logs)}
  Commands       make flask ARGS="--help"
{demo.strip(os.linesep)}
"""
    )


def port_in(environment: Mapping[str, str]) -> int:
    """Return the port to serve on.

    Raises:
        LocalStackError: PORT is no port.
    """
    text = environment.get("PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the range of TCP ports
        raise LocalStackError(f"PORT must be a number from 1 to 65535; it is {text!r}.")
    return int(text)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # As the server does: connections of an earlier run that still fade away are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalStackError(
                f"port {port} cannot be used ({error.strerror}): choose another, as in `make run PORT={port + 1}`."
            ) from error


def _emptied(folder: Path) -> Path:
    """Make a folder anew; what processes of an earlier run counted is none of ours."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _short(path: Path) -> str:
    """Spell a path as one types it in the project's folder, where it is shorter."""
    return min(os.path.relpath(path, PROJECT), str(path), key=len)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _with_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Write out what the commands and the application must agree on."""
    cores = str(_cores())
    defaults = {"WEB_PROCESSES": cores, "WEB_THREADS": DEFAULT_WEB_THREADS, "WORKER_PROCESSES": cores}
    # Everybody comes from one address here, and whoever tries things signs in again and again.
    defaults["AUTH_RATE_LIMIT"] = "60/minute"
    return {**environment, **{name: environment.get(name) or value for name, value in defaults.items()}}


def _dotenv() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(PROJECT / ".env").items() if value}


def _say(text: str) -> None:
    # A reader of our output that has gone away (`make run | head`) is no reason to leave processes behind.
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / ".data", help="where the data and logs lie (default: .data)"
    )
    parser.add_argument(
        "--until-parent-ends", action="store_true", help="stop as well when the process that started this one ends"
    )
    return parser.parse_args(arguments)
