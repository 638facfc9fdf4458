"""Strangers who make an account for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.tenants import service as tenants
from deploy.local.engines import Engines
from tests.conftest import Answer, Library
from tests.core.conftest import breakable, make_breakable_app

__all__ = ["breakable", "make_breakable_app"]

REA: dict[str, Any] = {
    "type": "reader",
    "name": "Rea Reader",
    "email": "rea@example.org",
    "password": "otters swim at dawn",
}


def opened(app: Flask, slug: str) -> Library:
    with app.app_context():
        made = tenants.create_tenant(slug=slug, name=slug, kind="library", settings={"self_registration": True})
        db.session.remove()
    return Library(app, slug, made.id)


@pytest.fixture
def library(app: Flask) -> Library:
    """A tenant that lets strangers register."""
    return opened(app, "riverside")


def register(library: Library, **fields: Any) -> Answer:
    body = {name: value for name, value in {**REA, **fields}.items() if value is not None}
    return library.post("/users", body, role=None)


def test_a_stranger_becomes_a_reader_and_signs_in(library: Library) -> None:
    made = register(library)

    assert (made.status_code, made.json["role"]) == (201, "reader")
    signed_in = library.post("/auth/login", {"email": REA["email"], "password": REA["password"]}, role=None)
    assert signed_in.json["user"]["id"] == made.json["id"]


def test_a_registration_that_is_repeated_is_counted_once(make_app: Callable[..., Flask]) -> None:
    library = opened(make_app(AUTH_RATE_LIMIT="2/minute"), "riverside")
    key = {"Idempotency-Key": "k-1"}

    answers = [library.post("/users", REA, role=None, headers=key) for _ in range(4)]

    assert [each.status_code for each in answers] == [201] * 4
    assert len({each.json["id"] for each in answers}) == 1
    assert register(library, email="li@example.org").status_code == 201
    assert register(library, email="kim@example.org").status_code == 429


def test_where_the_tenant_does_not_want_it_nobody_does(other_library: Library) -> None:
    refused = register(other_library)

    assert (refused.status_code, refused.json["code"]) == (401, "unauthenticated")


def test_the_setting_counts_from_the_next_request_on(library: Library, app: Flask) -> None:
    register(library)
    with app.app_context(), as_tenant(library.id):
        tenants.update_tenant(library.id, {"settings": {"self_registration": False}})
        db.session.remove()

    assert register(library, email="ray@example.org").status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "staff", "role": "admin"},
        {"type": "staff", "role": "librarian"},
        {"type": "guardian"},
        {"type": "student"},
    ],
    ids=str,
)
def test_a_stranger_becomes_nothing_else(library: Library, fields: dict[str, str]) -> None:
    assert register(library, **fields).status_code == 401


def test_a_stranger_takes_no_role_along(library: Library) -> None:
    assert register(library, role="admin").status_code == 422


@pytest.mark.parametrize("missing", ["email", "password"])
def test_a_stranger_needs_a_way_to_sign_in(library: Library, missing: str) -> None:
    refused = register(library, **{missing: None})

    assert [each["field"] for each in refused.json["errors"]] == [missing]


def test_an_address_is_registered_once(library: Library) -> None:
    register(library)

    assert register(library).json["code"] == "email_taken"


def test_who_is_signed_in_registers_nobody(library: Library, other_library: Library) -> None:
    own, foreign = library.person("reader"), other_library.person("admin")

    assert library.post("/users", REA, token=own.token).status_code == 403
    assert library.post("/users", REA, token=foreign.token).status_code == 404
    assert library.post("/users", REA, token="lib_none").status_code == 401


def test_registrations_are_counted_by_address_and_administrators_are_not(make_app: Callable[..., Flask]) -> None:
    library = opened(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")
    statuses = [register(library, email=f"rea{number}@example.org").status_code for number in range(5)]
    refused = register(library, email="rea5@example.org")
    by_admin = [library.post("/users", {"type": "reader", "name": "x"}, role="admin").status_code for _ in range(6)]

    assert statuses == [201] * 5
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert by_admin == [201] * 6


def test_with_redis_away_nobody_registers(make_breakable_app: Callable[..., Flask], breakable: Engines) -> None:
    library = opened(make_breakable_app(), "no-redis-no-registration")
    library.key("admin")

    breakable.stop_redis()
    try:
        refused = register(library)
        by_admin = library.post("/users", {"type": "reader", "name": "x"}, role="admin")
    finally:
        breakable.start_redis()

    assert (refused.status_code, refused.json["code"]) == (503, "limit_unavailable")
    assert by_admin.status_code == 201


def test_a_repeated_registration_makes_nobody_twice(library: Library) -> None:
    first, again = (library.post("/users", REA, role=None, headers={"Idempotency-Key": "1"}) for _ in range(2))

    assert (first.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
