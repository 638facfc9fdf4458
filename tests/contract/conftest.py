"""Fixtures and options of the contract's tests, and the report at their end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from tests.conftest import Library
from tests.contract.places import Place

FIXED_SEED = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be longer, or another one each time."""
    group = parser.getgroup("contract")
    group.addoption("--draw", default=str(FIXED_SEED), help="which cases are drawn: a number, or `random`")
    group.addoption(
        "--examples", type=int, default=4, help="cases drawn per operation and caller, beside the fixed ones"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose a seed once, for all workers."""
    if config.getoption("--draw") == "random":
        config.option.draw = str(random.randrange(2**32))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What decides which cases are drawn."""
    return int(request.config.getoption("--draw"))


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """How many cases are drawn per operation."""
    return int(request.config.getoption("--examples"))


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The app, with limits that thousands of requests don't reach."""
    return make_app(
        API_RATE_LIMIT_REQUESTS="900000000",
        AUTH_RATE_LIMIT="900000000/hour",
        SESSION_RATE_LIMIT="900000000/hour",
        CATALOGUE_RATE_LIMIT="900000000/hour",
        INGESTION_RATE_LIMIT_REQUESTS="900000000",
        INVENTORY_READ_RATE_LIMIT="900000000/hour",
        INVENTORY_WRITE_RATE_LIMIT="900000000/hour",
        LOG_LEVEL="ERROR",
    )


@pytest.fixture
def place(library: Library, other_library: Library) -> Place:
    """What there is to ask for."""
    return Place.furnish(library, other_library)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what each operation answered to whom, and which draw it was."""
    for line in _summary(terminalreporter):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"The same cases again: --draw {terminalreporter.config.getoption('--draw')}")


def _summary(reporter: pytest.TerminalReporter) -> Iterator[str]:
    reports = [*reporter.getreports("passed"), *reporter.getreports("failed")]
    for report in reports:
        for name, told in getattr(report, "user_properties", ()):
            if name == "answers" and report.when == "call":
                yield from told.splitlines()
