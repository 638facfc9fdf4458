"""Signing in with a password."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.security import Role
from app.members.models import UserType
from deploy.local.engines import Engines
from tests.auth.people import (
    EMAIL,
    PASSWORD,
    add_library,
    add_person,
    at_once,
    bearing,
    change,
    elsewhere,
    events,
    execute,
    log_in,
    refresh,
    signed_in,
    told,
)
from tests.conftest import Answer, Library
from tests.core.conftest import breakable, make_breakable_app
from tests.local_stack.processes import wait_until
from tests.naming import sent_statements

__all__ = ["breakable", "make_breakable_app"]

WRONG = "seals sleep at noon"


def without_request_id(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "request_id"}


def test_a_reader_signs_in_by_email(library: Library) -> None:
    user_id = add_person(library)

    answer = log_in(library)

    body = answer.json
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["refresh_token"].startswith("ref_")
    assert (body["user"]["id"], body["user"]["email"], body["user"]["role"]) == (str(user_id), EMAIL, "reader")
    assert body["user"]["last_login_at"] is not None
    me = bearing(library, body["access_token"]).json
    assert (me["kind"], me["id"], me["name"], me["role"]) == ("user", str(user_id), "Anna Smith", "reader")


def test_an_address_is_the_same_however_it_is_capitalised(library: Library) -> None:
    add_person(library)

    assert log_in(library, email="ANNA.Smith@Example.ORG").status_code == 200


def test_a_student_signs_in_by_username(library: Library) -> None:
    user_id = add_person(library, kind=UserType.STUDENT, email=None, username="rkvb-tmzw-83")

    assert signed_in(library, username="rkvb-tmzw-83")["user"]["id"] == str(user_id)


def test_an_address_is_no_username_and_a_username_no_address(library: Library) -> None:
    add_person(library, username="anna")

    assert log_in(library, username="anna").status_code == 200
    assert told(log_in(library, email="anna@example.org")) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "body",
    [
        {"password": PASSWORD},
        {"email": EMAIL, "username": "anna", "password": PASSWORD},
        {"email": EMAIL},
        {"email": EMAIL, "password": ""},
        {"email": EMAIL, "password": "x" * 129},
        {"email": EMAIL, "password": None},
        {"email": None, "password": PASSWORD},
        {"email": "no address", "password": PASSWORD},
        {"email": [EMAIL], "password": PASSWORD},
        {"username": "an na", "password": PASSWORD},
        {"email": EMAIL, "password": PASSWORD, "remember": True},
        {},
        [],
    ],
)
def test_what_does_not_name_one_account_and_its_password_is_refused(library: Library, body: Any) -> None:
    assert told(library.post("/auth/login", body, role=None)) == (422, "invalid_input")


# — one refusal ————————————————————————————————————————————————————————————————————————————————————


def test_nobody_can_tell_whether_there_is_an_account(
    library: Library, other_library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person(library)
    add_person(library, email="no.password@example.org", password=None)
    closed = add_person(library, email="closed@example.org")
    change(library, closed, is_active=False)
    add_person(other_library, email="elsewhere@example.org")
    log_in(library, email="first@example.org")
    verified: list[str] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, kept: str, given: str) -> bool:
        verified.append(kept)
        return verify(hasher, kept, given)

    monkeypatch.setattr(PasswordHasher, "verify", counted)

    answers, statements = [], []
    for email, password in (
        ("nobody@example.org", PASSWORD),
        (EMAIL, WRONG),
        ("no.password@example.org", PASSWORD),
        ("closed@example.org", PASSWORD),
        ("closed@example.org", WRONG),
        ("elsewhere@example.org", PASSWORD),
    ):
        with sent_statements() as sent:
            answers.append(log_in(library, email=email, password=password))
        statements.append(sent)

    assert told(answers[0]) == (401, "invalid_credentials")
    assert [without_request_id(each) for each in answers] == [without_request_id(answers[0])] * 6
    assert [each.headers["WWW-Authenticate"] for each in answers] == ['Bearer realm="library"'] * 6
    assert statements == [statements[0]] * 6
    # As costly as the account's own.
    assert [kept.split("$")[3] for kept in verified] == ["m=19456,t=2,p=1"] * 6


def test_failed_attempts_stand_in_the_audit_trail_without_anything_personal(library: Library, owner: Engine) -> None:
    user_id = add_person(library)

    log_in(library, password=WRONG)
    log_in(library, email="nobody@example.org")
    log_in(library)

    assert events(owner, "user.sign_in_refused") == [
        (user_id, "anonymous", {"method": "password"}),
        (None, "anonymous", {"method": "password"}),
    ]
    assert events(owner, "user.signed_in") == [(user_id, "anonymous", {"method": "password"})]


# — limits —————————————————————————————————————————————————————————————————————————————————————————


def test_an_address_has_five_attempts_a_minute_whatever_they_are_at(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")
    add_person(library)

    statuses = [log_in(library, email=f"guess{n}@example.org").status_code for n in range(5)]
    refused = log_in(library)

    assert statuses == [401] * 5
    assert told(refused) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert log_in(library, address="192.0.2.2").status_code == 200


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.org"])
def test_an_account_has_five_attempts_a_minute_from_wherever_they_come(
    make_app: Callable[..., Flask], email: str
) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")
    add_person(library)
    add_person(library, email="other@example.org")

    statuses = [log_in(library, email=email, password=WRONG, address=f"192.0.2.{n}").status_code for n in range(5)]
    refused = log_in(library, email=email.upper(), address="192.0.2.5")

    assert statuses == [401] * 5
    assert told(refused) == (429, "rate_limited")
    assert log_in(library, email="other@example.org", address="192.0.2.6").status_code == 200


def test_nobody_can_tell_that_an_address_and_a_username_are_one_accounts(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")
    add_person(library, username="anna-smith")

    for number in range(5):
        log_in(library, password=WRONG, address=f"192.0.2.{number}")

    for name in ("anna-smith", "nobody-s"):
        assert log_in(library, username=name, password=WRONG, address="192.0.2.9").status_code == 401


def test_a_network_of_ipv6_addresses_counts_as_one_client(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="2/minute"), "riverside")

    addresses = ["2001:db8:1:1::1", "2001:db8:1:1:ffff::2", "2001:db8:1:1::3", "2001:db8:1:2::1"]
    statuses = [
        log_in(library, email=f"a{n}@example.org", address=each).status_code for n, each in enumerate(addresses)
    ]

    assert statuses == [401, 401, 429, 401]


def test_an_account_of_the_same_address_elsewhere_is_counted_apart(make_app: Callable[..., Flask]) -> None:
    app = make_app(AUTH_RATE_LIMIT="1/minute")
    here, there = add_library(app, "riverside"), add_library(app, "hillside")
    add_person(there)

    assert log_in(here, address="192.0.2.1").status_code == 401
    assert log_in(here, address="192.0.2.2").status_code == 429
    assert log_in(there, address="192.0.2.3").status_code == 200


def test_without_redis_sign_in_is_closed_and_whoever_is_signed_in_stays_so(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    library = add_library(make_breakable_app(), "no-redis-no-login")
    add_person(library)
    begun = signed_in(library)

    breakable.stop_redis()
    try:
        refused, me = log_in(library), bearing(library, begun["access_token"])
        asked = library.post("/auth/magic-links", {"email": EMAIL}, role=None)
        renewed = refresh(library, begun["refresh_token"])
        redeemed = library.post("/auth/magic-links/redeem", {"token": "mag_x"}, role=None)
        joined = library.post(
            "/auth/join", {"join_code": "CDFG-HJKM", "first_name": "Kim", "last_initial": "L"}, role=None
        )
    finally:
        breakable.start_redis()

    closed = (503, "limit_unavailable")
    assert [told(each) for each in (refused, asked, renewed, redeemed, joined)] == [closed] * 5
    assert int(refused.headers["Retry-After"]) >= 1
    assert me.status_code == 200


def test_more_passwords_at_once_than_half_of_the_threads_are_asked_to_come_back(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(WEB_THREADS="2"), "riverside")
    add_person(library)

    answers = at_once(6, lambda: log_in(library))

    busy = [answer for answer in answers if answer.status_code != 200]
    assert len(busy) < 6
    assert {told(answer) for answer in busy} == {(503, "sign_in_busy")}
    assert {answer.headers["Retry-After"] for answer in busy} == {"1"}
    assert log_in(library).status_code == 200


# — passwords that change ——————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("meanwhile", ["password_hash = 'another'", "password_hash = NULL", "is_active = false"])
def test_a_password_that_is_changed_while_it_is_checked_opens_nothing(
    library: Library, owner: Engine, meanwhile: str
) -> None:
    user_id = add_person(library)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    with ThreadPoolExecutor(1) as threads, owner.connect() as connection:
        # Whoever changes the account has not committed yet when it is read, and has when the session is begun.
        connection.execute(text(f"UPDATE users SET {meanwhile} WHERE id = :id"), {"id": user_id})
        running = threads.submit(log_in, library)
        with owner.connect() as looking:
            assert wait_until(lambda: bool(looking.scalar(waiting)), timeout_seconds=20)
        connection.commit()
        answer = running.result(20)

    assert told(answer) == (401, "invalid_credentials")
    assert execute(owner, "SELECT id FROM user_sessions") == []


def test_a_hash_of_former_settings_is_renewed_by_whoever_knows_the_password(library: Library, owner: Engine) -> None:
    user_id = add_person(library)
    former = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    execute(owner, "UPDATE users SET password_hash = :former WHERE id = :id", former=former, id=user_id)

    log_in(library, password=WRONG)
    [(untouched,)] = execute(owner, "SELECT password_hash FROM users")
    begun = signed_in(library)
    [(renewed,)] = execute(owner, "SELECT password_hash FROM users")

    assert untouched == former
    assert renewed.split("$")[3] == "m=19456,t=2,p=1"
    assert bearing(library, begun["access_token"]).status_code == 200
    assert log_in(library).status_code == 200


def test_a_hash_that_is_none_opens_nothing(library: Library, owner: Engine) -> None:
    add_person(library)
    execute(owner, "UPDATE users SET password_hash = 'no hash'")

    assert told(log_in(library, password="no hash")) == (401, "invalid_credentials")  # pragma: allowlist secret


# — a role of one's own ————————————————————————————————————————————————————————————————————————————


def test_a_librarian_may_what_the_role_allows_in_every_process(
    library: Library, make_app: Callable[..., Flask]
) -> None:
    user_id = add_person(library, kind=UserType.STAFF, role=Role.LIBRARIAN)
    begun = signed_in(library)
    there = elsewhere(library, make_app())
    book = {"title": "Otters", "authors": [{"name": "Anna Smith"}]}

    def write(where: Library) -> int:
        return bearing(where, begun["access_token"], "/books", "POST", json=book).status_code

    before = [write(library), write(there)]
    change(library, user_id, role="educator")
    refused = [write(library), write(there)]
    begun = signed_in(library)
    after = [write(library), write(there)]

    assert (before, refused, after) == ([201, 201], [401, 401], [403, 403])
