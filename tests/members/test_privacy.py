"""What is known of a person: told in one document, and forgotten for good."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import service
from app.members.service import PersonalDataLeft
from tests.circulation.desk import Desk
from tests.conftest import Library, Person
from tests.holdings.shelf import EMMA, Shelf

# The id that an event names is nobody's once the account is gone.
KEEPS_IDS = {"events"}
DUNE = {"title": "Dune", "authors": [{"name": "Frank Herbert"}]}


def furnished(library: Library) -> Person:
    """Somebody about whom there is something in every table there can be."""
    anna = library.person("reader", email="anna@example.org", username="anna.s", password="otters swim at dawn")
    group = library.post("/groups", {"name": "Class 3b"}, role="admin").json["id"]
    assert library.call("PUT", f"/groups/{group}/members/{anna.id}", role="admin").status_code == 204
    guardian = library.person("guardian")
    assert library.call("PUT", f"/users/{guardian.id}/readers/{anna.id}", role="admin").status_code == 204
    library.post("/auth/magic-links", {"email": "anna@example.org"}, role=None)
    desk, shelf = Desk(library), Shelf.put_up(library, owner_id=str(anna.id))
    shelf.put(EMMA)
    desk.lent(anna, book_id=desk.book(copies=1))
    desk.held(desk.book(), by=anna)
    return anna


def traces(owner: Engine, *words: str) -> set[str]:
    """The tables that hold any of these words, as PostgreSQL writes its rows."""
    with owner.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        return {
            table
            for table in tables
            for word in words
            if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table} t WHERE t::text LIKE '%{word}%')"))
        }


# — export —————————————————————————————————————————————————————————————————————————————————————————


def test_the_export_holds_everything(library: Library) -> None:
    anna = furnished(library)

    told = library.get(f"/users/{anna.id}/export", token=anna.token)

    assert told.status_code == 200
    assert told.headers["Cache-Control"] == "no-store"
    assert (told.json["user"]["email"], told.json["user"]["username"]) == ("anna@example.org", "anna.s")
    assert [group["name"] for group in told.json["groups"]] == ["Class 3b"]
    assert [link["reader_id"] for link in told.json["guardians"]] == [str(anna.id)]
    assert [session["method"] for session in told.json["sessions"]] == ["command"]
    assert "user.created" in [event["type"] for event in told.json["events"]]


def test_the_export_tells_of_every_table_that_refers_to_people(library: Library, owner: Engine) -> None:
    anna = furnished(library)
    told_in = {
        "staff": "user",
        "readers": "user",
        "guardians": "user",
        "students": "account",
        "groups": "groups",
        "group_members": "groups",
        "guardian_readers": "guardians",
        "magic_links": "magic_links",
        "user_sessions": "sessions",
        "collections": "collections",
        "loans": "loans",
        "holds": "holds",
        # Hashes of the name's beginnings.
        "user_name_prefixes": "user",
        # What was told when the account was made; nobody but the client can read it.
        "idempotency_keys": "user",
    }

    with owner.connect() as connection:
        referring = connection.scalars(
            text(
                "SELECT DISTINCT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
                " AND confrelid::regclass::text IN ('users', 'staff', 'readers', 'students', 'guardians')"
            )
        ).all()
    assert set(referring) == set(told_in)
    told = library.get(f"/users/{anna.id}/export", role="admin").json
    assert set(told) == {*told_in.values(), "collection_items", "events"}
    assert all(told.values())
    assert told["account"]["has_password"] is True


def test_the_export_is_of_one_moment(library: Library, owner: Engine) -> None:
    anna = furnished(library)
    renamed: list[bool] = []

    def rename(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "sealed_profile" in statement and not renamed:
            renamed.append(True)
            with owner.begin() as connection:
                connection.execute(text("UPDATE groups SET name = 'Class 4b'"))

    with library.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", rename)
    told = library.get(f"/users/{anna.id}/export", token=anna.token).json
    event.remove(engine, "before_cursor_execute", rename)

    assert renamed
    assert [group["name"] for group in told["groups"]] == ["Class 3b"]
    assert library.get(f"/users/{anna.id}/export", token=anna.token).json["groups"][0]["name"] == "Class 4b"


def test_the_export_is_recorded(library: Library) -> None:
    anna = library.person("reader")
    library.get(f"/users/{anna.id}/export", role="admin")

    [told] = library.get("/events", query_string={"type": "user.exported"}, role="admin").json["items"]
    assert told["subject"]["id"] == str(anna.id)


def test_the_export_is_for_the_person_and_for_administrators(library: Library, other_library: Library) -> None:
    anna = furnished(library)
    path = f"/users/{anna.id}/export"

    assert library.get(path, role="admin").status_code == 200
    assert library.get(path, role="librarian").status_code == 403
    assert library.get(path, token=library.person("reader").token).status_code == 404
    assert other_library.get(path, role="admin").status_code == 404
    assert library.get(path, role=None).status_code == 401


# — erasure ————————————————————————————————————————————————————————————————————————————————————————


def test_nothing_is_left_of_the_erased(library: Library, owner: Engine) -> None:
    anna = furnished(library)
    others = library.person("reader", email="bob@example.org")
    with owner.connect() as connection:
        hashes = connection.execute(
            text("SELECT encode(email_hash, 'hex'), encode(username_hash, 'hex') FROM users WHERE id = :id"),
            {"id": anna.id},
        ).one()

    erased = library.post(f"/users/{anna.id}/erase", {}, role="admin")

    assert erased.status_code == 200
    counted = erased.json["erased"]
    assert counted.pop("user_name_prefixes") > 0
    assert counted == {
        "collections": 1,
        "group_members": 1,
        "guardian_readers": 1,
        "holds": 1,
        "loans": 1,
        "magic_links": 1,
        "readers": 1,
        "user_sessions": 1,
        "users": 1,
    }
    assert traces(owner, str(anna.id), *hashes) == KEEPS_IDS
    assert library.get("/auth/me", token=anna.token).status_code == 401
    assert library.get(f"/users/{others.id}", role="admin").status_code == 200


def test_people_erase_themselves_and_are_signed_out(library: Library) -> None:
    anna = library.person("reader")
    path, once = f"/users/{anna.id}/erase", {"Idempotency-Key": "1"}

    assert library.post(path, {}, token=anna.token, headers=once).json["erased"]["users"] == 1
    assert library.get(f"/users/{anna.id}", role="admin").status_code == 404
    assert library.post(path, {}, token=anna.token, headers=once).status_code == 401


def test_who_has_changed_books_is_erased_and_the_books_stay(library: Library, owner: Engine) -> None:
    lee = library.person("librarian")
    book = library.post("/books", DUNE, token=lee.token).json["id"]

    assert library.delete(f"/users/{lee.id}", role="admin").status_code == 204
    assert traces(owner, str(lee.id)) == {*KEEPS_IDS, "book_versions"}
    assert library.get(f"/books/{book}").json["versions"][0]["number"] == 1


def test_a_username_that_is_a_word_of_the_catalogue_hinders_nobody(library: Library) -> None:
    library.post("/books", DUNE, role="librarian")

    for username in ("dune", "Frank"):
        anna = library.person("reader", username=username)
        assert library.delete(f"/users/{anna.id}", role="admin").status_code == 204


def test_the_answer_that_is_kept_of_ones_making_is_forgotten(library: Library, owner: Engine) -> None:
    body, once = {"type": "reader", "name": "Anna", "email": "anna@example.org"}, {"Idempotency-Key": "1"}
    anna, bob = (
        library.post("/users", {**body, **fields}, role="admin", headers=headers)
        for fields, headers in (({}, once), ({"email": "bob@example.org"}, {"Idempotency-Key": "2"}))
    )

    erased = library.post(f"/users/{anna.json['id']}/erase", {}, role="admin").json["erased"]

    assert erased["idempotency_keys"] == 1
    again = library.post("/users", body, role="admin", headers=once)
    assert "Idempotent-Replayed" not in again.headers
    assert again.json["id"] != anna.json["id"]
    others = {**body, "email": "bob@example.org"}
    replayed = library.post("/users", others, role="admin", headers={"Idempotency-Key": "2"})
    assert replayed.json == bob.json


def test_deleting_is_erasing(library: Library, owner: Engine) -> None:
    anna = furnished(library)

    assert library.delete(f"/users/{anna.id}", role="admin").status_code == 204
    assert traces(owner, str(anna.id)) == KEEPS_IDS


def test_only_the_person_and_administrators_erase(library: Library, other_library: Library) -> None:
    anna = library.person("reader")

    for caller, status in (
        ({"role": "librarian"}, 403),
        ({"token": library.person("reader").token}, 404),
        ({"role": None}, 401),
    ):
        assert library.post(f"/users/{anna.id}/erase", {}, **caller).status_code == status
    assert other_library.post(f"/users/{anna.id}/erase", {}, role="admin").status_code == 404


def test_an_educators_group_outlives_the_educator(library: Library) -> None:
    edi = library.person("educator")
    group = library.post("/groups", {"name": "Class 3b"}, token=edi.token).json["id"]

    library.delete(f"/users/{edi.id}", role="admin")

    assert library.get(f"/groups/{group}", role="admin").json["owner_id"] is None


@pytest.mark.parametrize(
    "trace",
    [
        "UPDATE books SET description = 'lent to ' || :id WHERE tenant_id = :tenant",
        "UPDATE books SET overrides = jsonb_build_object('subtitle', :id) WHERE tenant_id = :tenant",
        "UPDATE books SET subjects = ARRAY['anna@example.org'] WHERE tenant_id = :tenant",
        "UPDATE books SET description = 'Ask <Anna@Example.org>.' WHERE tenant_id = :tenant",
        "UPDATE events SET data = jsonb_build_object('to', jsonb_build_array('anna@example.org'))",
        "INSERT INTO mail_queue (tenant_id, kind, subject_id) VALUES (:tenant, 'welcome', CAST(:id AS uuid))",
        "UPDATE service_account_keys SET key_hash = u.email_hash FROM users u WHERE u.id = CAST(:id AS uuid)",
    ],
)
def test_what_would_be_left_stops_the_erasure(library: Library, owner: Engine, trace: str) -> None:
    anna = furnished(library)
    library.post("/books", DUNE, role="librarian")
    with owner.begin() as connection:
        connection.execute(text(trace), {"id": str(anna.id), "tenant": library.id})

    with library.app.app_context(), as_tenant(library.id), pytest.raises(PersonalDataLeft):
        service.erase_user(anna.id)

    refused = library.post(f"/users/{anna.id}/erase", {}, role="admin")
    assert (refused.status_code, refused.json["code"]) == (500, "internal_error")
    assert "anna" not in refused.text
    assert library.get("/auth/me", token=anna.token).status_code == 200
    assert library.get(f"/users/{anna.id}/export", role="admin").json["groups"]


def test_two_who_erase_the_same_person_do_it_once(library: Library) -> None:
    anna = library.person("reader")
    library.key("admin")
    answers: list[Any] = []
    gate = threading.Barrier(2)

    def erase() -> None:
        gate.wait()
        answers.append(library.post(f"/users/{anna.id}/erase", {}, role="admin").status_code)

    threads = [threading.Thread(target=erase) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(answers) == [200, 404]


def test_a_repeated_erasure_with_a_key_gets_the_first_answer(library: Library) -> None:
    anna = library.person("reader")
    first, again = (
        library.post(f"/users/{anna.id}/erase", {}, role="admin", headers={"Idempotency-Key": "1"}) for _ in range(2)
    )

    assert (again.status_code, again.json) == (200, first.json)


def test_what_is_forgotten_is_recorded(library: Library, in_app: Flask) -> None:
    anna = library.person("reader")
    library.delete(f"/users/{anna.id}", role="admin")
    db.session.remove()

    types = [each["type"] for each in library.get("/events?type=user.*&sort=at", role="admin").json["items"]]
    assert types[-1] == "user.erased"
