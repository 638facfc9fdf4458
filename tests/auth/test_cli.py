"""`flask service-accounts …`."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import Library


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["service-accounts", "create", "--name", "first", *arguments])
    return result.exit_code, result.output


def test_the_key_and_nothing_else_is_printed(app: Flask, library: Library, client: FlaskClient) -> None:
    code, output = run(app, "--tenant", "riverside", "--role", "lms")

    assert code == 0
    assert output.endswith("\n")
    answer = client.get("/api/v1/tenants/riverside/auth/me", headers={"X-API-Key": output.strip()})
    assert answer.get_json()["role"] == "lms"


def test_the_first_key_of_all_is_the_platforms(app: Flask, client: FlaskClient) -> None:
    code, output = run(app, "--tenant", "platform", "--role", "platform_admin")

    assert code == 0
    assert client.get("/api/v1/tenants", headers={"X-API-Key": output.strip()}).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tenant", "nowhere", "--role", "lms"),
        ("--tenant", "riverside", "--role", "platform_admin"),
        ("--tenant", "platform", "--role", "lms"),
    ],
)
def test_a_refusal_is_one_clear_line_and_a_failure(app: Flask, library: Library, arguments: tuple[str, ...]) -> None:
    code, output = run(app, *arguments)

    assert code == 1
    assert output.startswith("Error: ")
    assert len(output.strip().splitlines()) == 1
