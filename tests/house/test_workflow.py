"""The workflow on GitHub does what `.ci/run` does, by the same targets of the Makefile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

    assert {"lint", "test"} <= required
    assert required - made_by_workflow() == set(), "Make these in .github/workflows/main.yaml as well."


def test_every_job_ends_in_time_and_may_do_nothing_but_read() -> None:
    assert [name for name, job in JOBS.items() if not 0 < job.get("timeout-minutes", 0) <= 30] == []
    assert [name for name, job in JOBS.items() if "permissions" in job] == []


def test_actions_are_pinned_and_keep_no_credential() -> None:
    uses = [step for step in steps() if "uses" in step]

    assert [step["uses"] for step in uses if not re.search(r"@(v\d+|[0-9a-f]{40})$", step["uses"])] == []
    checkouts = [step for step in uses if step["uses"].startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
