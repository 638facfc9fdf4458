"""People: made, listed, shown, changed; and what nobody may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

from app.auth import service as auth
from app.core import passwords
from app.core.database import transaction
from app.core.security import Role
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import service as members
from app.tenants.models import PLATFORM_ID
from tests.auth.people import add_library, execute
from tests.conftest import Answer, Library, Person
from tests.local_stack.processes import wait_until
from tests.members.groups import ask_while
from tests.naming import sent_statements

PASSWORD = "otters swim at dawn"
# What `Idempotency-Key` and `If-Match` hold while their transaction lasts.
_BEGUN = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
ANNA: dict[str, Any] = {"type": "reader", "name": "Anna Smith", "email": "Anna.Smith@example.org"}


def add(library: Library, **fields: Any) -> Answer:
    return library.post("/users", {**ANNA, **fields}, role="admin")


def together(*calls: Callable[[], Answer]) -> list[int]:
    """What several get who ask at once."""
    gate, statuses = threading.Barrier(len(calls)), list[int]()

    def ask(call: Callable[[], Answer]) -> None:
        gate.wait()
        statuses.append(call().status_code)

    threads = [threading.Thread(target=ask, args=[call]) for call in calls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sorted(statuses)


# — making —————————————————————————————————————————————————————————————————————————————————————————


def test_a_reader_is_made_and_is_where_the_answer_says(library: Library) -> None:
    made = add(library, reading_ability="early", min_age=6, max_age=8)

    assert made.status_code == 201
    assert made.json["email"] == "Anna.Smith@example.org"
    assert (made.json["role"], made.json["reading_ability"], made.json["min_age"]) == ("reader", "early", 6)
    path = made.headers["Location"].removeprefix(f"/api/v1/tenants/{library.slug}")
    assert library.get(path, role="admin").json == made.json


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        ({"type": "staff", "role": "admin"}, "admin"),
        ({"type": "staff", "role": "librarian"}, "librarian"),
        ({"type": "staff", "role": "educator"}, "educator"),
        ({"type": "student"}, "reader"),
        ({"type": "guardian"}, "guardian"),
        ({"type": "guardian", "role": "guardian"}, "guardian"),
    ],
    ids=str,
)
def test_every_type_has_its_role(library: Library, fields: dict[str, str], role: str) -> None:
    assert add(library, **fields).json["role"] == role


def test_a_student_has_a_username_that_tells_nothing(library: Library) -> None:
    names = {add(library, type="student", email=None).json["username"] for _ in range(5)}

    assert len(names) == 5
    assert not any("anna" in name or "smith" in name for name in names)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "robot"}, "type"),
        ({"type": "staff"}, "role"),
        ({"type": "staff", "role": "reader"}, "role"),
        ({"type": "reader", "role": "admin"}, "role"),
        ({"type": "guardian", "reading_ability": "early"}, "reading_ability"),
        ({"type": "staff", "role": "librarian", "min_age": 3}, "min_age"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@example.org"}, "email"),
        ({"email": "a@example.org\r\nBcc: b@example.org"}, "email"),
        ({"email": f"{'x' * 250}@example.org"}, "email"),
        ({"username": "ab"}, "username"),
        ({"username": "a b c"}, "username"),
        ({"username": "anna@example"}, "username"),
        ({"password": "x" * 11}, "password"),
        ({"password": "x9 " * 43}, "password"),
        ({"password": "password1234"}, "password"),
        ({"password": "anna.smith@example.org"}, "password"),
        ({"password": "quaxenberg2024", "name": "Xanthippe Quaxenberg"}, "password"),  # pragma: allowlist secret
        ({"role": "platform_admin"}, "role"),
        ({"min_age": 9, "max_age": 8}, "max_age"),
        ({"min_age": -1}, "min_age"),
        ({"reading_ability": "fluent"}, "reading_ability"),
        ({"is_active": False}, "is_active"),
        ({"tenant_id": str(PLATFORM_ID)}, "tenant_id"),
    ],
    ids=str,
)
def test_what_is_not_acceptable_is_refused(library: Library, fields: dict[str, Any], field: str) -> None:
    refused = add(library, **fields)

    assert (refused.status_code, refused.json["code"]) == (422, "invalid_input")
    assert field in [each["field"] for each in refused.json["errors"]]


def test_nobody_shares_an_address_or_a_username_in_whatever_spelling(library: Library, other_library: Library) -> None:
    add(library, username="anna.s")

    assert add(library, email="ANNA.SMITH@EXAMPLE.ORG").json["code"] == "email_taken"
    assert add(library, email=None, username="Anna.S").json["code"] == "username_taken"
    assert add(other_library, username="anna.s").status_code == 201


def test_of_many_at_once_one_gets_the_address(library: Library) -> None:
    library.key("admin")

    assert together(*[lambda: add(library)] * 6) == [201, 409, 409, 409, 409, 409]


def test_repeating_with_a_key_makes_nobody_twice(library: Library) -> None:
    first, again = (library.post("/users", ANNA, role="admin", headers={"Idempotency-Key": "1"}) for _ in range(2))

    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"


# — listing ————————————————————————————————————————————————————————————————————————————————————————


@pytest.fixture
def people(library: Library) -> dict[str, str]:
    """Some people, by their names."""
    rows: list[dict[str, Any]] = [
        {"type": "staff", "role": "librarian", "name": "Łucja Nowak", "email": "lucja@example.org"},
        {"type": "reader", "name": "Anna van der Berg", "email": "anna@example.org"},
        {"type": "student", "name": "Иван П."},
        {"type": "guardian", "name": "Ann O'Neil", "email": "ann@example.org"},
    ]
    return {row["name"]: library.post("/users", row, role="admin").json["id"] for row in rows}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, {"Łucja Nowak", "Anna van der Berg", "Иван П.", "Ann O'Neil"}),
        ({"type": "student"}, {"Иван П."}),
        ({"role": "reader"}, {"Anna van der Berg", "Иван П."}),
        ({"role": "reader", "type": "student"}, {"Иван П."}),
        ({"role": "reader", "type": "guardian"}, set()),
        ({"role": "librarian"}, {"Łucja Nowak"}),
        ({"role": "educator"}, set()),
        ({"q": "ann"}, {"Anna van der Berg", "Ann O'Neil"}),
        ({"q": "ANNA VAN"}, {"Anna van der Berg"}),
        ({"q": "berg"}, {"Anna van der Berg"}),
        ({"q": "anna van der be"}, {"Anna van der Berg"}),
        ({"q": "erg"}, set()),
        ({"q": "łuc"}, {"Łucja Nowak"}),
        ({"q": "lucja n"}, {"Łucja Nowak"}),
        ({"q": "ànna"}, {"Anna van der Berg"}),
        ({"q": "neil"}, {"Ann O'Neil"}),
        ({"q": "o\u2019neil"}, {"Ann O'Neil"}),
        ({"q": "п"}, {"Иван П."}),
        ({"q": "'"}, set()),
        ({"q": "ИВ"}, {"Иван П."}),
        ({"q": "ann@example.org"}, {"Ann O'Neil"}),
        ({"q": "Ann@Example.org"}, {"Ann O'Neil"}),
        ({"q": "ann@example"}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_the_list_is_narrowed(library: Library, people: dict[str, str], query: dict[str, str], names: set[str]) -> None:
    found = library.get("/users", query_string=query).json

    assert {person["name"] for person in found["items"]} == names
    assert found["total"] == len(names)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"type": "robot"}, "type"),
        ({"role": "lms"}, "role"),
        ({"group_id": "x"}, "group_id"),
        ({"q": ""}, "q"),
        ({"q": "x" * 255}, "q"),
        ({"sort": "name"}, "sort"),
        ({"limit": "501"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"email": "anna@example.org"}, "email"),
    ],
    ids=str,
)
def test_what_the_list_does_not_know_is_refused(library: Library, query: dict[str, str], field: str) -> None:
    refused = library.get("/users", query_string=query)

    assert (refused.status_code, [each["field"] for each in refused.json["errors"]]) == (422, [field])


def test_the_list_is_for_who_reads_users(library: Library, other_library: Library) -> None:
    for caller, status in (
        ({"role": None}, 401),
        ({"token": library.person("educator").token}, 403),
        ({"token": library.person("reader").token}, 403),
        ({"token": library.person("guardian").token}, 403),
        ({"role": "kiosk"}, 403),
        ({"token": other_library.person("admin").token}, 404),
    ):
        assert library.get("/users", **caller).status_code == status


def test_addresses_are_masked_for_all_but_administrators(library: Library, people: dict[str, str]) -> None:
    def address(role: str) -> str:
        return str(library.get("/users", query_string={"q": "berg"}, role=role).json["items"][0]["email"])

    assert address("librarian") == "a***@example.org"
    assert address("admin") == "anna@example.org"


def test_a_list_costs_the_same_statements_whoever_is_in_it(library: Library, people: dict[str, str]) -> None:
    library.get("/users")

    with sent_statements() as of_readers:
        library.get("/users", query_string={"type": "reader"})
    with sent_statements() as of_all:
        library.get("/users")

    # The page and its total.
    assert len(of_readers) == len(of_all) == 2


def test_pages_miss_nobody(library: Library, people: dict[str, str]) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = library.get("/users", query_string={"limit": 1, **({"cursor": cursor} if cursor else {})}).json
        seen += [person["id"] for person in page["items"]]
        cursor = page["next_cursor"]

    assert sorted(seen) == sorted(people.values())


# — showing ————————————————————————————————————————————————————————————————————————————————————————


def test_people_see_their_own_address_and_others_do_not(library: Library) -> None:
    anna = library.person("reader", email="anna@example.org")
    guardian = library.person("guardian")
    library.call("PUT", f"/users/{guardian.id}/readers/{anna.id}", role="admin")

    def address(**caller: Any) -> str:
        return str(library.get(f"/users/{anna.id}", **caller).json["email"])

    assert address(token=anna.token) == "anna@example.org"
    assert address(role="admin") == "anna@example.org"
    assert address(role="librarian") == "a***@example.org"
    assert address(token=guardian.token) == "a***@example.org"


def test_a_person_who_was_seen_is_not_sent_again(library: Library) -> None:
    anna = library.person("reader")
    etag = library.get(f"/users/{anna.id}").headers["ETag"]

    assert library.get(f"/users/{anna.id}", headers={"If-None-Match": etag}).status_code == 304


# — changing ———————————————————————————————————————————————————————————————————————————————————————


def test_people_change_their_name_and_password_and_nothing_else(library: Library) -> None:
    anna = library.person("reader", password=PASSWORD)

    assert library.patch(f"/users/{anna.id}", {"name": "Anna Jones"}, token=anna.token).json["name"] == "Anna Jones"
    for change in (
        {"role": "admin"},
        {"email": "a@example.org"},
        {"username": "anna"},
        {"is_active": True},
        {"reading_ability": "early"},
    ):
        refused = library.patch(f"/users/{anna.id}", change, token=anna.token)
        assert (refused.status_code, refused.json["code"]) == (403, "forbidden"), change
    for unknown in ({"type": "staff"}, {"tenant_id": str(PLATFORM_ID)}, {"id": str(PLATFORM_ID)}):
        assert library.patch(f"/users/{anna.id}", unknown, token=anna.token).status_code == 422, unknown


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "staff"}, "type"),
        ({"tenant_id": str(PLATFORM_ID)}, "tenant_id"),
        ({"id": str(PLATFORM_ID)}, "id"),
        ({"role": "librarian"}, "role"),
        ({"role": "reader"}, "role"),
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"email": "nobody"}, "email"),
        ({"username": "a b"}, "username"),
        ({"password": "x" * 11}, "password"),
        ({"password": "x9 " * 43}, "password"),
        ({"password": "password1234"}, "password"),
        ({"password": "somebody2024"}, "password"),  # pragma: allowlist secret
        ({"is_active": None}, "is_active"),
        ({"is_active": "no"}, "is_active"),
        ({"reading_ability": "fluent"}, "reading_ability"),
        ({"min_age": 9, "max_age": 8}, "max_age"),
        ({"max_age": 121}, "max_age"),
    ],
    ids=str,
)
def test_what_is_not_acceptable_changes_nothing(library: Library, changes: dict[str, Any], field: str) -> None:
    anna = library.person("reader")
    before = library.get(f"/users/{anna.id}", role="admin").json

    refused = library.patch(f"/users/{anna.id}", changes, role="admin")

    assert (refused.status_code, [each["field"] for each in refused.json["errors"]]) == (422, [field])
    assert library.get(f"/users/{anna.id}", role="admin").json == before


def test_administrators_change_everything_else(library: Library) -> None:
    anna = library.person("reader", email="anna@example.org", min_age=6)
    changes = {
        "name": "Anna Jones",
        "email": "jones@example.org",
        "username": "anna.j",
        "is_active": False,
        "reading_ability": "early",
        "min_age": None,
        "max_age": 9,
    }

    changed = library.patch(f"/users/{anna.id}", changes, role="admin").json

    assert {name: changed[name] for name in changes} == changes
    assert library.get("/users", query_string={"q": "jon"}, role="admin").json["total"] == 1
    assert library.get("/users", query_string={"q": "somebody"}, role="admin").json["total"] == 0
    assert library.get("/users", query_string={"q": "anna@example.org"}, role="admin").json["total"] == 0


def test_nobody_takes_anothers_address_or_username(library: Library) -> None:
    library.person("reader", email="anna@example.org", username="anna")
    bob = library.person("reader", email="bob@example.org", username="bob")

    for change, code in (({"email": "ANNA@example.org"}, "email_taken"), ({"username": "Anna"}, "username_taken")):
        refused = library.patch(f"/users/{bob.id}", change, role="admin")
        assert (refused.status_code, refused.json["code"]) == (409, code)
    assert library.patch(f"/users/{bob.id}", {"email": "Bob@example.org"}, role="admin").status_code == 200


def test_who_may_not_change_somebody_is_told_or_sees_nobody(library: Library) -> None:
    anna = library.person("reader")

    for caller, status in (
        ({"role": None}, 401),
        ({"role": "librarian"}, 403),
        ({"token": library.person("librarian").token}, 403),
        ({"token": library.person("educator").token}, 404),
        ({"token": library.person("reader").token}, 404),
    ):
        assert library.patch(f"/users/{anna.id}", {"name": "x"}, **caller).status_code == status
        assert library.delete(f"/users/{anna.id}", **caller).status_code == status


def test_only_json_is_read(library: Library) -> None:
    anna = library.person("reader")

    for method, path in (("POST", "/users"), ("PATCH", f"/users/{anna.id}")):
        refused = library.call(method, path, role="admin", data="name=x", content_type="text/plain")
        assert (refused.status_code, refused.json["code"]) == (415, "unsupported_media_type")


def test_a_new_password_takes_the_present_one_and_ends_all_sessions(library: Library) -> None:
    anna = library.person("reader", email="anna@example.org", password=PASSWORD)
    new = {"password": "seals sleep at noon"}

    for wrong in (new, {**new, "current_password": "not the present one"}):
        refused = library.patch(f"/users/{anna.id}", wrong, token=anna.token)
        assert refused.json["errors"][0]["field"] == "current_password"
    changed = library.patch(f"/users/{anna.id}", {**new, "current_password": PASSWORD}, token=anna.token)

    assert changed.status_code == 200
    assert library.get("/auth/me", token=anna.token).status_code == 401
    for password, status in ((PASSWORD, 401), ("seals sleep at noon", 200)):
        body = {"email": "anna@example.org", "password": password}
        assert library.post("/auth/login", body, role=None).status_code == status


@pytest.mark.parametrize("is_new", [True, False], ids=["a new account", "a changed one"])
def test_nobody_waits_for_a_password_that_is_looked_at(library: Library, owner: Engine, *, is_new: bool) -> None:
    anna, key = library.person("reader"), library.key("admin")
    body = {"password": "seals sleep at noon"}
    new = {**body, "type": "reader", "name": "Li Wei", "email": "li.wei@example.org"}

    def ask() -> Answer:
        if is_new:
            return library.post("/users", new, token=key, headers={"Idempotency-Key": "k-1"})
        return library.patch(f"/users/{anna.id}", body, token=key)

    with ThreadPoolExecutor(1) as pool, passwords._estimating:  # where it stays until the block ends
        asked = pool.submit(ask)
        wait([asked], timeout=0.5)
        with owner.connect() as connection:
            begun = connection.scalar(_BEGUN)
        was_there = not asked.done()

    assert (was_there, begun) == (True, 0)
    assert asked.result().status_code == (201 if is_new else 200)


def test_the_present_password_is_not_guessed_by_an_access_token(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")
    anna, bob = (library.person("reader", password=PASSWORD) for _ in range(2))

    def attempt(person: Person, current: str) -> int:
        change = {"password": "seals sleep at noon", "current_password": current}
        return library.patch(f"/users/{person.id}", change, token=person.token).status_code

    assert [attempt(anna, f"guess number {number}") for number in range(6)] == [422] * 5 + [429]
    assert attempt(anna, PASSWORD) == 429
    assert attempt(bob, PASSWORD) == 200
    assert library.patch(f"/users/{anna.id}", {"name": "Anna"}, token=anna.token).status_code == 200
    told = library.get("/events", query_string={"type": "user.password_refused"}, role="admin").json["items"]
    assert [each["subject"]["id"] for each in told] == [str(anna.id)] * 5


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "librarian"},
        {"is_active": False},
        {"email": "new@example.org"},
        {"username": "new-name"},
        {"password": "seals sleep at noon"},
    ],
    ids=str,
)
def test_what_decides_over_access_ends_all_sessions_in_every_process(
    library: Library, make_app: Callable[..., Flask], changes: dict[str, Any]
) -> None:
    edi = library.person("educator", email="edi@example.org")
    elsewhere = Library(make_app(), library.slug, library.id)
    assert elsewhere.get("/auth/me", token=edi.token).status_code == 200

    assert library.patch(f"/users/{edi.id}", changes, role="admin").status_code == 200

    assert elsewhere.get("/auth/me", token=edi.token).status_code == 401


def test_a_change_of_the_name_ends_none(library: Library) -> None:
    anna = library.person("reader")

    library.patch(f"/users/{anna.id}", {"name": "Anna Jones"}, role="admin")

    assert library.get("/auth/me", token=anna.token).json["profile"]["name"] == "Anna Jones"


def test_a_stale_condition_changes_nothing(library: Library) -> None:
    anna = library.person("reader")

    refused = library.patch(f"/users/{anna.id}", {"name": "x"}, role="admin", headers={"If-Match": '"stale"'})

    assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")


def test_a_student_keeps_a_username(library: Library) -> None:
    kim = library.person("student")

    assert library.patch(f"/users/{kim.id}", {"username": None}, role="admin").status_code == 422


# — who may more —————————————————————————————————————————————————————————————————————————————————————


def narrowed_admin(library: Library, *scopes: str) -> str:
    """A key of an administrator's account that may no more than these."""
    with library.app.app_context(), as_tenant(library.id):
        account = auth.create_service_account(name="narrow", role=Role.ADMIN, scopes=list(scopes))
        key, _ = auth.create_key(account.id)
        db.session.remove()
    return key


def test_nobody_manages_or_makes_who_may_more(library: Library) -> None:
    ada = library.person("admin", email="ada@example.org")
    key = narrowed_admin(
        library, "users:manage", "users:read", "tenant:read", "books:read", "holdings:read", "loans:read", "holds:place"
    )

    for change in ({"password": "seals sleep at noon"}, {"role": "librarian"}, {"email": "mine@example.org"}):
        assert library.patch(f"/users/{ada.id}", change, token=key).status_code == 403, change
    assert library.post(f"/users/{ada.id}/erase", {}, token=key).status_code == 403
    assert library.post("/users", {"type": "staff", "role": "admin", "name": "x"}, token=key).status_code == 403
    assert library.post("/users", {"type": "reader", "name": "x"}, token=key).status_code == 201


def test_platform_administrators_are_the_platforms(library: Library, platform: Library) -> None:
    staff = {"type": "staff", "name": "Pat"}

    assert library.post("/users", {**staff, "role": "platform_admin"}, role="admin").status_code == 403
    assert platform.post("/users", {**staff, "role": "admin"}, role="platform_admin").status_code == 403
    assert platform.post("/users", {**staff, "role": "platform_admin"}, role="platform_admin").status_code == 201
    pat = platform.person("platform_admin")
    assert library.get("", token=pat.token).status_code == 200


def test_the_last_administrator_stays(library: Library) -> None:
    ada = library.person("admin")
    path = f"/users/{ada.id}"

    for refused in (
        library.patch(path, {"role": "librarian"}, role="admin"),
        library.patch(path, {"is_active": False}, role="admin"),
        library.delete(path, role="admin"),
        library.post(f"{path}/erase", {}, role="admin"),
        library.delete(path, token=ada.token),
    ):
        assert (refused.status_code, refused.json["code"]) == (409, "last_admin")
    library.person("admin")
    assert library.delete(path, token=ada.token).status_code == 204


def test_what_somebody_became_while_one_waited_counts(library: Library, owner: Engine) -> None:
    bob = library.person("librarian")
    library.key("admin")

    def promoted(connection: Connection) -> None:
        for change in ("UPDATE users SET updated_at = now()", "UPDATE staff SET role = 'admin'"):
            connection.execute(text(f"{change} WHERE id = :id"), {"id": bob.id})

    for ask in (
        lambda: library.delete(f"/users/{bob.id}", role="admin"),
        lambda: library.patch(f"/users/{bob.id}", {"is_active": False}, role="admin"),
    ):
        refused = ask_while(owner, promoted, ask)
        assert (refused.status_code, refused.json["code"]) == (409, "last_admin")
        execute(owner, "UPDATE staff SET role = 'librarian' WHERE id = :id", id=bob.id)


def test_an_administrator_who_is_kept_out_does_not_count(library: Library) -> None:
    ada, bob = library.person("admin"), library.person("admin")
    library.patch(f"/users/{bob.id}", {"is_active": False}, role="admin")

    assert library.delete(f"/users/{ada.id}", role="admin").json["code"] == "last_admin"


def test_of_two_administrators_who_demote_each_other_one_stays(library: Library) -> None:
    ada, bob = library.person("admin"), library.person("admin")
    demote = {"role": "librarian"}

    statuses = together(
        lambda: library.patch(f"/users/{bob.id}", demote, token=ada.token),
        lambda: library.patch(f"/users/{ada.id}", demote, token=bob.token),
    )

    # The other was demoted first, and so was signed out or may not; or is the last one now.
    assert statuses[0] == 200
    assert statuses[1] in (401, 403, 409)
    roles = [library.get(f"/users/{each.id}", role="admin").json["role"] for each in (ada, bob)]
    assert sorted(roles) == ["admin", "librarian"]


def test_who_is_demoted_while_another_is_waits_and_is_the_last_one_then(library: Library, owner: Engine) -> None:
    ada, bob = library.person("admin"), library.person("admin")
    demote = {"role": "librarian"}
    library.key("admin")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    with ThreadPoolExecutor(1) as threads, owner.connect() as looking:
        with library.app.app_context(), as_tenant(library.id), transaction():
            members.update_user(ada.id, demote)
            asked = threads.submit(library.patch, f"/users/{bob.id}", demote, role="admin")
            assert wait_until(lambda: asked.done() or bool(looking.scalar(waiting)), timeout_seconds=20)
        refused = asked.result(20)

    assert (refused.status_code, refused.json["code"]) == (409, "last_admin")
    assert library.get(f"/users/{bob.id}", role="admin").json["role"] == "admin"


# — what is kept ———————————————————————————————————————————————————————————————————————————————————


def test_nothing_personal_lies_open_in_the_database(
    library: Library, owner: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    made = add(library, name="Xanthippe Quaxenberg", email="xanthippe@quax.example.org", username="xanthi")
    library.patch(f"/users/{made.json['id']}", {"name": "Xanthippe Quaxendorf"}, role="admin")
    library.post("/auth/magic-links", {"email": "xanthippe@quax.example.org"}, role=None)
    library.post("/auth/login", {"email": "xanthippe@quax.example.org", "password": "x"}, role=None)

    with owner.connect() as connection:
        tables = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'")
        ).all()
        for word in ("xanthi", "quax"):
            looked = [
                connection.scalar(
                    text(f"SELECT count(*) FROM {table} t WHERE lower(t::text) LIKE :word"), {"word": f"%{word}%"}
                )
                for table in tables
            ]
            assert sum(filter(None, looked)) == 0
    logged = "".join(str(record.__dict__) for record in caplog.records).lower()
    assert "request.finished" in logged
    assert "quax" not in logged


def test_what_is_done_to_people_stands_in_the_audit_trail_by_ids(library: Library) -> None:
    made = add(library).json["id"]
    library.patch(f"/users/{made}", {"name": "Anna Jones"}, role="admin")

    found = library.get("/events", query_string={"subject_id": made, "sort": "at"}, role="admin").json["items"]
    assert [(each["type"], each["data"]) for each in found] == [
        ("user.created", {"role": "reader", "user_type": "reader"}),
        ("user.updated", {"fields": ["name"]}),
    ]


def test_an_unknown_id_and_another_tenants_are_not_found(library: Library, other_library: Library) -> None:
    other = other_library.person("reader")

    for user_id in (other.id, UUID(int=7), "x"):
        for method in ("GET", "PATCH", "DELETE"):
            body = {"name": "x"} if method == "PATCH" else None
            assert library.call(method, f"/users/{user_id}", role="admin", json=body).status_code == 404


def test_who_is_signed_out_while_a_request_waits_changes_nothing(library: Library, owner: Engine) -> None:
    """As when the owner of an address takes over an account that a stranger has registered with it."""
    mallory = library.person("reader", email="anna@example.org", password=PASSWORD)
    answers: list[Answer] = []

    def set_password() -> None:
        body = {"password": "seals sleep at noon", "current_password": PASSWORD}
        answers.append(library.patch(f"/users/{mallory.id}", body, token=mallory.token))

    assert library.get("/auth/me", token=mallory.token).status_code == 200
    with owner.begin() as connection:
        # The take-over, which has the row.
        connection.execute(
            text("UPDATE users SET password_hash = NULL, sessions_valid_from = clock_timestamp() WHERE id = :id"),
            {"id": mallory.id},
        )
        waiting = threading.Thread(target=set_password)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join()

    assert [answer.status_code for answer in answers] == [401]
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT password_hash FROM users WHERE id = :id"), {"id": mallory.id}) is None
