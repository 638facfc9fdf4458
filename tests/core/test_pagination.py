"""Pages: nothing repeated, nothing skipped, no cursor from elsewhere."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, select, text
from sqlalchemy.engine import Engine

from app.auth.models import ServiceAccount
from app.core.cache import Generation, touch
from app.core.clock import new_id
from app.core.errors import Invalid
from app.core.pagination import Listing, read_cursor, write_cursor
from app.core.tenancy import own, tenant
from app.settings import Settings
from tests.conftest import Library

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = Settings.from_environment({"DATABASE_URL": "postgresql://db/library", "REDIS_URL": "redis://redis"})

ACCOUNTS = Listing(
    "accounts",
    select(ServiceAccount.name).where(own(ServiceAccount)),
    tie=ServiceAccount.id,
    sorts={"created_at": ServiceAccount.created_at, "name": ServiceAccount.name},
    default_sort="-created_at",
    filters={"role": ServiceAccount.role == bindparam("role")},
)


@pytest.fixture
def listed(in_app: Flask, library: Library) -> Iterator[Library]:
    with tenant(library.id):
        yield library


def fill(owner: Engine, library: Library, created: dict[str, datetime], *, role: str = "lms") -> None:
    rows = [{"t": library.id, "i": new_id(), "n": name, "r": role, "c": at} for name, at in created.items()]
    with owner.begin() as connection:
        connection.execute(
            text("INSERT INTO service_accounts (tenant_id, id, name, role, created_at) VALUES (:t, :i, :n, :r, :c)"),
            rows,
        )


def pages(listing: Listing = ACCOUNTS, **arguments: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        page = listing.page(cursor=cursor, **arguments)
        yield [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 500])
@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name", "-name"])
def test_pages_hold_every_row_once_and_in_order(listed: Library, owner: Engine, limit: int, sort: str) -> None:
    names = [f"account {index}" for index in range(7)]
    fill(owner, listed, {name: NOON + timedelta(microseconds=index) for index, name in enumerate(names)})

    found = list(pages(limit=limit, sort=sort))

    assert [name for page in found for name in page] == (names[::-1] if sort.startswith("-") else names)
    assert all(len(page) == limit for page in found[:-1])


def test_rows_of_the_same_moment_are_neither_repeated_nor_skipped(listed: Library, owner: Engine) -> None:
    fill(owner, listed, {f"twin {index}": NOON for index in range(20)})

    for sort in ("created_at", "-created_at"):
        found = [name for page in pages(limit=3, sort=sort) for name in page]
        assert sorted(found) == sorted(f"twin {index}" for index in range(20))


def test_rows_that_come_in_between_change_no_page_of_those_there_throughout(listed: Library, owner: Engine) -> None:
    chance = random.Random(7)
    there = [f"there {index}" for index in range(30)]
    fill(owner, listed, {name: NOON + timedelta(seconds=index // 4) for index, name in enumerate(there)})

    found = []
    for number, page in enumerate(pages(limit=4)):
        found += page
        newcomers = {f"new {number} {index}": NOON + timedelta(seconds=chance.uniform(-9, 9)) for index in range(5)}
        fill(owner, listed, newcomers)

    assert sorted(name for name in found if name.startswith("there")) == sorted(there)
    assert len(found) == len(set(found))


def test_another_tenants_rows_are_on_no_page(listed: Library, other_library: Library, owner: Engine) -> None:
    fill(owner, listed, {"mine": NOON})
    fill(owner, other_library, {"theirs": NOON})

    page = ACCOUNTS.page(limit=10)

    assert [item["name"] for item in page["items"]] == ["mine"]
    assert page["total"] == 1


def test_filters_narrow_rows_and_total_alike(listed: Library, owner: Engine) -> None:
    fill(owner, listed, {"one": NOON, "two": NOON})
    fill(owner, listed, {"other": NOON}, role="kiosk")

    page = ACCOUNTS.page(limit=1, role="lms")

    assert (page["total"], page["total_relation"]) == (2, "eq")
    assert [name for names in pages(limit=1, role="lms") for name in names] in (["one", "two"], ["two", "one"])
    assert ACCOUNTS.page(limit=1, role=None)["total"] == 3


def test_a_total_is_exact_up_to_ten_thousand(listed: Library, owner: Engine) -> None:
    fill(owner, listed, {f"account {index}": NOON for index in range(10_000)})
    exact = ACCOUNTS.page(limit=1)
    fill(owner, listed, {"one more": NOON})
    more = ACCOUNTS.page(limit=1)

    assert (exact["total"], exact["total_relation"]) == (10_000, "eq")
    assert (more["total"], more["total_relation"]) == (10_000, "gte")


def test_a_total_is_kept_until_its_generation_moves(listed: Library, owner: Engine) -> None:
    listing = Listing(
        "counted",
        select(ServiceAccount.name).where(own(ServiceAccount)),
        tie=ServiceAccount.id,
        sorts={"name": ServiceAccount.name},
        default_sort="name",
        generation=Generation.CATALOGUE,
    )
    touch(Generation.CATALOGUE)
    before = listing.page(limit=1)["total"]
    fill(owner, listed, {"late": NOON})

    kept = listing.page(limit=1)["total"]
    touch(Generation.CATALOGUE)

    assert (before, kept, listing.page(limit=1)["total"]) == (0, 0, 1)


# — cursors ————————————————————————————————————————————————————————————————————————————————————————


@pytest.fixture
def cursor(listed: Library, owner: Engine) -> str:
    fill(owner, listed, {f"account {index}": NOON for index in range(3)})
    found: str = ACCOUNTS.page(limit=1)["next_cursor"]
    return found


def assert_refused(cursor: str, **arguments: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        ACCOUNTS.page(limit=1, cursor=cursor, **arguments)
    assert refusal.value.errors[0]["field"] == "cursor"


def test_a_cursor_of_another_sort_filter_or_list_is_refused(cursor: str) -> None:
    ACCOUNTS.page(limit=1, cursor=cursor)

    assert_refused(cursor, sort="name")
    assert_refused(cursor, role="lms")
    other = Listing(
        "others",
        select(ServiceAccount.name),
        tie=ServiceAccount.id,
        sorts={"created_at": ServiceAccount.created_at},
        default_sort="-created_at",
    )
    with pytest.raises(Invalid):
        other.page(limit=1, cursor=cursor)


def test_a_cursor_of_another_tenant_is_refused(cursor: str, other_library: Library) -> None:
    with tenant(other_library.id):
        assert_refused(cursor)


def test_every_damaged_character_of_a_cursor_is_noticed(cursor: str) -> None:
    for index in range(len(cursor) - 1):
        assert_refused(cursor[:index] + ("A" if cursor[index] != "A" else "B") + cursor[index + 1 :])
    for damaged in (cursor[:-4], cursor + "AAAA", cursor[4:], cursor[::-1]):
        assert_refused(damaged)


@pytest.mark.parametrize(
    "nonsense", ["x", "====", "ünïcödé", "\x00", "a" * 2000, "../..", base64.b64encode(b"[]").decode()]
)
def test_nonsense_is_no_cursor(cursor: str, nonsense: str) -> None:
    assert_refused(nonsense)


def test_a_cursor_says_where_it_stands_and_no_more(app: Flask) -> None:
    position = [NOON, UUID(int=7)]
    with app.app_context():
        assert read_cursor(write_cursor(position, b"list"), b"list") == [NOON.isoformat(), str(UUID(int=7))]


@given(st.lists(st.one_of(st.text(), st.integers(-(2**53), 2**53), st.none()), min_size=1, max_size=2))
def test_every_position_comes_back_as_it_went(position: list[Any]) -> None:
    app = Flask(__name__)
    app.extensions["settings"] = SETTINGS
    with app.app_context():
        assert read_cursor(write_cursor(position, b"list"), b"list") == position


# — over HTTP ——————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("limit", ["0", "-1", "501", "1.0", "1e2", "0x10", "", " 1", "٣", "9" * 400, "true", "null"])
def test_a_limit_out_of_bounds_is_refused(library: Library, limit: str) -> None:
    answer = library.get("/service-accounts", role="admin", query_string={"limit": limit})

    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "limit")


@pytest.mark.parametrize(("limit", "shown"), [("1", 1), ("500", 2), ("007", 2)])
def test_a_limit_within_bounds_is_kept(library: Library, limit: str, shown: int) -> None:
    library.key("lms")

    answer = library.get("/service-accounts", role="admin", query_string={"limit": limit})

    assert answer.status_code == 200
    assert len(answer.get_json()["items"]) == shown


def test_without_a_limit_a_page_holds_fifty(library: Library, owner: Engine) -> None:
    fill(owner, library, {f"account {index}": NOON for index in range(60)})

    page = library.get("/service-accounts", role="admin").get_json()

    assert len(page["items"]) == 50
    assert set(page) == {"items", "total", "total_relation", "next_cursor"}


@pytest.mark.parametrize(
    "query",
    ["sort=nothing", "sort=-", "colour=red", "limit=1&limit=2", "cursor=", "cursor=x", "role=queen", "sort=name;drop"],
)
def test_an_unknown_or_repeated_parameter_is_refused(library: Library, query: str) -> None:
    answer = library.get(f"/service-accounts?{query}", role="admin")

    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, query.split("=", maxsplit=1)[0])
