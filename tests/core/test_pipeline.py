"""What happens around every request: ids, credentials, tenants, permissions, headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from app.auth import service as auth
from app.core.cache import Generation, generation_key, touch
from app.core.tenancy import tenant
from app.extensions import db, redis
from tests.conftest import Library
from tests.core.conftest import LogLines


def ask(app: Flask, library: Library, path: str = "", *, key: str, method: str = "GET") -> TestResponse:
    """Call `library` through another app than its own, as another process would be called."""
    headers = {"Authorization": f"Bearer {key}"}
    return app.test_client().open(f"/api/v1/tenants/{library.slug}{path}", method=method, headers=headers)


# — request ids ———————————————————————————————————————————————————————————————————————————————————


def test_a_callers_request_id_is_kept(library: Library) -> None:
    answer = library.get("", headers={"X-Request-ID": "an-id.of_8-128"})

    assert answer.headers["X-Request-ID"] == "an-id.of_8-128"


@pytest.mark.parametrize(
    "given", ["short", "x" * 129, "with a space", "with\ttab-in-it", "ünïcödé-id", "", "a;DROP--x"]
)
def test_anything_else_is_replaced(library: Library, given: str) -> None:
    answer = library.get("", headers={"X-Request-ID": given.encode().decode("latin-1")})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_the_request_id_is_in_the_log_line_of_its_request(library: Library, log_lines: LogLines) -> None:
    library.get("", headers={"X-Request-ID": "followed-through"})

    [line] = log_lines.all("request.finished")
    assert line["request_id"] == "followed-through"
    assert line["route"] == "/api/v1/tenants/<slug>"
    assert line["status"] == 200
    assert line["tenant_id"] == str(library.id)
    assert line["principal"].startswith("service_account:")


def test_an_event_knows_the_request_that_caused_it(library: Library, owner: Engine) -> None:
    library.patch("", {"name": "Riverside"}, role="admin", headers={"X-Request-ID": "cause-of-it"})

    with owner.connect() as connection:
        found = connection.scalar(text("SELECT request_id FROM events WHERE type = 'tenant.updated'"))
    assert found == "cause-of-it"


# — credentials ———————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer\t",
        "Basic bGliOg==",
        "Digest x",
        "bearer",
        "Bearer lib_",
        "Bearer lib_0123456789_0123456789012345678901" + "x" * 43,
        "Bearer " + "x" * 65536,
        "Bearer lib_" + "9" * 65536,
        "Bearer \u00e4\u00f6\u00fc\u00ff",
        "\u00e4\u00f6\u00fc \u00ff",
        "Bearer a b c",
        "lib_0123456789",
        "Bearer lib_zzzzzzzzzz_zzzzzzzzzzzzzzzzzzzzzz" + "z" * 43,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_a_junk_credential_is_unauthenticated(library: Library, header: str) -> None:
    for name, value in (("Authorization", header), ("X-API-Key", header.removeprefix("Bearer ") or "x")):
        answer = library.get("", role=None, headers={name: value})

        assert answer.status_code == 401, (name, answer.text)
        assert answer.json
        assert answer.json["code"] == "unauthenticated"
        assert answer.headers["WWW-Authenticate"]


def test_a_key_is_also_taken_from_the_other_header(library: Library) -> None:
    assert library.get("", role=None, headers={"X-API-Key": library.key("librarian")}).status_code == 200
    assert library.get("", role=None, headers={"Authorization": f"bEaReR {library.key('lms')}"}).status_code == 200


def test_one_changed_character_spoils_a_key(library: Library) -> None:
    key = library.key("librarian")
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")

    assert library.get("", role=None, headers={"Authorization": f"Bearer {wrong}"}).status_code == 401


def test_the_key_is_in_no_log_line(library: Library, log_lines: LogLines) -> None:
    library.get("")
    library.get("/no-such-thing")
    library.get("", role=None, headers={"Authorization": f"Bearer {library.key('librarian')}x"})

    secret = library.key("librarian").split("_")[2]
    assert log_lines.all("request.finished")
    assert secret not in log_lines.text


# — at once, in every process ——————————————————————————————————————————————————————————————————————


def warm_up(apps: list[Flask], library: Library, key: str) -> None:
    """Let every app keep who the key belongs to."""
    for app in apps:
        for _ in range(2):
            assert ask(app, library, key=key).status_code == 200


def test_a_revoked_key_stops_at_once_in_every_process(library: Library, make_app: Callable[..., Flask]) -> None:
    apps = [library.app, make_app()]
    made = library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin").get_json()
    issued = library.post(f"/service-accounts/{made['id']}/keys", {}, role="admin").get_json()
    warm_up(apps, library, issued["key"])

    revoked = library.delete(f"/service-accounts/{made['id']}/keys/{issued['id']}", role="admin")

    assert revoked.status_code == 204
    assert [ask(app, library, key=issued["key"]).status_code for app in apps] == [401, 401]


def test_a_role_gained_or_lost_counts_at_once_in_every_process(
    library: Library, make_app: Callable[..., Flask]
) -> None:
    apps = [library.app, make_app()]
    made = library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin").get_json()
    key = library.post(f"/service-accounts/{made['id']}/keys", {}, role="admin").get_json()["key"]
    path = f"/service-accounts/{made['id']}"
    warm_up(apps, library, key)
    refused = [ask(app, library, path, key=key).status_code for app in apps]

    with library.app.app_context(), tenant(library.id):
        auth.update_service_account(UUID(made["id"]), {"role": "admin"})
        db.session.remove()
    allowed = [ask(app, library, path, key=key).status_code for app in apps]
    library.patch(path, {"role": "read_only"}, role="admin")
    refused_again = [ask(app, library, path, key=key).status_code for app in apps]

    assert (refused, allowed, refused_again) == ([403, 403], [200, 200], [403, 403])


@pytest.mark.parametrize("has_generation", [True, False])
def test_a_refused_credential_is_not_looked_up_again_until_something_changes(
    library: Library, owner: Engine, *, has_generation: bool
) -> None:
    made = library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin").get_json()
    key = library.post(f"/service-accounts/{made['id']}/keys", {}, role="admin").get_json()["key"]
    if not has_generation:
        with library.app.app_context():
            redis.client.delete(generation_key(library.id, Generation.ACCESS))

    # Changed behind the service's back, so that only a look at the database shows it.
    statuses = []
    for is_active in (False, True):
        with owner.begin() as connection:
            connection.execute(
                text("UPDATE service_accounts SET is_active = :is_active WHERE id = :id"),
                {"is_active": is_active, "id": made["id"]},
            )
        statuses.append(ask(library.app, library, key=key).status_code)
    with library.app.app_context(), tenant(library.id):
        touch(Generation.ACCESS)
    statuses.append(ask(library.app, library, key=key).status_code)

    assert statuses == [401, 401, 200]


def test_an_inactive_account_stops_at_once_and_comes_back_at_once(
    library: Library, make_app: Callable[..., Flask]
) -> None:
    apps = [library.app, make_app()]
    made = library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin").get_json()
    key = library.post(f"/service-accounts/{made['id']}/keys", {}, role="admin").get_json()["key"]
    warm_up(apps, library, key)

    library.patch(f"/service-accounts/{made['id']}", {"is_active": False}, role="admin")
    resting = [ask(app, library, key=key).status_code for app in apps]
    library.patch(f"/service-accounts/{made['id']}", {"is_active": True}, role="admin")
    back = [ask(app, library, key=key).status_code for app in apps]

    assert (resting, back) == ([401, 401], [200, 200])


def test_a_suspended_tenant_stops_at_once_in_every_process(
    library: Library, platform: Library, make_app: Callable[..., Flask]
) -> None:
    apps = [library.app, make_app()]
    warm_up(apps, library, library.key("admin"))
    warm_up(apps, library, platform.key("platform_admin"))

    suspended = ask(library.app, library, key=platform.key("platform_admin"), method="DELETE")

    assert suspended.status_code == 204
    assert [ask(app, library, key=library.key("admin")).status_code for app in apps] == [401, 401]
    shown = [ask(app, library, key=platform.key("platform_admin")).get_json()["status"] for app in apps]
    assert shown == ["suspended", "suspended"]


def test_a_key_ends_when_its_time_is_over(library: Library, owner: Engine) -> None:
    key = library.key("lms")
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with owner.begin() as connection:
        connection.execute(text("UPDATE service_account_keys SET expires_at = :soon"), {"soon": soon})
    first = ask(library.app, library, key=key).status_code

    while datetime.now(UTC) <= soon:
        pass

    assert (first, ask(library.app, library, key=key).status_code) == (200, 401)


def test_a_longer_life_given_to_an_expired_account_counts_at_once(library: Library) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with library.app.app_context(), tenant(library.id):
        account = auth.create_service_account(name="Koha", role="lms", expires_at=soon)
        key, _ = auth.create_key(account.id)
        db.session.remove()
    first = ask(library.app, library, key=key).status_code
    while datetime.now(UTC) <= soon:
        pass
    expired = ask(library.app, library, key=key).status_code

    library.patch(f"/service-accounts/{account.id}", {"expires_at": None}, role="admin")

    assert (first, expired, ask(library.app, library, key=key).status_code) == (200, 401, 200)


# — tenants and permissions ————————————————————————————————————————————————————————————————————————


def test_an_unknown_tenant_a_foreign_one_and_a_malformed_slug_look_alike(
    library: Library, other_library: Library
) -> None:
    key = library.key("admin")

    def refusal_of(slug: str) -> tuple[int, str]:
        answer = library.app.test_client().get(f"/api/v1/tenants/{slug}", headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.get_json()["detail"]

    refusals = {
        refusal_of(slug) for slug in (other_library.slug, "no-such-tenant", "%00", "UPPER", "x" * 5000, "%ff%fe")
    }

    assert {status for status, _ in refusals} == {404}


def test_a_stranger_learns_nothing_of_a_tenant(library: Library) -> None:
    known = library.get("", role=None)
    unknown = library.app.test_client().get("/api/v1/tenants/no-such-tenant")

    assert (known.status_code, unknown.status_code) == (401, 401)
    assert known.get_json()["detail"] == unknown.get_json()["detail"]


def test_a_stranger_meets_401_before_the_bodys_fields(library: Library) -> None:
    answer = library.post("/service-accounts", {"nonsense": 1}, role=None)

    assert answer.status_code == 401


def test_a_wrong_role_meets_403_before_the_bodys_fields(library: Library) -> None:
    answer = library.post("/service-accounts", {"nonsense": 1}, role="librarian")

    assert answer.status_code == 403
    assert answer.get_json()["code"] == "forbidden"


def test_a_platform_administrator_may_enter_every_tenant(library: Library, platform: Library) -> None:
    answer = ask(library.app, library, "/service-accounts", key=platform.key("platform_admin"))

    assert answer.status_code == 200


def test_an_endpoint_without_a_mark_answers_nobody(app: Flask, platform: Library) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "open")

    answer = app.test_client().get("/forgotten", headers={"Authorization": f"Bearer {platform.key('platform_admin')}"})

    assert answer.status_code == 404


# — headers ————————————————————————————————————————————————————————————————————————————————————————


def test_answers_behind_a_credential_are_private(library: Library) -> None:
    headers = library.get("").headers

    assert headers.getlist("Cache-Control") == ["private, no-cache"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Strict-Transport-Security" not in headers
    assert "Set-Cookie" not in headers


def test_https_is_insisted_on_where_it_is_enforced(make_app: Callable[..., Flask]) -> None:
    client = make_app(FORCE_HTTPS="true").test_client()

    redirected = client.post("/api/v1/tenants?a=b", base_url="http://library.example.org")
    secure = client.get("/api/v1/tenants", base_url="https://library.example.org")

    assert redirected.status_code == 308
    assert redirected.headers["Location"] == "https://library.example.org/api/v1/tenants?a=b"
    assert secure.status_code == 401
    assert secure.headers["Strict-Transport-Security"].startswith("max-age=")


def test_only_configured_origins_may_read_answers(make_app: Callable[..., Flask]) -> None:
    client = make_app(CORS_ORIGINS="https://app.example.org").test_client()

    allowed = client.get("/api/v1/tenants", headers={"Origin": "https://app.example.org"})
    other = client.get("/api/v1/tenants", headers={"Origin": "https://evil.example.org"})
    preflight = client.options("/api/v1/tenants", headers={"Origin": "https://app.example.org"})

    assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Origin" in allowed.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
