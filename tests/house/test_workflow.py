"""The workflow on GitHub does what `.ci/run` does, by the same targets of the Makefile."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JOBS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/main.yaml").read_text())["jobs"]


def steps() -> Iterator[dict[str, Any]]:
    for job in JOBS.values():
        yield from job["steps"]


def targets(commands: str) -> set[str]:
    """What is made by these lines of shell."""
    return set(re.findall(r"^(?:.*&& )?make ([a-z]+)", commands, re.MULTILINE))


def made_by_workflow() -> set[str]:
    return targets("\n".join(step.get("run", "") for step in steps()))


def test_every_target_that_the_workflow_makes_exists() -> None:
    existing = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert made_by_workflow() - existing == set(), "Add these to the Makefile, or make others in the workflow."


def test_the_workflow_makes_whatever_every_change_must_pass() -> None:
    required = targets((ROOT / ".ci/run").read_text())

    assert required == {"lint", "test", "contract", "postman"}
    assert required - made_by_workflow() == set(), "Make these in .github/workflows/main.yaml as well."


@pytest.mark.parametrize("target", ["test", "contract"])
@pytest.mark.parametrize(("given", "workers"), [({}, 2), ({"REDIS_URL": "redis://127.0.0.1:6379/0"}, 0)], ids=str)
def test_two_workers_run_the_tests_unless_they_would_share_a_redis(
    target: str, given: dict[str, str], workers: int
) -> None:
    command = subprocess.run(
        ["make", "--dry-run", target],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert re.findall(r" -n (\d)", command) == ([str(workers)] if workers else [])


def test_the_collection_runs_with_open_library_away_as_well() -> None:
    offline = "make postman ARGS=--offline"

    assert offline in (ROOT / ".ci/run").read_text().splitlines()
    assert offline in [step.get("run") for step in JOBS["postman"]["steps"]]


def test_the_tests_run_on_every_python_and_on_engines_of_their_own() -> None:
    assert JOBS["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    services = JOBS["test-on-services"]
    assert services["strategy"]["matrix"]["postgres"] == ["15", "18"]
    assert services["services"].keys() == {"postgres", "redis"}
    assert "make test ARGS=tests/house/test_migrations.py" in [step.get("run") for step in services["steps"]]


def test_the_image_is_built_and_asked_and_dependencies_are_audited() -> None:
    commands = [step.get("run", "") for step in JOBS["image"]["steps"]]

    assert "docker compose build" in commands
    assert any(command.startswith("docker compose up") and "--wait" in command for command in commands)
    assert any(command.startswith("curl --fail") and "/health/" in command for command in commands)
    assert "audit" in made_by_workflow()


def test_every_job_ends_in_time_and_may_do_nothing_but_read() -> None:
    assert [name for name, job in JOBS.items() if not 0 < job.get("timeout-minutes", 0) <= 30] == []
    assert [name for name, job in JOBS.items() if "permissions" in job] == []


def test_actions_are_pinned_and_keep_no_credential() -> None:
    uses = [step for step in steps() if "uses" in step]

    assert [step["uses"] for step in uses if not re.search(r"@(v\d+|[0-9a-f]{40})$", step["uses"])] == []
    checkouts = [step for step in uses if step["uses"].startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
