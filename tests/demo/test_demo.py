"""The demo library."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.demo import service

SITE = "http://127.0.0.1:5000"


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
