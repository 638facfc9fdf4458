"""The endpoints of service accounts and their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from app.auth import service
from app.core.security import Permission
from app.core.tenancy import tenant
from app.extensions import db
from tests.conftest import Library

SOON = "2999-01-01T00:00:00Z"


def create(library: Library, *, by: str = "admin", **fields: Any) -> TestResponse:
    return library.post("/service-accounts", {"name": "Koha", "role": "lms", **fields}, role=by)


def key_of(library: Library, account_id: str, *, by: str = "admin", **fields: Any) -> TestResponse:
    return library.post(f"/service-accounts/{account_id}/keys", fields, role=by)


def ask(library: Library, key: str, path: str = "/auth/me", method: str = "GET", **options: Any) -> TestResponse:
    return library.call(method, path, role=None, headers={"Authorization": f"Bearer {key}"}, **options)


def narrowed_key(library: Library, role: str, scopes: list[str]) -> str:
    """A key of a role that has only some of its permissions."""
    with library.app.app_context(), tenant(library.id):
        account = service.create_service_account(name="narrowed", role=role, scopes=scopes)
        key, _ = service.create_key(account.id)
        db.session.remove()
    return key


# — accounts ———————————————————————————————————————————————————————————————————————————————————————


def test_an_account_is_created_without_a_key(library: Library) -> None:
    made = create(library, scopes=["books:read"], expires_at=SOON)

    assert made.status_code == 201, made.text
    body = made.get_json()
    assert made.headers["Location"] == f"/api/v1/tenants/riverside/service-accounts/{body['id']}"
    assert library.get(f"/service-accounts/{body['id']}", role="admin").get_json() == body
    assert {body.pop("id"), body.pop("created_at"), body.pop("updated_at")}
    assert body == {
        "name": "Koha",
        "role": "lms",
        "scopes": ["books:read"],
        "is_active": True,
        "expires_at": SOON,
        "keys": [],
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("role", "admin"),
        ("role", "platform_admin"),
        ("role", "reader"),
        ("role", None),
        ("scopes", ["books:burn"]),
        ("scopes", "books:read"),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "2999-01-01T00:00:00"),
        ("is_active", True),
    ],
)
def test_a_field_that_is_not_acceptable_is_named(library: Library, field: str, value: Any) -> None:
    refused = create(library, **{field: value})

    assert refused.status_code == 422, refused.text
    assert {error["field"].split(".")[0] for error in refused.get_json()["errors"]} == {field}


def test_accounts_are_listed_and_filtered(library: Library) -> None:
    for name, role in (("one", "lms"), ("two", "kiosk")):
        create(library, name=name, role=role)

    def names(query: str) -> list[str]:
        return [item["name"] for item in library.get(f"/service-accounts?{query}", role="admin").get_json()["items"]]

    assert names("") == ["two", "one", "admin in tests"]
    assert names("sort=name") == ["admin in tests", "one", "two"]
    assert names("role=kiosk") == ["two"]


def test_an_account_is_changed(library: Library) -> None:
    account = create(library).get_json()
    changes = {"name": "New", "role": "kiosk", "scopes": ["books:read"], "is_active": False, "expires_at": SOON}

    changed = library.patch(f"/service-accounts/{account['id']}", changes, role="admin").get_json()
    back = library.patch(f"/service-accounts/{account['id']}", {"scopes": None, "expires_at": None}, role="admin")

    assert {name: changed[name] for name in changes} == changes
    assert {back.get_json()["scopes"], back.get_json()["expires_at"]} == {None}
    assert changed["updated_at"] > account["updated_at"]


def test_a_scope_that_is_named_twice_is_kept_once(library: Library) -> None:
    twice: dict[str, Any] = {"scopes": ["tenant:read", "books:read", "books:read"]}

    account = create(library, **twice).get_json()
    changed = library.patch(f"/service-accounts/{account['id']}", twice, role="admin").get_json()

    assert account["scopes"] == changed["scopes"] == ["books:read", "tenant:read"]


@pytest.mark.parametrize("body", [{"role": "admin"}, {"name": None}, {"is_active": None}, {"is_active": 1}, {"id": 1}])
def test_a_change_that_is_not_acceptable_is_refused(library: Library, body: dict[str, Any]) -> None:
    account = create(library).get_json()

    assert library.patch(f"/service-accounts/{account['id']}", body, role="admin").status_code == 422


def test_an_account_is_deleted_with_its_keys(library: Library, owner: Engine) -> None:
    account = create(library).get_json()
    key = key_of(library, account["id"]).get_json()["key"]
    assert ask(library, key).status_code == 200

    deleted = library.delete(f"/service-accounts/{account['id']}", role="admin")

    assert (deleted.status_code, ask(library, key).status_code) == (204, 401)
    assert library.get(f"/service-accounts/{account['id']}", role="admin").status_code == 404
    with owner.connect() as connection:
        question = text("SELECT count(*) FROM service_account_keys WHERE service_account_id = :id")
        assert connection.scalar(question, {"id": account["id"]}) == 0


@pytest.mark.parametrize("account_id", ["0193a000-0000-7000-8000-00000000dead", "nonsense", "0" * 36])
def test_an_account_that_is_not_there_is_not_found(library: Library, account_id: str) -> None:
    path = f"/service-accounts/{account_id}"
    answers = [
        library.get(path, role="admin"),
        library.patch(path, {}, role="admin"),
        library.delete(path, role="admin"),
        library.post(f"{path}/keys", {}, role="admin"),
        library.delete(f"{path}/keys/{uuid4()}", role="admin"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5


@pytest.mark.parametrize("role", ["librarian", "lms", "kiosk", "read_only"])
def test_only_administrators_manage_accounts(library: Library, role: str) -> None:
    account = create(library).get_json()["id"]

    assert create(library, by=role).status_code == 403
    assert library.get("/service-accounts", role=role).status_code == 403
    assert library.get(f"/service-accounts/{account}", role=role).status_code == 403
    assert library.patch(f"/service-accounts/{account}", {"role": "librarian"}, role=role).status_code == 403
    assert key_of(library, account, by=role).status_code == 403
    assert library.delete(f"/service-accounts/{account}", role=role).status_code == 403
    assert library.post("/service-accounts", {}, role=None).status_code == 401


# — keys ———————————————————————————————————————————————————————————————————————————————————————————


def test_a_key_is_shown_once_and_stored_as_a_hash(library: Library, owner: Engine) -> None:
    account = create(library).get_json()["id"]

    made = key_of(library, account, expires_at=SOON)
    shown = library.get(f"/service-accounts/{account}", role="admin")

    assert made.status_code == 201
    body = made.get_json()
    assert set(body) == {"id", "key", "prefix", "expires_at"}
    assert body["key"].startswith(body["prefix"] + "_")
    assert body["expires_at"] == SOON
    assert body["key"] not in shown.text
    [listed] = shown.get_json()["keys"]
    assert (listed["id"], listed["prefix"], listed["revoked_at"]) == (body["id"], body["prefix"], None)
    with owner.connect() as connection:
        stored = str(
            connection.execute(text("SELECT k::text, encode(key_hash, 'escape') FROM service_account_keys k")).all()
        )
    assert body["key"] not in stored
    assert body["key"][-43:] not in stored


def test_several_keys_live_at_once_and_end_one_by_one(library: Library) -> None:
    account = create(library).get_json()["id"]
    old, new = (key_of(library, account).get_json() for _ in range(2))
    both = [ask(library, each["key"]).status_code for each in (old, new)]

    revoked = library.delete(f"/service-accounts/{account}/keys/{old['id']}", role="admin")
    again = library.delete(f"/service-accounts/{account}/keys/{old['id']}", role="admin")

    assert both == [200, 200]
    assert (revoked.status_code, again.status_code) == (204, 204)
    assert [ask(library, each["key"]).status_code for each in (old, new)] == [401, 200]


def test_a_key_is_revoked_under_its_own_account_only(library: Library) -> None:
    account, other = create(library).get_json()["id"], create(library).get_json()["id"]
    key = key_of(library, account).get_json()

    assert library.delete(f"/service-accounts/{other}/keys/{key['id']}", role="admin").status_code == 404
    assert library.delete(f"/service-accounts/{account}/keys/nonsense", role="admin").status_code == 404
    assert ask(library, key["key"]).status_code == 200


def test_a_key_that_has_expired_is_not_made(library: Library) -> None:
    account = create(library).get_json()["id"]

    assert key_of(library, account, expires_at="2020-01-01T00:00:00Z").status_code == 422


def test_the_sooner_end_of_key_and_account_counts(library: Library, owner: Engine) -> None:
    account = create(library).get_json()["id"]
    key = key_of(library, account, expires_at=SOON).get_json()["key"]
    with owner.begin() as connection:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        connection.execute(
            text("UPDATE service_accounts SET expires_at = :at WHERE id = :id"), {"at": yesterday, "id": account}
        )

    assert ask(library, key).status_code == 401


def test_the_last_use_of_a_key_is_noted_once_a_minute(library: Library, owner: Engine) -> None:
    account = create(library).get_json()["id"]
    key = key_of(library, account).get_json()["key"]

    def last_use() -> Any:
        return library.get(f"/service-accounts/{account}", role="admin").get_json()["keys"][0]["last_used_at"]

    before = last_use()
    ask(library, key)
    first = last_use()
    for _ in range(3):
        ask(library, key)

    assert before is None
    assert first is not None
    assert last_use() == first


# — who am I ———————————————————————————————————————————————————————————————————————————————————————


def test_a_key_tells_who_it_belongs_to(library: Library) -> None:
    account = create(library).get_json()["id"]
    key = key_of(library, account, expires_at=SOON).get_json()["key"]

    assert ask(library, key).get_json() == {
        "kind": "service_account",
        "id": account,
        "name": "Koha",
        "role": "lms",
        "permissions": [
            "books:read",
            "holdings:read",
            "holdings:write",
            "inventory:read",
            "inventory:write",
            "labels:write",
            "tenant:read",
        ],
        "expires_at": SOON,
        "profile": None,
    }


def test_scopes_narrow_the_role(library: Library) -> None:
    key = narrowed_key(library, "librarian", ["books:read", "tenants:manage"])

    assert ask(library, key).get_json()["permissions"] == ["books:read"]
    assert ask(library, key, "/books").status_code == 200
    assert ask(library, key, "").status_code == 403


def test_a_permission_that_no_longer_exists_is_none(library: Library, owner: Engine) -> None:
    key = narrowed_key(library, "lms", ["books:read"])
    with owner.begin() as connection:
        connection.execute(text("UPDATE service_accounts SET scopes = scopes || ARRAY['books:bind']"))

    answer = ask(library, key)

    assert (answer.status_code, answer.get_json()["permissions"]) == (200, ["books:read"])


# — nobody rises above themselves ——————————————————————————————————————————————————————————————————


@pytest.fixture
def manager(library: Library) -> str:
    """The key of an administrator that may manage accounts, and nothing else of its role."""
    return narrowed_key(library, "admin", [Permission.SERVICE_ACCOUNTS_MANAGE, Permission.TENANT_READ])


def test_nobody_grants_a_role_above_their_own(library: Library, manager: str) -> None:
    body = {"name": "x", "role": "librarian"}

    assert ask(library, manager, "/service-accounts", "POST", json=body).status_code == 403
    narrowed = {**body, "scopes": ["tenant:read"]}
    assert ask(library, manager, "/service-accounts", "POST", json=narrowed).status_code == 201


@pytest.mark.parametrize("changes", [{"scopes": None}, {"scopes": ["tenant:read", "books:write"]}])
def test_nobody_widens_an_account_beyond_their_own_rights(
    library: Library, manager: str, changes: dict[str, Any]
) -> None:
    account = create(library, name="x", role="librarian", scopes=["tenant:read"]).get_json()["id"]

    refused = ask(library, manager, f"/service-accounts/{account}", "PATCH", json=changes)

    assert (refused.status_code, refused.get_json()["code"]) == (403, "forbidden")


def test_nobody_takes_a_key_of_an_account_above_their_own(library: Library, manager: str) -> None:
    with library.app.app_context(), tenant(library.id):
        above = service.create_service_account(name="above", role="admin").id
        db.session.remove()

    refused = ask(library, manager, f"/service-accounts/{above}/keys", "POST", json={})

    assert (refused.status_code, refused.get_json()["code"]) == (403, "forbidden")


def test_nobody_manages_an_account_above_their_own(library: Library, manager: str, owner: Engine) -> None:
    above = create(library, name="above", role="librarian").get_json()["id"]
    key = key_of(library, above).get_json()["id"]

    address = f"/service-accounts/{above}"
    renamed = ask(library, manager, address, "PATCH", json={"name": "mine"})
    revoked = ask(library, manager, f"{address}/keys/{key}", "DELETE")
    deleted = ask(library, manager, address, "DELETE")

    assert [each.status_code for each in (renamed, revoked, deleted)] == [403] * 3
    with owner.connect() as connection:
        [(name, revoked_at)] = connection.execute(
            text(
                "SELECT name, revoked_at FROM service_accounts a JOIN service_account_keys k"
                " ON k.service_account_id = a.id WHERE a.id = :id"
            ),
            {"id": above},
        )
    assert (name, revoked_at) == ("above", None)


def test_nothing_that_a_program_grants_outlasts_it(library: Library) -> None:
    with library.app.app_context(), tenant(library.id):
        account = service.create_service_account(name="short", role="admin", expires_at=datetime.fromisoformat(SOON))
        key, _ = service.create_key(account.id)
        endless = service.create_service_account(name="endless", role="lms").id
        db.session.remove()

    def status(path: str, method: str = "POST", **body: Any) -> int:
        return ask(library, key, path, method, json=body).status_code

    later = "2999-01-02T00:00:00Z"
    new = {"name": "x", "role": "lms"}
    assert [status("/service-accounts", **new, expires_at=each) for each in (None, later, SOON)] == [403, 403, 201]
    own = f"/service-accounts/{account.id}"
    assert [status(own, "PATCH", expires_at=each) for each in (None, later, SOON)] == [403, 403, 200]
    assert [status(f"{own}/keys", expires_at=each) for each in (None, later, SOON)] == [201, 201, 201]
    keys = f"/service-accounts/{endless}/keys"
    assert [status(keys, expires_at=each) for each in (None, later, SOON)] == [403, 403, 201]
    assert status(own, "PATCH", name="still short") == 200


def test_the_platforms_role_exists_in_its_own_tenant_only(library: Library, platform: Library) -> None:
    refused = platform.post("/service-accounts", {"name": "x", "role": "librarian"}, role="platform_admin")

    assert refused.status_code == 403
    account = create(library).get_json()["id"]
    assert library.patch(f"/service-accounts/{account}", {"role": "platform_admin"}, role="admin").status_code == 422


# — what is left behind ————————————————————————————————————————————————————————————————————————————


def test_every_change_leaves_an_event_without_a_secret(library: Library, owner: Engine) -> None:
    library.key("admin")
    with owner.begin() as connection:
        connection.execute(text("TRUNCATE events"))
    account = create(library).get_json()["id"]
    key = key_of(library, account).get_json()
    library.patch(f"/service-accounts/{account}", {"name": "New", "is_active": True}, role="admin")
    library.delete(f"/service-accounts/{account}/keys/{key['id']}", role="admin")
    library.delete(f"/service-accounts/{account}", role="admin")

    with owner.connect() as connection:
        found = [
            tuple(row)
            for row in connection.execute(text("SELECT type, subject_id::text, data FROM events ORDER BY id"))
        ]
    assert found == [
        ("service_account.created", account, {"role": "lms"}),
        ("service_account.key_created", account, {"key_id": key["id"]}),
        ("service_account.updated", account, {"fields": ["is_active", "name"]}),
        ("service_account.key_revoked", account, {"key_id": key["id"]}),
        ("service_account.deleted", account, {}),
    ]
