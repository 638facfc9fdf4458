"""The endpoints of tenants."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from app.tenants.models import PLATFORM_ID
from tests.conftest import Library

SETTINGS = {
    "public_submissions": False,
    "self_registration": False,
    "resync_interval_hours": 6,
    "loan_days": 14,
    "max_renewals": 2,
    "max_loans_per_reader": 20,
}
NO_LIMITS = {"api_requests_per_minute": None, "ingestion_jobs_per_hour": None}


def as_platform(library: Library, method: str, path: str = "", **options: Any) -> TestResponse:
    """Call a tenant's address, or that of all tenants, as those who run the service."""
    key = Library(library.app, "platform", PLATFORM_ID).key("platform_admin")
    address = "/api/v1/tenants" + (f"/{library.slug}{path}" if library.slug != "platform" else path)
    headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
    return library.app.test_client().open(address, method=method, headers=headers, **options)


def create(platform: Library, **fields: Any) -> TestResponse:
    return as_platform(platform, "POST", json={"name": "Riverside", "slug": "riverside", **fields})


# — creating ———————————————————————————————————————————————————————————————————————————————————————


def test_a_platform_administrator_creates_a_tenant(platform: Library) -> None:
    made = create(
        platform,
        kind="school",
        country_code="NL",
        official_identifier="NL-1",
        lms_type="koha",
        website="https://riverside.example.org/",
        settings={"loan_days": 21, "max_renewals": None},
    )

    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/api/v1/tenants/riverside"
    body = made.get_json()
    assert as_platform(Library(platform.app, "riverside", PLATFORM_ID), "GET").get_json() == body
    assert {body.pop("id"), body.pop("created_at"), body.pop("updated_at")}
    assert body == {
        "slug": "riverside",
        "name": "Riverside",
        "kind": "school",
        "status": "active",
        "country_code": "NL",
        "official_identifier": "NL-1",
        "lms_type": "koha",
        "website": "https://riverside.example.org/",
        "settings": {**SETTINGS, "loan_days": 21},
        "limits": NO_LIMITS,
    }


def test_what_is_left_out_has_its_default(platform: Library) -> None:
    body = create(platform).get_json()

    assert body["kind"] == "library"
    assert body["settings"] == SETTINGS
    assert [body[name] for name in ("country_code", "official_identifier", "lms_type", "website")] == [None] * 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("name", None),
        ("slug", "R"),
        ("slug", "r"),
        ("slug", "x" * 64),
        ("slug", "-ab"),
        ("slug", "ab-"),
        ("slug", "a--b"),
        ("slug", "a_b"),
        ("slug", "ab\n"),
        ("kind", "castle"),
        ("kind", None),
        ("country_code", "nl"),
        ("country_code", "NLD"),
        ("official_identifier", ""),
        ("website", "javascript:alert(1)"),
        ("website", "riverside.example.org"),
        ("website", "https://x.example.org/" + "x" * 500),
        ("status", "active"),
        ("id", "00000000-0000-7000-8000-000000000001"),
    ],
)
def test_a_field_that_is_not_acceptable_is_named(platform: Library, field: str, value: Any) -> None:
    refused = create(platform, **{field: value})

    assert refused.status_code == 422, refused.text
    assert {error["field"] for error in refused.get_json()["errors"]} == {field}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("loan_days", 0),
        ("loan_days", 366),
        ("loan_days", "14"),
        ("public_submissions", 1),
        ("max_renewals", -1),
        ("x", 1),
    ],
)
def test_a_setting_that_is_not_acceptable_is_named(platform: Library, setting: str, value: Any) -> None:
    refused = create(platform, settings={setting: value})

    assert refused.status_code == 422
    assert {error["field"] for error in refused.get_json()["errors"]} == {f"settings.{setting}"}


def test_a_slug_is_taken_once(platform: Library, library: Library) -> None:
    assert create(platform).get_json()["code"] == "slug_taken"
    assert create(platform, slug="platform").get_json()["code"] == "slug_taken"
    assert create(platform, slug="riverside-2").status_code == 201


def test_an_official_identifier_is_taken_once_within_a_country(platform: Library) -> None:
    first = {"country_code": "NL", "official_identifier": "1"}
    assert create(platform, **first).status_code == 201

    taken = create(platform, slug="second", **first)

    assert (taken.status_code, taken.get_json()["code"]) == (409, "identifier_taken")
    assert create(platform, slug="third", country_code="BE", official_identifier="1").status_code == 201


@pytest.mark.parametrize("role", ["admin", "librarian", "lms"])
def test_only_those_who_run_the_service_create_and_list_tenants(library: Library, role: str) -> None:
    headers = {"Authorization": f"Bearer {library.key(role)}"}
    client = library.app.test_client()

    assert client.post("/api/v1/tenants", json={}, headers=headers).status_code == 403
    assert client.get("/api/v1/tenants", headers=headers).status_code == 403
    assert client.get("/api/v1/tenants").status_code == 401


# — listing ————————————————————————————————————————————————————————————————————————————————————————


def test_tenants_are_listed_and_filtered(platform: Library) -> None:
    create(platform)
    create(
        platform, slug="hillside", name="Hill Side School", kind="school", country_code="NL", official_identifier="7"
    )

    def slugs(query: str) -> list[str]:
        answer = as_platform(platform, "GET", f"?{query}")
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["total"] == len(answer.get_json()["items"])
        return [item["slug"] for item in answer.get_json()["items"]]

    assert slugs("") == ["hillside", "riverside", "platform"]
    assert slugs("sort=slug") == ["hillside", "platform", "riverside"]
    assert slugs("kind=school") == ["hillside"]
    assert slugs("country_code=NL&official_identifier=7") == ["hillside"]
    assert slugs("country_code=BE") == []
    assert slugs("q=SIDE") == ["hillside", "riverside"]
    assert slugs("q=hill+side") == ["hillside"]
    assert slugs("q=%25") == []
    assert slugs("status=suspended") == []


# — showing and changing ———————————————————————————————————————————————————————————————————————————


def test_a_member_sees_its_own_tenant_and_no_other(library: Library, other_library: Library) -> None:
    headers = {"Authorization": f"Bearer {library.key('librarian')}"}

    assert library.get("", role="read_only").status_code == 200
    assert library.get("", role=None).status_code == 401
    assert other_library.get("", role=None, headers=headers).status_code == 404


def test_an_administrator_changes_name_and_settings(library: Library) -> None:
    changed = library.patch("", {"name": "New", "settings": {"loan_days": 7, "self_registration": True}}, role="admin")

    assert changed.status_code == 200
    assert changed.get_json()["name"] == "New"
    assert changed.get_json()["settings"] == {**SETTINGS, "loan_days": 7, "self_registration": True}
    assert library.get("").get_json() == changed.get_json()


def test_null_gives_a_setting_its_default_back(library: Library) -> None:
    library.patch("", {"settings": {"loan_days": 7, "resync_interval_hours": 1}}, role="admin")

    changed = library.patch("", {"settings": {"loan_days": None, "resync_interval_hours": None}}, role="admin")

    assert changed.get_json()["settings"] == SETTINGS


def test_a_patch_of_the_merge_patch_type_is_taken_too(library: Library) -> None:
    changed = library.call(
        "PATCH", "", role="admin", data=b'{"name": "New"}', content_type="application/merge-patch+json"
    )

    assert changed.status_code == 200
    assert changed.get_json()["name"] == "New"


def test_limits_are_changed_by_those_who_run_the_service_only(library: Library) -> None:
    wanted = {"api_requests_per_minute": 600, "ingestion_jobs_per_hour": 5}

    refused = library.patch("", {"limits": wanted, "name": "Not this either"}, role="admin")
    changed = as_platform(library, "PATCH", json={"limits": wanted})
    lifted = as_platform(library, "PATCH", json={"limits": {"api_requests_per_minute": None}})

    assert (refused.status_code, refused.get_json()["code"]) == (403, "forbidden")
    assert changed.get_json()["limits"] == wanted
    assert changed.get_json()["name"] == "Riverside"
    assert lifted.get_json()["limits"] == {**wanted, "api_requests_per_minute": None}


@pytest.mark.parametrize(
    "body", [{"slug": "new"}, {"kind": "school"}, {"status": "suspended"}, {"name": None}, {"id": 1}]
)
def test_what_can_not_be_changed_is_refused(library: Library, body: dict[str, Any]) -> None:
    assert library.patch("", body, role="admin").status_code == 422


@pytest.mark.parametrize("role", ["librarian", "lms", "kiosk", "read_only"])
def test_others_change_nothing(library: Library, role: str) -> None:
    assert library.patch("", {"name": "x"}, role=role).status_code == 403
    assert library.delete("", role=role).status_code == 403


# — deleting ———————————————————————————————————————————————————————————————————————————————————————


def test_deleting_suspends_and_keeps_the_rows(library: Library) -> None:
    suspended = as_platform(library, "DELETE")
    again = as_platform(library, "DELETE")

    assert (suspended.status_code, suspended.data, again.status_code) == (204, b"", 404)
    assert as_platform(library, "GET").get_json()["status"] == "suspended"
    assert library.get("", role="admin").status_code == 401


def test_not_even_its_administrator_deletes_a_tenant(library: Library) -> None:
    assert library.delete("", role="admin").status_code == 403


def test_the_reserved_tenant_stays(platform: Library) -> None:
    refused = platform.delete("", role="platform_admin")

    assert (refused.status_code, refused.get_json()["code"]) == (409, "platform_is_reserved")
    assert platform.get("", role="platform_admin").get_json()["status"] == "active"


# — what is left behind ————————————————————————————————————————————————————————————————————————————


def test_every_change_leaves_an_event_of_whoever_made_it(app: Flask, platform: Library, owner: Engine) -> None:
    create(platform)
    made = Library(app, "riverside", PLATFORM_ID)
    as_platform(made, "PATCH", json={"settings": {"loan_days": 7}, "name": "New"})
    as_platform(made, "DELETE")

    with owner.connect() as connection:
        question = "SELECT type, actor_kind, data FROM events WHERE type LIKE 'tenant.%' ORDER BY id"
        found = [tuple(row) for row in connection.execute(text(question))]
    assert found == [
        ("tenant.created", "service_account", {"kind": "library"}),
        ("tenant.updated", "service_account", {"fields": ["loan_days", "name"]}),
        ("tenant.suspended", "service_account", {}),
    ]
