"""Writes a migration from the difference between models and migrations: `make migration NAME=labels`.

On engines of its own, so that nobody's data have to be at head. What it writes wants reading, and a call of
`row_level_security` for each new table of tenants.
"""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local import engines
from deploy.local.processes import LocalStackError

PROJECT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Write the next migration and return the exit status."""
    name = os.environ.get("NAME", "")
    if not name.isidentifier():
        print("make migration: needs a name of letters and underscores, as in NAME=labels", file=sys.stderr)
        return 1
    number = len(list((PROJECT / "migrations" / "versions").glob("[0-9]*.py"))) + 1
    flask = [sys.executable, "-m", "flask", "--app", "wsgi", "db"]
    try:
        with engines.start_temporary() as running:
            for command in (["upgrade"], ["migrate", "--rev-id", f"{number:04}", "--message", name]):
                environment = {**os.environ, **running.environment()}
                subprocess.run([*flask, *command], cwd=PROJECT, env=environment, check=True)
    except LocalStackError as error:
        print(f"make migration: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        # Its own words stand above.
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
