"""One private PostgreSQL server on a unix socket, with the database and the roles the service expects."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.binaries import PostgresBinaries, find_postgres
from deploy.local.processes import (
    Account,
    LocalStackError,
    last_lines,
    own,
    spawn,
    stop,
    stop_orphan,
    wait_until_unused,
)

DATABASE = "library"
SUPERUSER = "postgres"
OWNER = "library_owner"
APPLICATION = "library_app"

# The owner may bypass row-level security because search functions it owns run with its rights; the application may
# not, and owns nothing. One statement a line: that is what single-user mode reads.
BOOTSTRAP = f"""\
CREATE ROLE {OWNER} LOGIN NOSUPERUSER CREATEROLE CREATEDB BYPASSRLS;
CREATE ROLE {APPLICATION} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS;
CREATE DATABASE {DATABASE} OWNER {OWNER};
"""

# Tests throw the data away, so they need not wait for the disk.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SMALL_SHARED_MEMORY_BYTES = 128 * 1024 * 1024
LOG_BYTES = 10 * 1024 * 1024


@dataclass(eq=False)
class PostgresServer:
    """A server over `data`, listening in `sockets`; `start` makes what is missing."""

    data: Path
    sockets: Path
    log: Path
    account: Account
    durable: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Create the cluster if there is none, start the server and wait until it accepts connections.

        Raises:
            LocalStackError: no binaries, or the server does not come up; carries the end of its log.
        """
        binaries = find_postgres(major=_major_of(self.data), account=self.account)
        self.clear_orphans()
        if not self.data.exists():
            self._create(binaries)
        self._launch(binaries)
        self._wait_until_ready(timeout_seconds=60)

    def stop(self) -> None:
        """End all sessions and shut down cleanly (SIGINT, `fast`)."""
        if self._process is not None:
            stop(self._process, by=signal.SIGINT, timeout_seconds=30)
            self._process = None

    def clear_orphans(self) -> None:
        """End what an earlier supervisor or a killed server left of this cluster, and remove its lock files.

        The server would do so itself, were the number in its lock file not alive: a zombie's is, and another program
        may have got it since.

        Raises:
            LocalStackError: something does not end.
        """
        self.stop()
        stop_orphan(self.data / "postmaster.pid", program="postgres", by=signal.SIGINT)
        # Sessions outlive a killed server by a moment, and two servers over the same files would ruin them.
        wait_until_unused(self.data, timeout_seconds=30)
        for file in self.sockets.glob(".s.PGSQL.*"):
            file.unlink()

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running server, for those who watch or kill it."""
        return self._process

    def url(self, role: str, *, database: str = DATABASE) -> str:
        """Return SQLAlchemy's spelling of the address for one role."""
        return f"postgresql+psycopg2://{role}@/{database}?host={self.sockets}"

    def _create(self, binaries: PostgresBinaries) -> None:
        # Made under another name and renamed when complete, so that an interrupted start leaves nothing half made.
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        own(unfinished, account=self.account)
        command = [binaries.folder / "initdb", "-D", unfinished, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]
        self._run([*map(str, command), "--no-sync", *_locale(binaries.major)])
        single = [str(binaries.folder / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        self._run(single, stdin=BOOTSTRAP)
        unfinished.rename(self.data)

    def _run(self, command: list[str], *, stdin: str = "") -> None:
        answer = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            user=self.account.uid,
            group=self.account.gid,
            extra_groups=self.account.extra_groups,
            check=False,
        )
        # Single-user mode ends with 0 after a failed statement.
        if answer.returncode != 0 or "ERROR:" in answer.stderr:
            reason = " | ".join(answer.stderr.strip().splitlines()[-3:])
            raise LocalStackError(f"{command[0]} failed: {reason}")

    def _launch(self, binaries: PostgresBinaries) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.unlink()
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self._tuning()}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = spawn(
                [binaries.folder / "postgres", "-D", self.data, *options],
                environment=_environment(),
                output=log,
                death_signal=signal.SIGINT,
                account=self.account,
            )

    def _tuning(self) -> dict[str, str]:
        tuning = {} if self.durable else dict(CARELESS)
        memory = Path("/dev/shm")  # noqa: S108 - only its size is read
        if memory.exists():
            space = os.statvfs(memory)
            if space.f_blocks * space.f_frsize < SMALL_SHARED_MEMORY_BYTES:
                tuning["dynamic_shared_memory_type"] = "mmap"
        return {**tuning, **self.settings}

    def _wait_until_ready(self, *, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._is_ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LocalStackError(f"PostgreSQL did not start: {last_lines(self.log)} (whole log: {self.log})")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        """Read what pg_ctl reads: the server writes its state into the eighth line of its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        mine = self._process is not None and lines[:1] == [str(self._process.pid)]
        return mine and len(lines) >= 8 and lines[7].strip() == "ready"  # noqa: PLR2004 - see above


def _major_of(data: Path) -> int | None:
    """Return the major version that made the data folder, None where there is none."""
    try:
        return int((data / "PG_VERSION").read_text().split(".")[0])
    except FileNotFoundError:
        return None


def _locale(major: int) -> list[str]:
    """Return initdb's options for a locale that folds case everywhere and exists everywhere."""
    if major >= 17:  # noqa: PLR2004 - the first with the builtin provider
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale"]
    return ["--locale=C.UTF-8"]


def _environment() -> dict[str, str]:
    """Return an environment of our own: a broken LANG makes initdb fail, PGDATA and the like would be believed."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
