"""Join codes: made by whoever owns a group, and what strangers become with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from app.core import pii
from app.core.tenancy import tenant
from tests.auth.people import add_library, at_once, elsewhere, events, execute, refresh, told
from tests.conftest import Answer, Library, Person
from tests.members.groups import created, fill, members, sees, size

INVALID = (401, "invalid_join_code")
KEYS = {
    "old": "old:b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCE=",  # pragma: allowlist secret
    "new": "new:bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyE=",  # pragma: allowlist secret
}


@pytest.fixture
def educator(library: Library) -> Person:
    """Somebody who teaches."""
    return library.person("educator")


@pytest.fixture
def group_id(library: Library, educator: Person) -> str:
    """The educator's class."""
    return created(library, by=educator)


def new_code(library: Library, group_id: str, **options: Any) -> Answer:
    answer = library.post(f"/groups/{group_id}/join-code", **{"role": "admin", **options})
    assert answer.status_code == 201, answer.text
    return answer


def code_of(library: Library, group_id: str) -> str:
    return str(new_code(library, group_id).json["join_code"])


def join(library: Library, code: Any, *, key: str | None = None, **fields: Any) -> Answer:
    """Join as Kim L., unless `fields` say otherwise."""
    body = {"join_code": code, "first_name": "Kim", "last_initial": "L", **fields}
    return library.post("/auth/join", body, role=None, headers={"Idempotency-Key": key} if key else {})


# — codes ——————————————————————————————————————————————————————————————————————————————————————————


def test_a_code_is_shown_once_and_lasts_for_fourteen_days(library: Library, educator: Person, group_id: str) -> None:
    before = datetime.now(UTC)
    answer = new_code(library, group_id, token=educator.token)
    after = datetime.now(UTC)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"] == f"/api/v1/tenants/riverside/groups/{group_id}"
    assert re.fullmatch(r"[ACDEFGHJKMNPQRTWXY34679]{4}-[ACDEFGHJKMNPQRTWXY34679]{4}", answer.json["join_code"])
    expires_at = datetime.fromisoformat(answer.json["expires_at"])
    assert before + timedelta(days=14) <= expires_at <= after + timedelta(days=14)
    shown = library.get(f"/groups/{group_id}", token=educator.token)
    assert shown.json["join_code_expires_at"] == answer.json["expires_at"]
    assert answer.json["join_code"] not in shown.text


def test_codes_are_not_alike(library: Library, group_id: str) -> None:
    assert len({code_of(library, group_id) for _ in range(20)}) == 20


def test_what_is_stored_of_a_code_is_a_keyed_hash(library: Library, group_id: str, owner: Engine) -> None:
    code = code_of(library, group_id)

    [(stored,)] = execute(owner, "SELECT join_code_hash FROM groups")
    with library.app.app_context(), tenant(library.id):
        assert bytes(stored) == pii.look_up_hash(code.replace("-", ""), purpose="join code")
    bare = code.replace("-", "")
    rows = execute(owner, "SELECT g::text || (SELECT string_agg(e::text, '') FROM events e) FROM groups g")
    assert not [row for (row,) in rows if code in row or bare in row]
    assert events(owner, "group.join_code_created") == [(UUID(group_id), "service_account", {})]


def test_a_repeated_request_makes_one_code_and_is_not_kept_on_the_way(library: Library, group_id: str) -> None:
    first, again = (new_code(library, group_id, headers={"Idempotency-Key": "k-1"}) for _ in range(2))

    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Cache-Control"] == "no-store"
    assert join(library, first.json["join_code"]).status_code == 201


# — joining ————————————————————————————————————————————————————————————————————————————————————————


def test_whoever_has_the_code_becomes_a_student_who_is_signed_in(
    library: Library, educator: Person, group_id: str, owner: Engine
) -> None:
    answer = join(library, code_of(library, group_id))

    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body, user = answer.json, answer.json["user"]
    assert answer.headers["Location"] == f"/api/v1/tenants/riverside/users/{user['id']}"
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert (user["type"], user["role"], user["name"], user["email"]) == ("student", "reader", "Kim L.", None)
    assert re.fullmatch(r"[bcdfghjkmnpqrstvwxz]{4}-[bcdfghjkmnpqrstvwxz]{4}-[0-9]{2}", user["username"])
    me = library.get("/auth/me", token=body["access_token"]).json
    assert (me["id"], me["name"], me["role"]) == (user["id"], "Kim L.", "reader")
    assert refresh(library, body["refresh_token"]).status_code == 200
    assert members(library, group_id, by=educator) == [user["id"]]
    assert sees(library, educator, UUID(user["id"]))
    assert execute(owner, "SELECT joined_group_id FROM students") == [(UUID(group_id),)]
    assert execute(owner, "SELECT password_hash FROM users WHERE type = 'student'") == [(None,)]
    student = UUID(user["id"])
    assert events(owner, "user.signed_in")[-1] == (student, "anonymous", {"method": "join_code"})
    assert events(owner, "group.member_added") == [(UUID(group_id), "anonymous", {"user_id": user["id"]})]
    assert events(owner, "user.sign_in_refused") == []


def test_a_whole_class_joins_from_one_address_in_a_minute(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="1/minute"), "riverside")
    group_id = created(library)
    code = code_of(library, group_id)

    answers = [join(library, code, last_initial=letter) for letter in "ABCDEFGHIJ"]

    assert [answer.status_code for answer in answers] == [201] * 10
    assert len({answer.json["user"]["username"] for answer in answers}) == 10
    assert len(members(library, group_id)) == 10


def test_codes_are_not_tried_without_end(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(SESSION_RATE_LIMIT="3/minute"), "riverside")

    answers = [told(join(library, "AAAA-AAAA")) for _ in range(4)]

    assert answers == [INVALID] * 3 + [(429, "rate_limited")]


@pytest.mark.parametrize(
    "spelled",
    [
        lambda code: code,
        lambda code: code.lower(),
        lambda code: code.replace("-", ""),
        lambda code: f" {code.replace('-', ' ').lower()} ",
        lambda code: f"{code[:2]}-{code[2:4]}-{code[5:]}",
    ],
)
def test_case_and_hyphens_do_not_matter(library: Library, group_id: str, spelled: Callable[[str], str]) -> None:
    assert join(library, spelled(code_of(library, group_id))).status_code == 201


@pytest.mark.parametrize(
    ("first_name", "letter", "name"),
    [
        ("Kim", "l", "Kim L."),
        ("Жанна", "ж", "Жанна Ж."),
        ("小明", "李", "小明 李."),
        ("ნინო", "ბ", "ნინო ბ."),
        ("Zoë-Anne Marie", "É", "Zoë-Anne Marie É."),
        ("x" * 100, "y", "x" * 100 + " Y."),
    ],
)
def test_names_are_of_any_script(library: Library, group_id: str, first_name: str, letter: str, name: str) -> None:
    answer = join(library, code_of(library, group_id), first_name=first_name, last_initial=letter)

    assert answer.status_code == 201, answer.text
    assert answer.json["user"]["name"] == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", ""),
        ("first_name", " "),
        ("first_name", "x" * 101),
        ("first_name", "Kim\x00"),
        ("first_name", None),
        ("last_initial", ""),
        ("last_initial", "Le"),
        ("last_initial", "1"),
        ("last_initial", "."),
        ("last_initial", " "),
        ("last_initial", None),
        ("join_code", ""),
        ("join_code", "x" * 41),
        ("join_code", 12345678),
        ("join_code", None),
        ("type", "staff"),
        ("role", "admin"),
        ("email", "kim@example.org"),
        ("username", "kim"),
    ],
)
def test_a_field_that_is_not_acceptable_is_named(library: Library, group_id: str, field: str, value: Any) -> None:
    fields = {"code": code_of(library, group_id), field: value}
    code = fields.pop("join_code", fields["code"])
    fields.pop("code")

    refused = join(library, code, **fields)

    assert told(refused) == (422, "invalid_input")
    assert [error["field"] for error in refused.json["errors"]] == [field]
    assert members(library, group_id) == []


# — what does not count ————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("code", ["AAAA-AAAA", "-", "KQ7M", "KQ7M-4XPA-9", "☃☃☃☃-☃☃☃☃", "' OR ''='"])
@pytest.mark.parametrize("key", [None, "k-1"])
def test_a_wrong_code_lets_nobody_in_and_stands_in_the_audit_trail(
    library: Library, group_id: str, owner: Engine, code: str, key: str | None
) -> None:
    code_of(library, group_id)

    refused = join(library, code, key=key)

    assert told(refused) == INVALID
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="library"'
    assert events(owner, "user.sign_in_refused") == [(None, "anonymous", {"method": "join_code"})]
    assert execute(owner, "SELECT id FROM students") == []


def test_a_group_without_a_code_is_joined_by_nobody(library: Library, group_id: str) -> None:
    assert told(join(library, "-")) == INVALID
    assert members(library, group_id) == []


def test_a_code_stops_to_count_when_its_time_is_over(library: Library, group_id: str, owner: Engine) -> None:
    code = code_of(library, group_id)
    execute(owner, "UPDATE groups SET join_code_expires_at = now() + interval '1 minute'")
    in_time = join(library, code)
    execute(owner, "UPDATE groups SET join_code_expires_at = now() - interval '1 second'")
    late = join(library, code)

    assert (in_time.status_code, told(late)) == (201, INVALID)
    assert join(library, code_of(library, group_id)).status_code == 201


def test_a_new_code_ends_the_one_before_at_once_in_every_process(
    library: Library, group_id: str, make_app: Callable[..., Flask]
) -> None:
    there = elsewhere(library, make_app())
    first = code_of(library, group_id)
    assert join(there, first).status_code == 201

    second = code_of(library, group_id)

    assert [told(join(each, first)) for each in (library, there)] == [INVALID] * 2
    assert [join(each, second).status_code for each in (library, there)] == [201, 201]


def test_a_code_leads_into_its_own_group_and_no_other(library: Library, group_id: str, other_library: Library) -> None:
    other = created(library)
    codes = [code_of(library, each) for each in (group_id, other)]

    user_id = join(library, codes[1]).json["user"]["id"]

    assert (members(library, group_id), members(library, other)) == ([], [user_id])
    assert told(join(other_library, codes[0])) == INVALID


def test_the_code_of_a_deleted_group_is_no_code(library: Library, group_id: str) -> None:
    code = code_of(library, group_id)

    library.delete(f"/groups/{group_id}", role="admin")

    assert told(join(library, code)) == INVALID


def test_nobody_joins_a_suspended_tenant(library: Library, platform: Library, group_id: str) -> None:
    code, key = code_of(library, group_id), platform.key("platform_admin")
    assert library.delete("", role=None, headers={"X-API-Key": key}).status_code == 204

    assert told(join(library, code)) == (404, "not_found")


def test_a_code_outlives_a_change_of_keys(make_app: Callable[..., Flask]) -> None:
    before = add_library(make_app(PII_KEYS=KEYS["old"]), "riverside")
    group_id = created(before)
    code = code_of(before, group_id)

    both = elsewhere(before, make_app(PII_KEYS=f"{KEYS['new']},{KEYS['old']}"))

    assert join(both, code).status_code == 201
    assert told(join(elsewhere(before, make_app(PII_KEYS=KEYS["new"])), code)) == INVALID


# — once, and how many —————————————————————————————————————————————————————————————————————————————


def test_a_repeated_request_makes_one_student(library: Library, group_id: str, owner: Engine) -> None:
    code = code_of(library, group_id)

    first, again = (join(library, code, key="k-1") for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Cache-Control"] == "no-store"
    assert members(library, group_id) == [first.json["user"]["id"]]
    assert told(join(library, code, key="k-1", first_name="Lee")) == (422, "idempotency_key_reused")
    stored = [bytes(sealed) for (sealed,) in execute(owner, "SELECT sealed_answer FROM idempotency_keys")]
    assert not [sealed for sealed in stored if first.json["refresh_token"].encode() in sealed]


def test_without_a_key_each_request_makes_a_student(library: Library, group_id: str) -> None:
    code = code_of(library, group_id)

    joined = [join(library, code).json["user"]["id"] for _ in range(2)]

    assert members(library, group_id) == joined


def test_a_refused_attempt_is_not_kept_for_its_key(library: Library, group_id: str) -> None:
    refused = join(library, "AAAA-AAAA", key="k-1")
    joined = join(library, code_of(library, group_id), key="k-1")

    assert (told(refused), joined.status_code) == (INVALID, 201)


def test_a_full_group_makes_no_student(library: Library, group_id: str, owner: Engine) -> None:
    code = code_of(library, group_id)
    fill(owner, library, group_id, 1000)

    assert told(join(library, code)) == (409, "group_full")
    assert execute(owner, "SELECT id FROM students") == []
    assert execute(owner, "SELECT id FROM user_sessions WHERE method = 'join_code'") == []


def test_of_many_at_once_one_joins_the_last_place(library: Library, group_id: str, owner: Engine) -> None:
    code = code_of(library, group_id)
    fill(owner, library, group_id, 999)

    answers = at_once(6, lambda: join(library, code))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert size(owner, group_id) == 1000
    assert len(execute(owner, "SELECT id FROM students")) == 1
