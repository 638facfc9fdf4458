"""How commands fail: with status 1 and a line on stderr that says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.core.commands import CommandGroup

# Port 1 is nobody's.
AWAY = "postgresql://library_app:pa55word@127.0.0.1:1/library"
NOBODY_ANSWERS = 'PostgreSQL: connection to server at "127.0.0.1", port 1 failed: Connection refused'
NEW_ACCOUNT = ["service-accounts", "create", "--tenant", "platform", "--name", "ops", "--role", "platform_admin"]


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    """The exit status, and all that was printed."""
    outcome = app.test_cli_runner().invoke(args=list(arguments))
    return outcome.exit_code, outcome.output


@pytest.mark.parametrize(
    "command",
    [
        ["tenants", "list"],
        ["tenants", "create", "--slug", "riverside", "--name", "Riverside"],
        NEW_ACCOUNT,
        ["demo", "load"],
        ["demo", "reset"],
    ],
)
def test_a_database_that_is_away_is_said_in_one_line(
    make_app: Callable[..., Flask], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    app = make_app(DATABASE_URL=AWAY, DATABASE_OWNER_URL=AWAY)
    capsys.readouterr()

    assert run(app, *command) == (1, f"Error: {NOBODY_ANSWERS}\n")
    # The log goes where it went when the app was made.
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "check", "current"])
def test_migrations_say_so_too(make_app: Callable[..., Flask], command: str) -> None:
    app = make_app(DATABASE_OWNER_URL=AWAY)

    status, printed = run(app, "db", command)

    assert status == 1
    assert printed.splitlines()[-1] == f"Error: {NOBODY_ANSWERS} (DATABASE_OWNER_URL)"
    assert "Traceback" not in printed


def test_migrations_as_a_role_that_may_not_are_refused_in_one_line(
    make_app: Callable[..., Flask], migrated: dict[str, str]
) -> None:
    status, printed = run(make_app(DATABASE_OWNER_URL=migrated["DATABASE_URL"]), "db", "upgrade")

    assert status == 1
    assert printed == "Error: PostgreSQL: permission denied for table alembic_version (DATABASE_OWNER_URL)\n"


def test_models_and_tables_are_found_to_agree(app: Flask) -> None:
    status, printed = run(app, "db", "check")

    assert (status, "New upgrade operations" in printed) == (0, False), printed


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (
            ["tenants", "create", "--slug", "Bad Slug", "--name", " "],
            "Error: name: Must not be blank.\nslug: Use lower-case letters, digits and single hyphens between them.\n",
        ),
        (
            ["service-accounts", "create", "--tenant", "platform", "--name", "", "--role", "platform_admin"],
            "Error: name: Must not be blank.\n",
        ),
        (["openapi", "write", "/nowhere/openapi.json"], "Error: /nowhere/openapi.json: No such file or directory.\n"),
    ],
)
def test_what_is_refused_is_said_in_a_line_for_each_value(app: Flask, command: list[str], printed: str) -> None:
    assert run(app, *command) == (1, printed)


def test_redis_is_not_needed(app: Flask, make_app: Callable[..., Flask]) -> None:
    without = make_app(REDIS_URL="redis://127.0.0.1:1/0")

    assert run(without, "tenants", "create", "--slug", "hillside", "--name", "Hillside")[0] == 0
    assert run(without, *NEW_ACCOUNT)[0] == 0
    assert "hillside" in run(app, "tenants", "list")[1]


def test_every_command_of_ours_explains_itself_and_its_options(app: Flask) -> None:
    groups = {name: group for name, group in app.cli.commands.items() if isinstance(group, CommandGroup)}
    assert {"tenants", "service-accounts", "demo", "openapi", "postman"} <= groups.keys()

    silent = [
        f"{name} {command.name} {getattr(option, 'opts', [''])[0]}"
        for name, group in groups.items()
        for command in group.commands.values()
        for option in command.params
        if not command.help or (option.param_type_name == "option" and not getattr(option, "help", None))
    ]

    assert not silent
    assert all(group.help for group in groups.values())
