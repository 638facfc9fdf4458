"""What everybody may call, and what strangers may where a tenant has opened it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.auth.people import EMAIL, add_library, add_person, bearing, elsewhere, log_in, refresh, signed_in, told
from tests.conftest import Answer, Library

NEW = {"type": "reader", "name": "Li Wei", "email": "li.wei@example.org", "password": "seals sleep at noon"}
# A body that each takes, and what it answers to a stranger with an invented one.
PUBLIC: dict[str, tuple[dict[str, Any], int]] = {
    "/auth/login": ({"email": EMAIL, "password": "otters swim at dawn"}, 401),
    "/auth/refresh": ({"refresh_token": "ref_x"}, 401),
    "/auth/magic-links": ({"email": EMAIL}, 202),
    "/auth/magic-links/redeem": ({"token": "mag_x"}, 401),
    "/auth/oidc": ({"id_token": "a.b.c"}, 401),
}


def suspend(library: Library, platform: Library) -> None:
    key = platform.key("platform_admin")
    assert library.delete("", role=None, headers={"X-API-Key": key}).status_code == 204


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_is_there_for_an_active_tenant_alone(library: Library, platform: Library, path: str) -> None:
    body, status = PUBLIC[path]

    answered = library.post(path, body, role=None)
    suspend(library, platform)

    assert answered.status_code == status
    assert told(library.post(path, body, role=None)) == (404, "not_found")
    assert told(Library(library.app, "nowhere", library.id).post(path, body, role=None)) == (404, "not_found")


@pytest.mark.parametrize("path", PUBLIC)
def test_nothing_that_is_public_is_kept_on_the_way(library: Library, path: str) -> None:
    body, status = PUBLIC[path]

    answer = library.post(path, body, role=None)

    assert answer.status_code == status
    assert (answer.headers.get("Cache-Control") == "no-store") or status == 202
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_takes_an_idempotency_key_and_keeps_no_answer(library: Library, path: str) -> None:
    body, status = PUBLIC[path]

    answers = [library.post(path, body, role=None, headers={"Idempotency-Key": "k-1"}) for _ in range(2)]
    refused = library.post(path, body, role=None, headers={"Idempotency-Key": "x" * 256})

    assert [answer.status_code for answer in answers] == [status, status]
    assert all("Idempotent-Replayed" not in answer.headers for answer in answers)
    assert told(refused) == (422, "invalid_input")


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("headers", [{"Authorization": "Bearer outdated"}, {"X-API-Key": "junk"}])
def test_an_outdated_credential_changes_nothing_of_what_is_public(
    library: Library, path: str, headers: dict[str, str]
) -> None:
    body, status = PUBLIC[path]

    bare, laden = (library.post(path, body, role=None, headers=each) for each in ({}, headers))

    assert bare.status_code == laden.status_code == status
    assert bare.json.get("code") == laden.json.get("code")


def test_a_valid_credential_changes_nothing_either(library: Library, other_library: Library) -> None:
    add_person(library)
    key = other_library.key("admin")

    answer = library.post(
        "/auth/login",
        {"email": EMAIL, "password": "otters swim at dawn"},
        role=None,
        headers={"Authorization": f"Bearer {key}"},
    )

    assert answer.status_code == 200


# — strangers' own limits ——————————————————————————————————————————————————————————————————————————


def test_strangers_do_not_use_up_what_members_have(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(API_RATE_LIMIT_REQUESTS="5"), "riverside", settings={"self_registration": True})
    key = library.key("read_only")

    strangers = [library.post("/users", {}, role=None).status_code for _ in range(6)]

    assert strangers == [422] * 5 + [429]
    assert [library.get("/books", token=key).status_code for _ in range(6)] == [200] * 5 + [429]


def test_what_follows_a_sign_in_is_counted_by_address(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(SESSION_RATE_LIMIT="3/minute", API_RATE_LIMIT_REQUESTS="1"), "riverside")
    code = {"join_code": "CDFG-HJKM", "first_name": "Kim", "last_initial": "L"}

    first = refresh(library, "junk")
    redeemed = library.post("/auth/magic-links/redeem", {"token": "mag_x"}, role=None)
    statuses = [library.post("/auth/join", code, role=None).status_code for _ in range(2)]

    assert (first.status_code, redeemed.status_code, statuses) == (401, 401, [401, 429])
    assert first.headers["RateLimit-Policy"] == '"session";q=3;w=60'


# — opened by a setting ————————————————————————————————————————————————————————————————————————————


def register(library: Library, **headers: str) -> Answer:
    return library.post("/users", NEW, role=None, headers=headers)


def test_strangers_register_where_the_tenant_lets_them(make_library: Callable[..., Library]) -> None:
    closed, opened = make_library("riverside"), make_library("hillside", settings={"self_registration": True})

    assert told(register(closed)) == (401, "unauthenticated")
    assert register(opened).status_code == 201
    assert log_in(opened, email="li.wei@example.org", password="seals sleep at noon").status_code == 200


def test_a_setting_that_is_changed_counts_at_once_in_every_process(
    library: Library, make_app: Callable[..., Flask]
) -> None:
    there = elsewhere(library, make_app())
    statuses = [register(there).status_code]

    for is_on in (True, False):
        assert library.patch("", {"settings": {"self_registration": is_on}}, role="admin").status_code == 200
        statuses.append(register(there).status_code)

    assert statuses == [401, 201, 401]


def test_junk_for_a_credential_is_no_strangers_right(make_library: Callable[..., Library]) -> None:
    library = make_library("riverside", settings={"self_registration": True})

    for headers in ({"Authorization": "Bearer junk"}, {"Authorization": "Basic abc"}, {"X-API-Key": "junk"}):
        assert told(register(library, **headers)) == (401, "unauthenticated")


def test_whoever_is_signed_in_and_may_not_is_told_so(make_library: Callable[..., Library]) -> None:
    library = make_library("riverside", settings={"self_registration": True})
    add_person(library)
    token = signed_in(library)["access_token"]

    assert told(bearing(library, token, "/users", "POST", json=NEW)) == (403, "forbidden")


def test_a_suspended_tenant_lets_nobody_register(make_library: Callable[..., Library], platform: Library) -> None:
    library = make_library("riverside", settings={"self_registration": True})
    suspend(library, platform)

    assert told(register(library)) == (404, "not_found")
