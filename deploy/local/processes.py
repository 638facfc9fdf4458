"""Child processes that cannot outlive their parent, and the account they run under.

Uses the standard library only, because it also runs before anything is installed.
"""

import contextlib
import ctypes
import fcntl
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
# Loaded here and not in the child: between fork and exec a child may not take the loader's locks.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class LocalStackError(Exception):
    """Something on this machine keeps the local stack from running; the message is one line for the newcomer."""


@dataclass(frozen=True)
class Account:
    """The user a server runs as; `None` ids mean the present one."""

    uid: int | None
    gid: int | None

    @property
    def is_other(self) -> bool:
        """Whether starting a process means changing the user."""
        return self.uid is not None

    @property
    def extra_groups(self) -> list[int] | None:
        """The further groups to run with: none for another user, our own otherwise."""
        return [] if self.is_other else None


def server_account() -> Account:
    """Return the account for PostgreSQL and Redis: ourselves, or an unprivileged one when we are root.

    PostgreSQL refuses to run as root, and wants an account that has a name.
    """
    if os.geteuid() != 0:
        return Account(uid=None, gid=None)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise LocalStackError("PostgreSQL does not run as root and there is no account `postgres` or `nobody`: add one.")


def can_reach(path: Path, *, account: Account) -> bool:
    """Say whether `account` may pass through every folder from `/` down to `path`."""
    if not account.is_other:
        return True
    folders = [folder for folder in (path, *path.parents) if folder.is_dir()]
    return all(_may_enter(folder.stat(), account=account) for folder in folders)


def _may_enter(status: os.stat_result, *, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == account.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def own(path: Path, *, account: Account) -> None:
    """Give a file or folder to `account`, if that is another than ours."""
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def spawn(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes] | int = subprocess.STDOUT,
    death_signal: signal.Signals,
    account: Account,
    folder: Path = Path("/"),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that gets `death_signal` when this process dies, however it dies.

    Linux sends that signal when the *thread* that started the child ends, so call this from the main thread or from
    one that lives as long. Other systems have nothing alike: there `stop_orphan` cleans up at the next start.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=die_with_parent(death_signal),  # noqa: PLW1509 - the only place from which prctl reaches the child
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
    )


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that ties the child to the thread calling now; see `spawn`."""
    parent = os.getpid()

    def bind() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        # The parent may have died between fork and prctl; then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)

    return bind


def stop(process: subprocess.Popen[bytes], *, by: signal.Signals, timeout_seconds: float) -> bool:
    """Send `by`, wait, and kill what is left after the timeout. Returns whether the process ended by itself."""
    if process.poll() is not None:
        return True
    process.send_signal(by)
    try:
        process.wait(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def stop_orphan(pid_file: Path, *, program: str, by: signal.Signals, timeout_seconds: float = 30) -> None:
    """Stop the server a pid file speaks of if it still runs, and remove the file when it does not.

    The caller holds the data folder's lock, so whoever still serves that folder has lost its supervisor.

    Raises:
        LocalStackError: it runs and does not stop.
    """
    pid = _pid_in(pid_file)
    deadline = time.monotonic() + timeout_seconds
    while pid is not None and is_running(pid, program=program):
        if time.monotonic() > deadline:
            raise LocalStackError(f"An older {program} (process {pid}) does not stop: end it and start again.")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, by)
        time.sleep(0.1)
    pid_file.unlink(missing_ok=True)


def wait_until_unused(folder: Path, *, timeout_seconds: float) -> None:
    """Wait until no process works in `folder`. Only Linux can tell; elsewhere this returns at once.

    Raises:
        LocalStackError: one still does.
    """
    deadline = time.monotonic() + timeout_seconds
    while users := _working_in(folder):
        if time.monotonic() > deadline:
            raise LocalStackError(f"Processes {users} still use {folder}: end them and start again.")
        time.sleep(0.05)


def _working_in(folder: Path) -> list[int]:
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder:
                found.append(int(link.parent.name))
    return found


def _pid_in(pid_file: Path) -> int | None:
    try:
        return abs(int(pid_file.read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        return None


def is_running(pid: int, *, program: str) -> bool:
    """Say whether `pid` is a live process of that program; a zombie nobody reaps is not alive."""
    if sys.platform == "linux":
        return _is_running_by_proc(pid, program=program)
    answer = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat=", "-o", "command="], capture_output=True, text=True, check=False
    )
    return program in answer.stdout and not answer.stdout.lstrip().startswith("Z")


def _is_running_by_proc(pid: int, *, program: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # The second field is the name in parentheses and may hold blanks; the state follows it.
    state = status.rpartition(")")[2].split()[0]
    return state not in "ZX" and program.encode() in command_line


@contextlib.contextmanager
def locked(path: Path, *, message: str, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when the process dies.

    Raises:
        LocalStackError: another process holds it and `wait` is false; carries `message`.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(message) from error
        yield


def last_lines(path: Path, *, count: int = 5) -> str:
    """Return the end of a log on one line, for a message."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())
