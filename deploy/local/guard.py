"""Runs one command and sees to it that nothing of it is left: `python -m deploy.local.guard SECONDS COMMAND…`.

Servers fork workers, and these outlive a parent that is killed: they keep the port. So the command gets a process
group of its own, and whatever is left of that group is killed when the command has ended, when it has not ended
`SECONDS` after SIGTERM, or soon after the supervisor has died.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

from deploy.local.processes import die_with_parent
from deploy.local.watching import Watch

# The database goes down with the supervisor, so there is little left to finish.
ORPHAN_GRACE_SECONDS = 5.0
LOOK_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Run the command to its end and return its exit status, 128 + n if signal n killed it."""
    grace_seconds, command = float(arguments[0]), arguments[1:]
    watch = Watch(minds_parent=True)
    binding = die_with_parent(signal.SIGTERM)
    process = subprocess.Popen(command, process_group=0, preexec_fn=binding)  # noqa: PLW1509 - there are no threads here
    deadline: float | None = None
    while process.poll() is None:
        if deadline is None and (watch.received or watch.has_lost_parent):
            process.terminate()
            deadline = time.monotonic() + grace_seconds
        if deadline is not None and watch.has_lost_parent:
            deadline = min(deadline, time.monotonic() + ORPHAN_GRACE_SECONDS)
        if deadline is not None and time.monotonic() > deadline:
            break
        watch.wait(LOOK_SECONDS)
    _kill_group(process)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
