"""Ten jobs an hour for each tenant; a batch counts each of its jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.conftest import Library


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app with the default limit."""
    return make_app(INGESTION_RATE_LIMIT_REQUESTS="10")


def test_a_batch_counts_each_of_its_jobs(library: Library) -> None:
    wish = {"query": "author:Tolkien"}

    accepted = library.post("/ingestion/batches", {"jobs": [wish] * 8})
    too_many = library.post("/ingestion/batches", {"jobs": [wish] * 3})
    fits = library.post("/ingestion/batches", {"jobs": [wish] * 2})
    full = library.post("/ingestion/jobs", wish)

    assert [each.status_code for each in (accepted, too_many, fits, full)] == [202, 429, 202, 429]
    assert full.json["code"] == "rate_limited"
    assert int(full.headers["Retry-After"]) > 0
    assert '"ingestion";q=10;w=3600' in full.headers["RateLimit-Policy"]
    assert full.headers["X-RateLimit-Remaining"] == "0"
    # A refused batch leaves nothing behind.
    assert library.get("/ingestion/jobs").json["total"] == 10


def test_what_is_refused_for_its_form_does_not_count(library: Library) -> None:
    for _ in range(12):
        assert library.post("/ingestion/jobs", {"query": "a"}).status_code == 422

    assert library.post("/ingestion/jobs", {"query": "author:Tolkien"}).status_code == 202


def test_a_repeated_request_does_not_count(library: Library) -> None:
    headers = {"Idempotency-Key": "once"}

    answers = [library.post("/ingestion/jobs", {"query": "ab"}, headers=headers).status_code for _ in range(12)]

    assert answers == [202] * 12


def test_a_tenants_own_limit_counts_instead(library: Library, platform: Library) -> None:
    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    library.call("PATCH", "", role=None, headers=headers, json={"limits": {"ingestion_jobs_per_hour": 2}})

    answers = [library.post("/ingestion/jobs", {"query": "author:Tolkien"}).status_code for _ in range(3)]

    assert answers == [202, 202, 429]


def test_one_tenant_does_not_use_up_anothers(library: Library, other_library: Library) -> None:
    library.post("/ingestion/batches", {"jobs": [{"query": "author:Tolkien"}] * 10})

    assert other_library.post("/ingestion/jobs", {"query": "author:Tolkien"}).status_code == 202
