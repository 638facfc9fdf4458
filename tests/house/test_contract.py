"""What every operation owes its clients, tried on each."""

from __future__ import annotations

import pytest
from flask import Flask
from openapi_schema_validator import OAS31Validator
from werkzeug.test import TestResponse

from app.core.security import ROLE_PERMISSIONS, Role
from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.house.contract import Operation, components, operations, things_of

ROLES = ["librarian", "lms", "kiosk", "read_only"]


@pytest.fixture
def things(library: Library) -> dict[str, str]:
    return things_of(library)


@pytest.fixture
def headers(app: Flask) -> dict[str, str]:
    """Those who run the service may call everything."""
    return {"Authorization": f"Bearer {Library(app, 'platform', PLATFORM_ID).key('platform_admin')}"}


def call(app: Flask, operation: Operation, slug: str, things: dict[str, str], headers: dict[str, str]) -> TestResponse:
    body = operation.body
    if body and not operation.is_public:
        # What the example names is nobody's.
        body = {name: things.get(name, value) if name.endswith("_id") else value for name, value in body.items()}
    return app.test_client().open(
        operation.address(slug, things),
        method=operation.method,
        headers=headers,
        json=body,
        query_string={each["name"]: each["example"] for each in operation.query_parameters if each.get("required")},
        buffered=True,
    )


def test_a_stranger_is_asked_who_they_are(app: Flask, library: Library, things: dict[str, str]) -> None:
    for operation in operations(app):
        answer = call(app, operation, library.slug, things, {})
        # Of those that are public, some refuse what the example signs in with.
        if not operation.is_public:
            assert answer.status_code == 401, operation.name
            assert "WWW-Authenticate" in answer.headers, operation.name


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_its_permissions_say(app: Flask, library: Library, things: dict[str, str], role: str) -> None:
    headers = {"Authorization": f"Bearer {library.key(role)}"}
    for operation in operations(app):
        permission = operation.permission
        may = permission in ROLE_PERMISSIONS[Role(role)]
        if permission is None or (may and operation.method != "GET") or operation.path.endswith("/stream"):
            continue
        if role == "kiosk" and operation.path.endswith("/loans"):
            continue  # it may where it says of which copy; docs/access.md has that
        answer = call(app, operation, library.slug, things, headers)
        assert (answer.status_code == 403) is not may, f"{role}: {operation.name} {answer.text}"
        if not may:
            assert answer.get_json()["code"] == "forbidden", operation.name


def test_a_repeated_post_gets_the_first_answer(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    for operation in operations(app):
        if operation.method != "POST" or operation.is_public or not operation.keeps_answer:
            continue
        keyed = {**headers, "Idempotency-Key": operation.name}
        first, again = (call(app, operation, library.slug, things, keyed) for _ in range(2))
        if first.status_code < 400:
            assert first.status_code in operation.statuses, f"{operation.name}: {first.text}"
            assert first.get_json(), f"{operation.name} answers a repeatable request with nothing."
            assert (again.status_code, again.data) == (first.status_code, first.data), operation.name
            assert again.headers["Idempotent-Replayed"] == "true", operation.name
        else:
            assert first.status_code == 409, f"{operation.name}: {first.text}"


def test_what_was_created_is_where_the_answer_says(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    for operation in operations(app):
        if operation.method != "POST":
            continue
        made = call(app, operation, library.slug, things, headers)
        if made.status_code in (201, 202) and not operation.is_public:
            found = app.test_client().get(made.headers["Location"], headers=headers)
            assert found.status_code == 200, f"{operation.name}: {made.headers['Location']}"


def test_every_answer_has_an_etag_that_spares_the_next(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    for operation in operations(app):
        if operation.method != "GET" or operation.path.endswith(
            ("/stream", "/rate-limits", "/cover", "/search", "/export")
        ):
            continue
        first = call(app, operation, library.slug, things, headers)
        assert first.status_code == 200, f"{operation.name}: {first.text}"
        again = call(app, operation, library.slug, things, {**headers, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), operation.name


def test_a_stale_condition_stops_every_change(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    for operation in operations(app):
        if not any(each["name"] == "If-Match" for each in operation.description["parameters"]):
            continue
        stale = call(app, operation, library.slug, things, {**headers, "If-Match": '"stale"'})
        assert (stale.status_code, stale.get_json()["code"]) == (412, "precondition_failed"), operation.name


def test_a_fresh_condition_stops_none(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    conditional = [
        operation
        for operation in operations(app)
        if any(each["name"] == "If-Match" for each in operation.description["parameters"])
    ]
    # The tenant itself goes last.
    for operation in sorted(conditional, key=lambda each: (each.path.endswith("{slug}"), each.method == "DELETE")):
        address = operation.address(library.slug, things)
        before = app.test_client().get(address, headers=headers)
        changed = call(app, operation, library.slug, things, {**headers, "If-Match": before.headers["ETag"]})
        assert changed.status_code in (200, 204), f"{operation.name}: {changed.text}"
        if "ETag" in changed.headers:
            after = app.test_client().get(address, headers=headers)
            assert after.data == changed.data, f"{operation.name} answers something else than what is there now."
            assert changed.data != before.data, f"The example of {operation.name} changes nothing."


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_taken(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str], content_type: str
) -> None:
    for operation in operations(app):
        if operation.body_schema is None:
            continue
        answer = app.test_client().open(
            operation.address(library.slug, things),
            method=operation.method,
            headers=headers,
            data=b"{}",
            content_type=content_type,
        )
        assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type"), operation.name


def test_every_answer_is_as_its_schema_says(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    schemas = components(app)
    for operation in sorted(operations(app), key=lambda each: each.method == "DELETE"):
        if operation.path.endswith("/stream") or operation.method == "DELETE":
            continue
        answer = call(app, operation, library.slug, things, headers)
        if answer.status_code < 300 and answer.data:
            documented = operation.description["responses"][str(answer.status_code)]["content"]["application/json"]
            whole = OAS31Validator({**documented["schema"], "components": {"schemas": schemas}})
            faults = [f"{fault.json_path}: {fault.message}" for fault in whole.iter_errors(answer.get_json())]
            assert not faults, f"{operation.name}: {faults}"
