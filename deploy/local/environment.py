"""Builds `.venv` from the lock file: `python3 -m deploy.local.environment`. Standard library only.

Plain pip with hashes, so that everybody gets the same bytes. Run again it only installs what has changed.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

from deploy.local.processes import locked

PROJECT = Path(__file__).resolve().parent.parent.parent
LOCK_FILE = PROJECT / "requirements-dev.txt"
ENVIRONMENT = PROJECT / ".venv"
STAMP = ENVIRONMENT / "installed"


class EnvironmentBuildError(Exception):
    """The environment could not be built; the message is one line for the newcomer."""


def main() -> int:
    """Build what is missing and return the exit status."""
    ENVIRONMENT.mkdir(exist_ok=True)
    try:
        # Two commands at once in a fresh clone must not install over each other.
        with locked(ENVIRONMENT / ".lock", message="", wait=True):
            if not is_current():
                build()
    except (EnvironmentBuildError, OSError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    return 0


def is_current() -> bool:
    """Say whether the environment was installed after the lock file was last changed."""
    return STAMP.exists() and STAMP.stat().st_mtime >= LOCK_FILE.stat().st_mtime


def build() -> None:
    """Make the environment and install the locked packages.

    Raises:
        EnvironmentBuildError: venv or pip failed; their own words stand above.
    """
    python = ENVIRONMENT / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    if not _succeeds([str(python), "-c", ""]):
        print(f"Making .venv with Python {sys.version.split()[0]} …", flush=True)
        # Debian keeps the pip for new environments in a package of its own; the system's can serve instead.
        has_pip = importlib.util.find_spec("ensurepip") is not None and _ensurepip_works()
        _run([sys.executable, "-m", "venv", *([] if has_pip else ["--without-pip"]), str(ENVIRONMENT)])
    if _succeeds([str(python), "-m", "pip", "--version"]):
        pip = [str(python), "-m", "pip"]
    elif not _succeeds([*pip, "--version"]):
        raise EnvironmentBuildError("found no pip: install it, for example with `sudo apt-get install python3-venv`.")
    print("Installing the packages (the first time takes about a minute) …", flush=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    _run([*pip, "install", *options, "-r", str(LOCK_FILE)])
    _run([str(python), "-m", "deploy.local.binaries"])
    STAMP.touch()


def _ensurepip_works() -> bool:
    return _succeeds([sys.executable, "-m", "ensurepip", "--version"])


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str]) -> None:
    if subprocess.run(command, cwd=PROJECT, check=False, stdin=subprocess.DEVNULL).returncode != 0:
        raise EnvironmentBuildError(f"`{' '.join(command[:4])} …` failed; its words stand above.")


if __name__ == "__main__":
    sys.exit(main())
