"""Repeated POSTs: done once, answered alike, and nothing told by the table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from app.core.errors import Conflict
from app.core.idempotency import forget_old_answers
from app.core.tenancy import tenant
from app.events import service as events
from app.extensions import db
from app.settings import Settings
from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.core.probes import Probes

ACCOUNT = {"name": "Koha", "role": "lms"}


def create(library: Library, key: str, body: Any = ACCOUNT, **options: Any) -> TestResponse:
    return library.post("/service-accounts", body, role="admin", headers={"Idempotency-Key": key}, **options)


def count(owner: Engine, what: str) -> int:
    with owner.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {what}")) or 0)


def named_koha(owner: Engine) -> int:
    return count(owner, "service_accounts WHERE name = 'Koha'")


def test_a_repeated_request_gets_the_first_answer_and_does_nothing(library: Library, owner: Engine) -> None:
    first, again = create(library, "k-1"), create(library, "k-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    assert again.headers["Location"] == first.headers["Location"]
    assert again.content_type == first.content_type
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert named_koha(owner) == 1


def test_without_a_key_or_with_another_one_it_is_done_again(library: Library, owner: Engine) -> None:
    create(library, "k-1")
    create(library, "k-2")
    library.post("/service-accounts", ACCOUNT, role="admin")

    assert named_koha(owner) == 3


@pytest.mark.parametrize("change", ["body", "path"])
def test_a_key_used_for_another_request_is_refused(library: Library, change: str) -> None:
    account = create(library, "k-1").get_json()["id"]

    path = f"/service-accounts/{account}/keys" if change == "path" else "/service-accounts"
    body = {**ACCOUNT, "name": "Other"} if change == "body" else ACCOUNT
    reused = library.post(path, body, role="admin", headers={"Idempotency-Key": "k-1"})

    assert (reused.status_code, reused.get_json()["code"]) == (422, "idempotency_key_reused")


def test_each_principal_has_keys_of_its_own(app: Flask) -> None:
    library = Probes(app).library()
    headers = {"Idempotency-Key": "k-1"}

    answers = [library.post("/probes/once", role=role, headers=headers) for role in ("librarian", "admin")]

    assert [answer.get_json() for answer in answers] == [{"calls": 1}, {"calls": 2}]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tinside", "ünï", "\x7f"])
def test_a_key_that_is_none_is_refused(library: Library, owner: Engine, key: str) -> None:
    refused = create(library, key.encode().decode("latin-1"))

    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["field"] == "Idempotency-Key"
    assert named_koha(owner) == 0


def test_every_printable_character_is_a_key(library: Library) -> None:
    key = "".join(map(chr, range(0x21, 0x7F)))

    assert [create(library, key).status_code, create(library, key).headers["Idempotent-Replayed"]] == [201, "true"]


def test_a_refusal_is_not_kept(library: Library, owner: Engine) -> None:
    refused = create(library, "k-1", {"name": "Koha"})

    mended = create(library, "k-1", ACCOUNT)

    assert (refused.status_code, mended.status_code) == (422, 201)
    assert named_koha(owner) == 1


def test_key_and_effect_are_one_transaction(app: Flask, owner: Engine) -> None:
    probes = Probes(app)
    library = probes.library()

    def half_done() -> None:
        events.record("test.half-done")
        raise Conflict("Not now.")

    probes.answers["once"] = half_done
    refused = library.post("/probes/once", headers={"Idempotency-Key": "k-1"})

    assert refused.status_code == 409
    assert count(owner, "events WHERE type = 'test.half-done'") == 0
    assert count(owner, "idempotency_keys") == 0


def test_while_the_first_is_running_the_second_is_told_so(app: Flask) -> None:
    probes = Probes(app)
    library = probes.library()
    library.key("librarian")
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert may_end.wait(10)
        return "the first"

    probes.answers["once"] = slow
    answers: list[TestResponse] = []
    headers = {"Idempotency-Key": "k-1"}
    first = threading.Thread(target=lambda: answers.append(library.post("/probes/once", headers=headers)))
    first.start()
    assert begun.wait(10)

    second = library.post("/probes/once", headers=headers)
    may_end.set()
    first.join(10)
    third = library.post("/probes/once", headers=headers)

    assert (second.status_code, second.get_json()["code"]) == (409, "idempotency_in_progress")
    assert answers[0].get_json() == third.get_json() == "the first"
    assert third.headers["Idempotent-Replayed"] == "true"
    assert probes.calls == ["once"]


def test_of_many_at_once_one_is_done(library: Library, owner: Engine) -> None:
    library.key("admin")
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(create(library, "k-1").status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert set(statuses) <= {201, 409}
    assert named_koha(owner) == 1


def test_the_table_alone_tells_no_secret(library: Library, owner: Engine) -> None:
    account = create(library, "k-1").get_json()["id"]
    made = library.post(f"/service-accounts/{account}/keys", {}, role="admin", headers={"Idempotency-Key": "secret-k"})
    again = library.post(f"/service-accounts/{account}/keys", {}, role="admin", headers={"Idempotency-Key": "secret-k"})

    with owner.connect() as connection:
        stored = connection.scalar(text("SELECT string_agg(t::text, '') FROM idempotency_keys t"))
        raw = b"".join(connection.scalars(text("SELECT sealed_answer FROM idempotency_keys")).all())
    assert again.get_json()["key"] == made.get_json()["key"]
    for secret in (made.get_json()["key"], "secret-k", account):
        assert secret not in stored
        assert secret.encode() not in raw


def test_an_answer_is_kept_for_a_day(library: Library, owner: Engine) -> None:
    def age(by: timedelta) -> None:
        with owner.begin() as connection:
            connection.execute(text("UPDATE idempotency_keys SET created_at = created_at - :by"), {"by": by})

    create(library, "k-1")
    age(timedelta(hours=23, minutes=59))
    within = create(library, "k-1")
    age(timedelta(minutes=2))
    after = create(library, "k-1")

    assert within.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in after.headers
    assert named_koha(owner) == 2
    assert create(library, "k-1").get_json() == after.get_json()


def test_old_answers_are_forgotten_and_others_kept(library: Library, owner: Engine) -> None:
    create(library, "k-old")
    with owner.begin() as connection:
        connection.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute'"))
    create(library, "k-new")

    with library.app.app_context(), tenant(library.id):
        forgotten = forget_old_answers()
        db.session.remove()

    assert forgotten == 1
    assert create(library, "k-new").headers["Idempotent-Replayed"] == "true"


def test_an_answer_sealed_under_a_lost_secret_is_no_server_error(library: Library, owner: Engine) -> None:
    create(library, "k-1")
    settings: Settings = library.app.extensions["settings"]
    library.app.extensions["settings"] = replace(settings, secret_key="another secret, as after a rotation of it")

    again = create(library, "k-1")

    assert (again.status_code, again.get_json()["code"]) == (422, "idempotency_key_reused")
    assert named_koha(owner) == 1


def test_what_was_asked_can_t_be_guessed_from_the_table_without_the_secret(
    library: Library, make_app: Callable[..., Flask], owner: Engine
) -> None:
    """A body may hold a password: with a plain hash of it, whoever has the table could try all that are likely."""
    there = Library(
        make_app(SECRET_KEY="another secret, of which nobody knows"), library.slug, library.id, library.keys
    )
    hashes: list[Any] = []
    for each in (library, there):
        create(each, "k-1")
        with owner.begin() as connection:
            hashes += connection.scalars(text("DELETE FROM idempotency_keys RETURNING request_hash")).all()

    assert len({bytes(each) for each in hashes}) == 2


def test_creating_a_tenant_may_be_repeated_too(app: Flask, owner: Engine) -> None:
    platform = Library(app, "platform", PLATFORM_ID)
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}", "Idempotency-Key": "k-1"}
    body = {"name": "Riverside", "slug": "riverside"}

    answers = [app.test_client().post("/api/v1/tenants", json=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data == answers[1].data
    assert count(owner, "tenants WHERE slug = 'riverside'") == 1
    assert count(owner, "events WHERE type = 'tenant.created'") == 1
