"""Sessions: refreshed, ended, and known in every process."""

from __future__ import annotations

import base64
import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant
from app.extensions import db
from app.members import service as members
from deploy.local.engines import Engines
from tests.auth.people import (
    EMAIL,
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
from tests.conftest import Library
from tests.core.conftest import breakable, make_breakable_app
from tests.naming import sent_statements

__all__ = ["breakable", "make_breakable_app"]

LOST = (401, "invalid_refresh_token")
_SPELLING = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


@pytest.fixture
def elsewhere_too(library: Library, make_app: Callable[..., Flask]) -> Library:
    """The library as another process serves it."""
    return elsewhere(library, make_app())


def test_a_refresh_token_gives_the_next_ones(library: Library) -> None:
    user_id = add_person(library)
    first = signed_in(library)

    answer = refresh(library, first["refresh_token"])

    second = answer.json
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert (second["token_type"], second["expires_in"]) == ("Bearer", 900)
    assert (second["user"]["id"], second["user"]["email"]) == (str(user_id), EMAIL)
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert [bearing(library, each["access_token"]).status_code for each in (first, second)] == [200, 200]
    assert refresh(library, second["refresh_token"]).status_code == 200


def test_a_session_lasts_for_thirty_days_from_its_last_refresh(library: Library, owner: Engine) -> None:
    add_person(library)
    token = signed_in(library)["refresh_token"]
    execute(owner, "UPDATE user_sessions SET expires_at = now() + interval '1 hour'")

    refresh(library, token)

    [(left,)] = execute(owner, "SELECT expires_at - now() FROM user_sessions")
    assert left.days == 29


def test_an_honest_retry_gets_the_same_next_token_again(library: Library, owner: Engine) -> None:
    add_person(library)
    first = signed_in(library)["refresh_token"]
    second = refresh(library, first).json["refresh_token"]
    execute(owner, "UPDATE user_sessions SET rotated_at = now() - interval '9 seconds'")

    again = refresh(library, first)

    assert (again.status_code, again.json["refresh_token"]) == (200, second)
    assert refresh(library, second).status_code == 200
    assert events(owner, "user.refresh_token_reused") == []


def test_a_token_that_is_used_again_later_ends_the_session_everywhere_at_once(
    library: Library, elsewhere_too: Library, owner: Engine
) -> None:
    user_id = add_person(library)
    first = signed_in(library)
    second = refresh(library, first["refresh_token"]).json
    places = (library, elsewhere_too)
    before = [bearing(each, second["access_token"]).status_code for each in places]
    execute(owner, "UPDATE user_sessions SET rotated_at = now() - interval '11 seconds'")

    reused = refresh(library, first["refresh_token"])

    assert (before, told(reused)) == ([200, 200], LOST)
    assert [told(bearing(each, second["access_token"])) for each in places] == [(401, "unauthenticated")] * 2
    assert [told(refresh(each, second["refresh_token"])) for each in places] == [LOST] * 2
    assert events(owner, "user.refresh_token_reused") == [(user_id, "anonymous", {})]


def test_a_token_of_a_session_that_is_over_stands_in_the_audit_trail_and_one_that_is_made_up_does_not(
    library: Library, owner: Engine
) -> None:
    add_person(library)
    begun = signed_in(library)
    library.post("/auth/logout", token=begun["access_token"])

    assert [told(refresh(library, token)) for token in (begun["refresh_token"], "ref_x")] == [LOST] * 2
    [(subject, kind, told_of)] = events(owner, "user.refresh_refused")
    assert (subject, kind, told_of.keys()) == (None, "anonymous", {"session_id"})


def test_a_token_from_before_the_last_one_ends_the_session_however_soon(library: Library) -> None:
    add_person(library)
    first = signed_in(library)["refresh_token"]
    second = refresh(library, first).json["refresh_token"]
    third = refresh(library, second).json["refresh_token"]

    assert told(refresh(library, first)) == LOST
    assert told(refresh(library, third)) == LOST


def test_an_ended_session_leaves_the_others_alone(library: Library) -> None:
    add_person(library)
    lost, kept = signed_in(library), signed_in(library)
    refresh(library, refresh(library, lost["refresh_token"]).json["refresh_token"])

    assert told(refresh(library, lost["refresh_token"])) == LOST
    assert bearing(library, lost["access_token"]).status_code == 401
    assert bearing(library, kept["access_token"]).status_code == 200
    assert refresh(library, kept["refresh_token"]).status_code == 200


def test_of_many_refreshes_at_once_one_rotates_and_all_get_the_same(library: Library, owner: Engine) -> None:
    add_person(library)
    token = signed_in(library)["refresh_token"]

    answers = at_once(20, lambda: refresh(library, token))

    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert execute(owner, "SELECT rotation, ended_at FROM user_sessions") == [(1, None)]
    assert refresh(library, answers[0].json["refresh_token"]).status_code == 200


# — what is no refresh token ———————————————————————————————————————————————————————————————————————


def test_what_is_no_refresh_token_refreshes_nothing_and_ends_nothing(library: Library, other_library: Library) -> None:
    for each in (library, other_library):
        add_person(each)
    begun = signed_in(library)
    token = begun["refresh_token"]
    inside, last = token.removeprefix("ref_"), _SPELLING.index(token[-1])

    for junk in (
        signed_in(other_library)["refresh_token"],
        begun["access_token"],
        library.key("librarian"),
        token[:-1],
        token + "A",
        token + "=",
        token[:31],
        inside,
        "REF_" + inside,
        "ref_",
        "ref_" + "A" * 70,
        "ref_" + "A" * 996,
        " " + token,
        "ref_\u00e9" + inside,
        "ref_" + "\U0001f9a6" * 70,
        # Bits that are no part of any byte: in the signature's last character, and in the content's.
        token[:-1] + _SPELLING[last ^ 1],
        token[:30] + _SPELLING[_SPELLING.index(token[30]) ^ 1] + token[31:],
        token[:-2] + "*" + token[-2:],
        token.replace("_", "/").replace("-", "+") + "==",
    ):
        assert told(refresh(library, junk)) == LOST, junk
    assert refresh(library, token + "\n").status_code == 422

    assert refresh(library, token).status_code == 200


@pytest.mark.parametrize("value", ["", " ", None, 1, ["ref_"], {"ref_": 1}, "\x00", "ref_" + "A" * 1_000_000])
def test_what_is_no_text_of_that_length_is_refused(library: Library, value: Any) -> None:
    assert told(refresh(library, value)) == (422, "invalid_input")


def test_a_bit_changed_anywhere_makes_a_token_another_ones(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["refresh_token"]
    content = base64.urlsafe_b64decode(token[4:31] + "=")

    for changed in (
        content[:-1] + b"\x01",
        bytes([content[0] ^ 1]) + content[1:],
    ):
        forged = "ref_" + base64.urlsafe_b64encode(changed).decode().rstrip("=") + token[31:]
        assert told(refresh(library, forged)) == LOST

    assert refresh(library, token).status_code == 200


# — what ends sessions —————————————————————————————————————————————————————————————————————————————


def test_a_session_whose_time_is_over_counts_no_more(library: Library, owner: Engine) -> None:
    add_person(library)
    begun = signed_in(library)
    execute(owner, "UPDATE user_sessions SET expires_at = now() - interval '1 second'")

    assert told(refresh(library, begun["refresh_token"])) == LOST
    assert told(bearing(library, begun["access_token"])) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "changes", [{"password": "seals sleep at noon"}, {"is_active": False}, {"email": "anna@example.org"}]
)
def test_a_change_of_what_opens_an_account_ends_its_sessions(
    library: Library, elsewhere_too: Library, changes: dict[str, Any]
) -> None:
    user_id = add_person(library)
    begun = signed_in(library)
    places = (library, elsewhere_too)
    before = [bearing(each, begun["access_token"]).status_code for each in places]

    change(library, user_id, **changes)

    assert before == [200, 200]
    assert [told(bearing(each, begun["access_token"])) for each in places] == [(401, "unauthenticated")] * 2
    assert told(refresh(library, begun["refresh_token"])) == LOST


def test_a_session_that_is_begun_after_such_a_change_counts(library: Library) -> None:
    user_id = add_person(library)
    change(library, user_id, password="seals sleep at noon")  # pragma: allowlist secret

    begun = signed_in(library, password="seals sleep at noon")  # pragma: allowlist secret

    assert bearing(library, begun["access_token"]).status_code == 200
    assert refresh(library, begun["refresh_token"]).status_code == 200


def test_a_change_of_a_name_ends_no_session(library: Library) -> None:
    user_id = add_person(library)
    begun = signed_in(library)

    change(library, user_id, name="Anna Jones")

    assert bearing(library, begun["access_token"]).json["name"] == "Anna Jones"
    assert refresh(library, begun["refresh_token"]).json["user"]["name"] == "Anna Jones"


def test_a_user_who_was_deleted_is_signed_in_nowhere(library: Library, elsewhere_too: Library, owner: Engine) -> None:
    user_id = add_person(library)
    begun = signed_in(library)
    assert bearing(elsewhere_too, begun["access_token"]).status_code == 200

    with library.app.app_context(), tenant(library.id):
        members.erase_user(user_id)
        db.session.remove()

    assert told(bearing(elsewhere_too, begun["access_token"])) == (401, "unauthenticated")
    assert told(refresh(library, begun["refresh_token"])) == LOST
    assert told(log_in(library)) == (401, "invalid_credentials")
    assert execute(owner, "SELECT id FROM user_sessions") == []


def test_a_suspended_tenant_lets_nobody_go_on(library: Library, elsewhere_too: Library, platform: Library) -> None:
    add_person(library)
    begun = signed_in(library)
    places = (library, elsewhere_too)
    assert [bearing(each, begun["access_token"]).status_code for each in places] == [200, 200]

    assert library.delete("", role=None, headers={"X-API-Key": platform.key("platform_admin")}).status_code == 204

    assert [told(refresh(each, begun["refresh_token"])) for each in places] == [(404, "not_found")] * 2
    assert [told(bearing(each, begun["access_token"])) for each in places] == [(401, "unauthenticated")] * 2


# — signing out ————————————————————————————————————————————————————————————————————————————————————


def test_whoever_signs_out_is_signed_out_everywhere_at_once(
    library: Library, elsewhere_too: Library, owner: Engine
) -> None:
    user_id = add_person(library)
    begun, kept = signed_in(library), signed_in(library)
    places = (library, elsewhere_too)
    before = [bearing(each, begun["access_token"]).status_code for each in places]

    left = bearing(library, begun["access_token"], "/auth/logout", "POST")

    assert (before, left.status_code, left.data) == ([200, 200], 204, b"")
    assert [told(bearing(each, begun["access_token"])) for each in places] == [(401, "unauthenticated")] * 2
    assert [told(refresh(each, begun["refresh_token"])) for each in places] == [LOST] * 2
    assert told(bearing(library, begun["access_token"], "/auth/logout", "POST")) == (401, "unauthenticated")
    assert bearing(library, kept["access_token"]).status_code == 200
    assert events(owner, "user.signed_out") == [(user_id, "user", {})]


def test_a_key_has_no_session_to_end(library: Library) -> None:
    refused = library.post("/auth/logout", role="librarian")

    assert told(refused) == (403, "forbidden")
    assert library.get("/auth/me").status_code == 200


def test_a_stranger_can_t_sign_out(library: Library) -> None:
    assert told(library.post("/auth/logout", role=None)) == (401, "unauthenticated")


def test_somebody_of_another_tenant_can_t_sign_out_here(library: Library, other_library: Library) -> None:
    add_person(other_library)
    token = signed_in(other_library)["access_token"]

    assert told(bearing(library, token, "/auth/logout", "POST")) == (404, "not_found")
    assert bearing(other_library, token).status_code == 200


# — what authenticating costs ——————————————————————————————————————————————————————————————————————


def test_to_know_a_token_again_takes_no_statement(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]
    asked = "/rate-limits"
    assert bearing(library, token, asked).status_code == 200

    with sent_statements() as sent:
        answers = [bearing(library, token, asked).status_code for _ in range(5)]

    assert (answers, sent) == ([200] * 5, [])


def test_a_revocation_is_seen_within_a_second_though_redis_is_away(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    library = add_library(make_breakable_app(), "revoked-without-redis")
    there = elsewhere(library, make_breakable_app())
    add_person(library)
    token = signed_in(library)["access_token"]
    before = [bearing(each, token).status_code for each in (library, there)]

    breakable.stop_redis()
    try:
        left = bearing(library, token, "/auth/logout", "POST")
        time.sleep(1.0)
        refused = told(bearing(there, token))
    finally:
        breakable.start_redis()
    time.sleep(1.1)

    assert (before, left.status_code, refused) == ([200, 200], 204, (401, "unauthenticated"))
    assert [told(bearing(each, token)) for each in (library, there)] == [(401, "unauthenticated")] * 2


def test_those_who_run_the_service_sign_out_at_any_tenants_address(library: Library, platform: Library) -> None:
    pat = platform.person("platform_admin", email="pat@example.org")

    assert library.get("/auth/me", token=pat.token).json["profile"]["email"] == "pat@example.org"
    assert library.post("/auth/logout", token=pat.token).status_code == 204
    assert platform.get("/auth/me", token=pat.token).status_code == 401
