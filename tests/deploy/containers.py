"""Reading Dockerfile and compose files as the tools do that run them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

PROJECT = Path(__file__).resolve().parents[2]
BASE, DEVELOPMENT, PRODUCTION = (PROJECT / f"docker-compose{part}.yml" for part in ("", ".override", ".production"))
_VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


class MissingVariableError(Exception):
    """A variable that a compose file requires is not set; compose would print the same and end."""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name]


def instruction(name: str) -> str:
    """What the last instruction of this name says."""
    return [rest for each, rest in instructions() if each == name][-1]


def copied() -> list[tuple[list[str], str]]:
    """Sources and destination of every COPY from the project's folder."""
    words = [shlex.split(rest) for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [(sources, destination) for *sources, destination in words]


def command_of_image() -> list[str]:
    """The command that the image runs when it is told nothing else."""
    return cast("list[str]", json.loads(instruction("CMD")))


def health_check_of_image() -> list[str]:
    """The command that asks the image's default process whether it is well."""
    return cast("list[str]", json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2]))


def stack(*files: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The services that compose would run, with variables from `environ`; only what later files here add is merged.

    Raises:
        MissingVariableError: a variable is required and missing.
    """
    services: dict[str, Any] = {}
    for file in files:
        for name, given in _resolved(yaml.safe_load(file.read_text())["services"], environ or {}).items():
            before = services.get(name, {})
            environment = {**before.get("environment", {}), **given.get("environment", {})}
            services[name] = {**before, **given, "environment": environment}
    return services


def _resolved(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(each, environ) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, environ) for each in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda found: _variable(found, environ), value).replace("$$", "$")


def _variable(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, operator, rest = found.groups()
    given = environ.get(name, "")
    if operator == "?" and not given:
        raise MissingVariableError(f"{name}: {rest}")
    return given or ("" if operator == "?" else rest)
