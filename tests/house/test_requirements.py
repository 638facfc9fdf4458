"""The lock files are what pyproject.toml asks for; nothing here needs the internet."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS: dict[str, list[str]] = PROJECT["dependency-groups"]
# What each file locks.
ASKED_FOR = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "requirements-dev.txt": [*PROJECT["project"]["dependencies"], *GROUPS["local"], *GROUPS["dev"]],
    "requirements-postman.txt": GROUPS["postman"],
}
FILES = pytest.mark.parametrize("file", ASKED_FOR)
# A requirement, its hashes, and who asked for it.
_ENTRY = re.compile(r"^(\S[^\\\n]*) \\\n((?:    --hash=.*\n)+)((?:    #.*\n?)*)", re.MULTILINE)


def locked(file: str) -> dict[str, list[tuple[Requirement, str]]]:
    """The entries of a lock file by name, each with the lines that say who asked for it."""
    found: dict[str, list[tuple[Requirement, str]]] = {}
    for requirement, _, via in _ENTRY.findall((ROOT / file).read_text()):
        parsed = Requirement(requirement)
        found.setdefault(canonicalize_name(parsed.name), []).append((parsed, via))
    return found


def version_of(requirement: Requirement) -> str:
    [exact] = requirement.specifier
    assert exact.operator == "==", requirement
    return exact.version


@FILES
def test_what_is_asked_for_is_locked_and_nothing_else(file: str) -> None:
    asked = {canonicalize_name(Requirement(each).name) for each in ASKED_FOR[file]}
    direct = {name for name, entries in locked(file).items() if any("pyproject.toml" in via for _, via in entries)}

    assert direct == asked, "Run `make lock`."


@FILES
def test_what_is_locked_is_what_was_asked_for(file: str) -> None:
    entries = locked(file)
    wrong = [
        f"{each} is locked as {version_of(requirement)}"
        for each in ASKED_FOR[file]
        for requirement, _ in entries[canonicalize_name(Requirement(each).name)]
        if version_of(requirement) not in Requirement(each).specifier
    ]

    assert not wrong, f"Run `make lock`: {wrong}"


def test_development_runs_what_production_runs() -> None:
    development = locked("requirements-dev.txt")
    differing = [
        name
        for name, entries in locked("requirements.txt").items()
        if {version_of(each) for each, _ in entries} != {version_of(each) for each, _ in development[name]}
    ]

    assert not differing, f"Run `make lock`: {differing}"


@FILES
def test_every_line_of_a_lock_belongs_to_a_package_with_hashes_and_names_no_index(file: str) -> None:
    content = (ROOT / file).read_text()

    assert _ENTRY.sub("", content).strip() == ""
    assert "://" not in content, "Install from whichever index pip is set to."
