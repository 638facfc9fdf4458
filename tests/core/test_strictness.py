"""What nobody would read is refused, and small print of the contract."""

from __future__ import annotations

import pytest

from app.catalog.schemas import BookListArguments
from tests.conftest import Library


def test_parameters_of_an_operation_that_takes_none_are_refused(library: Library) -> None:
    answer = library.get("?nonsense=1")

    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "nonsense", "message": "Unknown field."}]


@pytest.mark.parametrize("path", ["?=1", "/books?=1"])
def test_a_parameter_without_a_name_is_told_as_it_is(library: Library, path: str) -> None:
    answer = library.get(path)

    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "", "message": "Unknown field."}]


def test_a_field_without_a_name_is_told_as_it_is(library: Library) -> None:
    answer = library.post("/books", {"title": "Dune", "authors": [{"name": "Frank Herbert", "": 1}], "": 1})

    assert [error["field"] for error in answer.json["errors"]] == ["authors.0.", ""]


def test_an_object_with_far_too_many_fields_is_told_how_many_it_may_have(library: Library) -> None:
    key = {f"k{number}": 1 for number in range(200)}

    answer = library.post("/service-accounts", {"name": "x", "role": "lms", **key}, role="admin")

    assert answer.json["errors"] == [{"field": "body", "message": "Must not have 202 fields, but at most 4."}]


def test_of_another_method_the_way_out_is_told(library: Library) -> None:
    answer = library.call("PUT", "/books")

    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.json["detail"] == "This address has other methods; the header Allow lists them."


def test_a_parameter_given_twice_is_refused_whatever_was_loaded_before(library: Library) -> None:
    BookListArguments().load({})

    answer = library.get("/books?limit=1&limit=2")

    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "limit", "message": "Give it once."}]


def test_a_body_of_an_operation_that_takes_none_is_refused_but_an_empty_object_is_none(library: Library) -> None:
    assert library.post("/ingestion/resync", {"x": 1}).status_code == 422
    assert library.post("/ingestion/resync", data="xx", content_type="text/plain").status_code == 422
    assert library.post("/ingestion/resync", {}).status_code == 202
    assert library.post("/ingestion/resync").status_code == 202


@pytest.mark.parametrize("moment", ["20300101T000000Z", "2030-W01-1T00:00:00Z", "2030-01-01", "2030-01-01T00:00:00"])
def test_a_time_that_is_not_of_rfc_3339_is_refused(library: Library, platform: Library, moment: str) -> None:
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}

    answer = library.post("/service-accounts", {"name": "x", "role": "lms", "expires_at": moment}, headers=headers)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == ["expires_at"]


def test_a_country_that_does_not_exist_is_refused(platform: Library) -> None:
    client, headers = platform.app.test_client(), {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    body = {"name": "Nowhere", "slug": "nowhere"}

    assert client.post("/api/v1/tenants", json={**body, "country_code": "ZZ"}, headers=headers).status_code == 422
    assert client.post("/api/v1/tenants", json={**body, "country_code": "NL"}, headers=headers).status_code == 201


def test_a_batch_beyond_the_hourly_limit_is_refused_for_good(library: Library, platform: Library) -> None:
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    library.patch("", {"limits": {"ingestion_jobs_per_hour": 2}}, headers=headers)

    answer = library.post("/ingestion/batches", {"jobs": [{"query": "dune"}] * 3})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "jobs"


def test_a_tenant_at_its_limit_does_not_keep_the_platform_out(library: Library, platform: Library) -> None:
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    library.patch("", {"limits": {"api_requests_per_minute": 1}}, headers=headers)

    assert [library.get("/books").status_code for _ in range(2)] == [200, 429]
    assert library.patch("", {"limits": {"api_requests_per_minute": None}}, headers=headers).status_code == 200
    assert library.get("/books").status_code == 200


def test_any_etag_matches_a_star(library: Library) -> None:
    # The first answer is made for it, the second is a kept one.
    for _ in range(2):
        answer = library.get("/books", headers={"If-None-Match": "*"})
        assert (answer.status_code, answer.data) == (304, b"")
    assert library.get("/books").headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/authors/0199d2f4-7c1a-7e3b-9a64-3f1f2b8c5d10", 404),
        ("/books/by-isbn/9780261103573", 404),
        ("/books/by-isbn/nonsense", 422),
        ("/books?limit=99999", 422),
    ],
)
def test_a_star_does_not_hide_that_there_is_nothing(library: Library, path: str, status: int) -> None:
    for headers in ({}, {"Origin": "https://app.example.org"}):
        assert library.get(path, headers={"If-None-Match": "*", **headers}).status_code == status


def test_a_slash_too_many_is_no_address(library: Library) -> None:
    answer = library.app.test_client().get("/api/v1//tenants")

    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_an_answer_with_a_secret_is_not_to_be_stored(library: Library, platform: Library) -> None:
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    account = library.post("/service-accounts", {"name": "x", "role": "lms"}, headers=headers).json["id"]

    answer = library.post(f"/service-accounts/{account}/keys", {}, headers=headers)

    assert answer.status_code == 201
    assert answer.headers.getlist("Cache-Control") == ["no-store"]
