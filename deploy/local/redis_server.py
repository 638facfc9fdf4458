"""One private Redis server on a unix socket, never on TCP: packaged versions lack the latest security fixes."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local.binaries import find_redis
from deploy.local.processes import Account, LocalStackError, last_lines, own, spawn, stop, stop_orphan


@dataclass(eq=False)
class RedisServer:
    """A server over `data`, listening in `sockets`; with `keeps_data` it survives its own end (AOF, every second)."""

    data: Path
    sockets: Path
    log: Path
    account: Account
    keeps_data: bool
    _process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The path of the unix socket."""
        return self.sockets / "redis.sock"

    @property
    def url(self) -> str:
        """The address as redis-py spells it; the application derives the other spellings."""
        return f"unix://{self.socket}?db=0"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running server, for those who watch or kill it."""
        return self._process

    def start(self) -> None:
        """Start the server and wait until it answers, its data loaded.

        Raises:
            LocalStackError: no binary, or the server does not come up; carries the end of its log.
        """
        program = find_redis(account=self.account)
        pid_file = self.data / "redis.pid"
        self.stop()
        stop_orphan(pid_file, program=program.name, by=signal.SIGTERM)
        self.data.mkdir(mode=0o700, exist_ok=True)
        own(self.data, account=self.account)
        with self.log.open("wb") as log:
            self._process = spawn(
                [program, *self._options(pid_file)],
                environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                output=log,
                death_signal=signal.SIGTERM,
                account=self.account,
            )
        self._wait_until_ready(timeout_seconds=60)

    def stop(self) -> None:
        """Write what is to be kept and end."""
        if self._process is not None:
            stop(self._process, by=signal.SIGTERM, timeout_seconds=30)
            self._process = None

    def _options(self, pid_file: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "pidfile": str(pid_file),
            "appendonly": "yes" if self.keeps_data else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _wait_until_ready(self, *, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LocalStackError(f"Redis did not start: {last_lines(self.log)} (whole log: {self.log})")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False
