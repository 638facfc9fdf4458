"""A service without the service: runs the real supervisor over small commands that behave as servers do.

`python -m tests.local_stack.stand_in stack FOLDER PORT MIGRATE` starts the stack; the other words are its parts.
"""

import http.server
import os
import signal
import socket
import sys
import time
from pathlib import Path

from deploy.local.processes import LocalStackError
from deploy.local.run import Plan, run
from deploy.local.supervisor import Program, Stopped
from deploy.local.watching import Watch

FOREVER_SECONDS = 600


def main(arguments: list[str]) -> int:
    """Run the part that the first word names."""
    part, *rest = arguments
    if part == "stack":
        return stack(Path(rest[0]), port=int(rest[1]), migrate=rest[2])
    if part == "web":
        return web(int(rest[0]))
    if part == "worker":
        return worker()
    if part == "demo":
        sys.stdout.write("demo key: lib_stand_in\n")
    if part == "broken-migrate":
        sys.stderr.write("the moon is in the wrong phase\n")
        return 3
    return 0


def stack(folder: Path, *, port: int, migrate: str) -> int:
    """Run the supervisor."""
    part = [sys.executable, "-m", "tests.local_stack.stand_in"]
    programs = [Program("worker", [*part, "worker"], 2), Program("web", [*part, "web", str(port)], 2)]
    plan = Plan(migrate=[*part, migrate], demo=[*part, "demo"], programs=programs)
    try:
        run(folder, environment=os.environ, port=port, plan=plan, watch=Watch(minds_parent=True))
    except Stopped:
        return 0
    except LocalStackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def web(port: int) -> int:
    """Listen, and fork a second process that shares the port and knows nothing of its parent's end."""
    server = http.server.HTTPServer(("127.0.0.1", port), _Ready)
    if os.fork() == 0:
        time.sleep(FOREVER_SECONDS)
        os._exit(0)
    server.serve_forever()
    return 0


def worker() -> int:
    """Fork a process that does not listen to SIGTERM, and wait."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(FOREVER_SECONDS)
    return 0


def free_port() -> int:
    """Return a port nobody uses at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
