"""How commands fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask


@pytest.mark.parametrize(
    "command",
    [
        ["tenants", "list"],
        ["tenants", "create", "--slug", "riverside", "--name", "Riverside"],
        ["service-accounts", "create", "--tenant", "platform", "--name", "ops", "--role", "platform_admin"],
        ["demo", "load"],
    ],
)
def test_a_database_that_is_away_is_said_in_one_line(make_app: Callable[..., Flask], command: list[str]) -> None:
    away = "postgresql://library_app@127.0.0.1:1/library"
    app = make_app(DATABASE_URL=away, DATABASE_OWNER_URL=away)

    outcome = app.test_cli_runner().invoke(args=command)

    assert outcome.exit_code == 1
    assert outcome.output == "Error: The database does not answer at the moment; try again shortly.\n"
