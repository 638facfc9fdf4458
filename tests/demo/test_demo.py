"""The demo library."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.demo import service

SITE = "http://127.0.0.1:5000"
LIBRARY = "/api/v1/tenants/demo"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "demo.env"


def load(app: Flask, keys_file: Path, *, command: str = "load", site: str = SITE) -> str:
    result = app.test_cli_runner().invoke(args=["demo", command, "--site", site, "--keys-file", str(keys_file)])
    assert result.exit_code == 0, result.output
    return result.stdout


def keys(keys_file: Path) -> dict[str, str]:
    lines = [line.removeprefix("export ") for line in keys_file.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines)


def test_the_demo_library_has_more_than_a_hundred_books_with_authors_editions_and_covers(in_app: Flask) -> None:
    recorded = service.load_demo()

    assert recorded > 100
    client = in_app.test_client()
    headers = {"Authorization": f"Bearer {service.make_keys().by_account['read_only']}"}
    books = client.get("/api/v1/tenants/demo/books?limit=500", headers=headers).get_json()["items"]
    assert len(books) == recorded
    assert all(book["authors"] for book in books)
    assert sum(1 for book in books if book["cover"]) > 50
    assert sum(1 for book in books if book["isbns"]) > 50


def test_the_demo_library_has_a_collection_whose_copies_its_books_count(in_app: Flask) -> None:
    service.load_demo()

    client = in_app.test_client()
    headers = {"Authorization": f"Bearer {service.make_keys().by_account['read_only']}"}
    [collection] = client.get("/api/v1/tenants/demo/collections", headers=headers).get_json()["items"]
    stats = client.get(f"/api/v1/tenants/demo/collections/{collection['id']}/stats", headers=headers).get_json()
    assert stats["editions"] == stats["known"] > 100
    assert 0 < stats["copies_available"] < stats["copies_total"]
    books = client.get("/api/v1/tenants/demo/books?limit=500", headers=headers).get_json()["items"]
    assert sum(book["copies_total"] for book in books) == stats["copies_total"]


def test_loading_again_changes_neither_books_nor_keys(app: Flask, keys_file: Path, owner: Engine) -> None:
    load(app, keys_file)
    first = keys_file.read_text()

    load(app, keys_file)

    assert keys_file.read_text() == first
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT max(version) FROM books")) == 1


def test_the_keys_work_and_lie_in_a_file_that_only_its_owner_reads(app: Flask, keys_file: Path) -> None:
    shown = load(app, keys_file)

    written = keys(keys_file)
    answer = app.test_client().get(
        "/api/v1/tenants/demo", headers={"Authorization": f"Bearer {written['LIBRARIAN_KEY']}"}
    )
    assert answer.status_code == 200
    assert written["LIBRARY"] == f"{SITE}/api/v1/tenants/demo"
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert written["LIBRARIAN_KEY"] not in shown


def signed_in(app: Flask, who: str) -> Callable[..., Any]:
    """Somebody of the demo library signs in, and asks."""
    body = {"email": f"{who}@demo.example.org", "password": service.PASSWORD}
    client = app.test_client()
    token = client.post(f"{LIBRARY}/auth/login", json=body).get_json()["access_token"]

    def ask(path: str) -> Any:
        return client.get(f"{LIBRARY}{path}", headers={"Authorization": f"Bearer {token}"}).get_json()

    return ask


def test_everybody_signs_in_with_one_password(app: Flask, keys_file: Path) -> None:
    shown = load(app, keys_file)

    for email in service.PEOPLE:
        who = email.partition("@")[0]
        me = signed_in(app, who)("/auth/me")["profile"]
        assert who in (me["type"], me["role"])
        assert email in shown
    assert keys(keys_file)["DEMO_PASSWORD"] == f"'{service.PASSWORD}'"


def test_the_educator_has_a_class_with_the_student_in_it(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)
    educator, student = signed_in(app, "educator"), signed_in(app, "student")("/auth/me")

    [group] = educator("/groups")["items"]

    assert (group["name"], group["member_count"]) == ("Demo class", 1)
    assert [each["id"] for each in educator(f"/groups/{group['id']}")["members"]] == [student["id"]]


def test_the_guardian_sees_the_reader_and_nobody_else(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)
    guardian = signed_in(app, "guardian")
    reader, student = (signed_in(app, who)("/auth/me")["id"] for who in ("reader", "student"))

    assert guardian(f"/users/{reader}")["name"] == "Rea Reader"
    assert guardian(f"/users/{student}")["code"] == "not_found"


def test_loading_again_invites_nobody_twice(app: Flask, keys_file: Path, owner: Engine) -> None:
    tables = ("users", "groups", "group_members", "guardian_readers", "events")
    counted = text(f"SELECT {', '.join(f'(SELECT count(*) FROM {each})' for each in tables)}")
    load(app, keys_file)
    with owner.connect() as connection:
        before = connection.execute(counted).one()

    load(app, keys_file)

    with owner.connect() as connection:
        assert connection.execute(counted).one() == before
    assert before[:4] == (len(service.PEOPLE), 1, 1, 1)


def test_an_environment_for_postman_lies_beside_the_keys(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)

    postman = keys_file.parent / "demo.postman_environment.json"
    written = json.loads(postman.read_text())
    values = {each["key"]: each["value"] for each in written["values"]}
    assert values == {
        "base_url": SITE,
        "platform_key": keys(keys_file)["PLATFORM_KEY"],
        "librarian_key": keys(keys_file)["LIBRARIAN_KEY"],
        "read_only_key": keys(keys_file)["READ_ONLY_KEY"],
    }
    assert written["_postman_variable_scope"] == "environment"
    assert stat.S_IMODE(postman.stat().st_mode) == 0o600


def test_the_platforms_calls_are_not_held_up_while_one_tries_things(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)

    answer = app.test_client().get(
        "/api/v1/tenants/platform", headers={"Authorization": f"Bearer {keys(keys_file)['PLATFORM_KEY']}"}
    )
    assert answer.get_json()["limits"]["api_requests_per_minute"] == 6000


def test_another_address_brings_new_keys_and_ends_the_old_ones(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)
    old = keys(keys_file)["LIBRARIAN_KEY"]

    load(app, keys_file, site="http://127.0.0.1:6000")

    answer = app.test_client().get("/api/v1/tenants/demo", headers={"Authorization": f"Bearer {old}"})
    assert answer.status_code == 401
    assert keys(keys_file)["LIBRARY_SITE"] == "http://127.0.0.1:6000"


def test_a_reset_makes_the_library_anew(app: Flask, keys_file: Path) -> None:
    load(app, keys_file)
    client = app.test_client()
    headers = {"Authorization": f"Bearer {keys(keys_file)['LIBRARIAN_KEY']}"}
    before = client.get("/api/v1/tenants/demo", headers=headers).get_json()["id"]

    load(app, keys_file, command="reset")

    headers = {"Authorization": f"Bearer {keys(keys_file)['LIBRARIAN_KEY']}"}
    after = client.get("/api/v1/tenants/demo", headers=headers).get_json()
    assert after["id"] != before
    assert client.get("/api/v1/tenants/demo/books", headers=headers).get_json()["total"] > 100


def test_production_has_no_demo_library(make_app: Callable[..., Flask], keys_file: Path) -> None:
    app = make_app(
        APP_ENV="production",
        SECRET_KEY="a-secret-of-production-that-is-long-enough",
        PII_KEYS="p1:" + "A" * 43 + "=",
    )

    result = app.test_cli_runner().invoke(args=["demo", "load", "--keys-file", str(keys_file)])

    assert result.exit_code != 0
    assert "development" in result.output
    assert not keys_file.exists()
