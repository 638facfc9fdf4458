"""`make reset`: removes the data of the local stack. Standard library only."""

import shutil
import signal
import sys
from pathlib import Path

from deploy.local.places import data_folder, socket_path
from deploy.local.processes import LocalStackError, locked, server_account, stop_orphan, wait_until_unused

PROJECT = Path(__file__).resolve().parent.parent.parent


def remove(folder: Path) -> None:
    """Remove a data folder and what lies elsewhere for it.

    Raises:
        LocalStackError: a stack runs from it.
    """
    if not folder.exists():
        return
    message = f"{folder} is in use: stop the stack first."
    with locked(folder / "run.lock", message=message), locked(folder / "lock", message=message):
        account = server_account()
        data = data_folder(folder, account=account)
        # On systems that cannot tie servers to their supervisor's life, killed supervisors leave some.
        stop_orphan(data / "postgres" / "postmaster.pid", program="postgres", by=signal.SIGINT)
        wait_until_unused(data / "postgres", timeout_seconds=30)
        stop_orphan(data / "redis" / "redis.pid", program="redis", by=signal.SIGTERM)
        shutil.rmtree(socket_path(data, account=account), ignore_errors=True)
        if data != folder.resolve():
            shutil.rmtree(data)
        shutil.rmtree(folder)


def main() -> int:
    """Remove `.data` and return the exit status."""
    try:
        remove(PROJECT / ".data")
    except LocalStackError as error:
        print(f"make reset: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
