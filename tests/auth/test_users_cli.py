"""`flask users …`."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from tests.auth.people import EMAIL, PASSWORD, add_person, bearing, change, events, execute, log_in, signed_in
from tests.conftest import Library


def run(app: Flask, *arguments: str, given: str | None = None) -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(args=["users", *arguments], input=given)
    return result.exit_code, result.stdout, result.stderr


def create(app: Flask, *arguments: str, given: str | None = None) -> tuple[int, str, str]:
    return run(app, "create", "--tenant", "riverside", "--email", EMAIL, *arguments, given=given)


def shown(library: Library, user_id: str) -> Any:
    return library.get(f"/users/{user_id.strip()}", role="admin").json


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("admin", "staff"),
        ("librarian", "staff"),
        ("educator", "staff"),
        ("reader", "reader"),
        ("guardian", "guardian"),
    ],
)
def test_a_user_is_created_with_the_type_that_the_role_belongs_to(
    app: Flask, library: Library, role: str, kind: str
) -> None:
    code, out, err = create(app, "--role", role, "--name", "Anna Smith")

    assert (code, err) == (0, "")
    person = shown(library, out)
    assert (person["type"], person["role"], person["name"], person["email"]) == (kind, role, "Anna Smith", EMAIL)


def test_a_user_without_a_name_has_what_stands_before_the_at(app: Flask, library: Library) -> None:
    _, out, _ = create(app, "--role", "reader")

    assert shown(library, out)["name"] == "anna.smith"


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_a_password_is_read_from_stdin(app: Flask, library: Library, ending: str) -> None:
    code, out, err = create(app, "--role", "admin", "--password-stdin", given=PASSWORD + ending)

    assert (code, err) == (0, "")
    assert PASSWORD not in out
    assert signed_in(library)["user"]["role"] == "admin"


def test_without_one_the_account_has_no_password(app: Flask, library: Library, owner: Engine) -> None:
    create(app, "--role", "admin", given=PASSWORD)

    assert log_in(library).status_code == 401
    assert execute(owner, "SELECT password_hash FROM users") == [(None,)]


def test_the_first_of_those_who_run_the_service_is_made_by_command(app: Flask, platform: Library) -> None:
    options = ("--tenant", "platform", "--email", EMAIL)
    code, _, _ = run(app, "create", *options, "--role", "platform_admin")
    _, token, _ = run(app, "token", *options)

    assert code == 0
    answer = app.test_client().get("/api/v1/tenants", headers={"Authorization": f"Bearer {token.strip()}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("--tenant", "nowhere", "--role", "admin"), None, "There is no tenant 'nowhere'"),
        (("--role", "platform_admin"), None, "The role platform_admin exists in the tenant 'platform' only"),
        (("--email", "anna", "--role", "admin"), None, "email: Must be an e-mail address."),
        (("--email", "taken@example.org", "--role", "admin"), None, "Somebody else has this e-mail address."),
        (("--name", " ", "--role", "admin"), None, "name: Must not be blank."),
        (("--role", "admin", "--password-stdin"), "short\n", "password: Length must be between 12 and 128."),
        (("--role", "admin", "--password-stdin"), "password1234\n", "password: Is among those that are guessed"),
        (("--role", "admin", "--password-stdin"), "", "password: "),
    ],
)
def test_a_refusal_is_one_clear_line_and_a_failure(
    library: Library, owner: Engine, arguments: tuple[str, ...], given: str | None, said: str
) -> None:
    add_person(library, email="taken@example.org")

    code, out, err = create(library.app, *arguments, given=given)

    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {said}")
    assert len(err.strip().splitlines()) == 1
    assert execute(owner, "SELECT count(*) FROM users") == [(1,)]


@pytest.mark.parametrize("role", ["student", "lms", "king"])
def test_a_role_that_no_user_has_is_refused(app: Flask, library: Library, role: str) -> None:
    code, out, err = create(app, "--role", role)

    assert (code, out) == (2, "")
    assert "'--role'" in err


def test_a_token_and_nothing_else_is_printed(app: Flask, library: Library, owner: Engine) -> None:
    user_id = add_person(library)

    code, out, err = run(app, "token", "--tenant", "riverside", "--email", EMAIL.upper())

    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    assert bearing(library, out.strip()).json["id"] == str(user_id)
    assert events(owner, "user.signed_in") == [(user_id, "system", {"method": "command"})]


def test_there_is_no_token_for_whom_there_is_no_way_in(app: Flask, library: Library, other_library: Library) -> None:
    change(library, add_person(library, email="closed@example.org"), is_active=False)
    add_person(other_library, email="elsewhere@example.org")

    for tenant, email in (
        ("riverside", "nobody@example.org"),
        ("riverside", "closed@example.org"),
        ("riverside", "elsewhere@example.org"),
        ("nowhere", EMAIL),
    ):
        code, out, err = run(app, "token", "--tenant", tenant, "--email", email)

        assert (code, out) == (1, "")
        assert err.startswith("Error: ")
        assert len(err.strip().splitlines()) == 1
