"""`make postman`: runs the collection by newman from top to bottom, and says in a line how it went.

Against a fresh service with a stand-in for Open Library behind it; `--offline` leaves nothing behind it, and
`--against .data/demo.env` takes a service that runs already, as `make run` started it.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

from app.core.postman import FILE_NAME
from deploy.local.processes import LocalStackError
from tests.postman.node import PROJECT, RunError, newman
from tests.postman.report import Report
from tests.postman.stack import Service, fresh, running_already

RUN_SECONDS = 300
REQUEST_MS = 60_000
MOST_FAILURES = 20
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the collection and return the exit status: 0 only if every request was sent and every test passed."""
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT is taken even where a shell left it ignored.
        signal.signal(number, _interrupt)
    try:
        command = newman()
        with contextlib.ExitStack() as stack:
            if options.against:
                service = running_already(options.against)
            else:
                service = stack.enter_context(fresh(offline=options.offline))
            report = run(command, service, verbose=options.verbose)
    except (RunError, LocalStackError) as error:
        print(f"make postman: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return tell(report, service)


def run(command: list[str], service: Service, *, verbose: bool) -> Report:
    """Run newman and return what it reports.

    Raises:
        RunError: it broke off without a report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--environment", str(service.environment_file), "--timeout-request", str(REQUEST_MS)]
        options += ["--reporters", "cli,json" if verbose else "json", "--reporter-json-export", str(report)]
        output = None if verbose else subprocess.PIPE
        done = subprocess.run(
            [*command, "run", FILE_NAME, *options],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=RUN_SECONDS,
            check=False,
        )
        if not report.exists():
            said = b"" if verbose else done.stdout + done.stderr
            raise RunError(f"newman wrote no report: {said.decode(errors='replace').strip()}")
        return Report(json.loads(report.read_bytes()))


def tell(report: Report, service: Service) -> int:
    """Print the failures and the summary; return the exit status."""
    failures, unsent = report.failures, report.unsent
    for failure in failures[:MOST_FAILURES]:
        print(f"✗ {failure}")
    if len(failures) > MOST_FAILURES:
        print(f"✗ … and {len(failures) - MOST_FAILURES} more")
    if unsent:
        print(f"✗ never sent: {', '.join(unsent)}")
    print(f"Postman: {report.summary} (Open Library: {service.open_library})")
    return 1 if failures or unsent else 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.postman", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--offline", action="store_true", help="with Open Library out of reach")
    where.add_argument("--against", type=Path, metavar="DEMO_ENV", help="a running service, by its demo.env")
    parser.add_argument("--verbose", action="store_true", help="show every request and test")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
