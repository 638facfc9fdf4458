"""Lists that are answered before Flask begins: the same answers, refusals and headers as Flask's side gives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.core.database import POOL_TIMEOUT_SECONDS, READS, Question
from app.core.errors import Conflict
from app.extensions import db
from tests.conftest import Library
from tests.core.conftest import LogLines
from tests.core.probes import Probes

# A request of a page of another origin always goes through Flask.
THROUGH_FLASK = {"Origin": "https://app.example.org"}


@pytest.fixture
def probes(app: Flask) -> Probes:
    return Probes(app)


@pytest.fixture
def library(probes: Probes) -> Library:
    library = probes.library()
    # Who the key belongs to is kept from here on, so that Flask is not needed to learn it.
    assert library.get("/probes/plain").status_code == 200
    return library


def read(library: Library, query: str = "", **headers: str) -> TestResponse:
    return library.get(f"/probes/listed{query}", headers=headers)


def test_arguments_arrive_as_through_flask(probes: Probes, library: Library) -> None:
    queries = ["", "?limit=7", "?limit=7&cursor=%C3%BC+x", "?cursor=a%26b"]
    for query in queries:
        assert read(library, query).status_code == 200
    fast, probes.arguments = probes.arguments, []
    library.post("/probes/touched")
    for query in queries:
        assert read(library, query, **THROUGH_FLASK).status_code == 200

    assert fast == probes.arguments
    assert fast == [
        {"limit": 50, "cursor": None},
        {"limit": 7, "cursor": None},
        {"limit": 7, "cursor": "ü x"},
        {"limit": 50, "cursor": "a&b"},
    ]


def test_both_sides_answer_alike(library: Library) -> None:
    fast, flask = read(library, "?limit=1"), read(library, "?limit=1", **THROUGH_FLASK)

    assert (fast.status_code, fast.data) == (flask.status_code, flask.data)
    differing = {"X-Request-ID", "RateLimit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Vary"}
    assert {name: value for name, value in fast.headers.items() if name not in differing} == {
        name: value for name, value in flask.headers.items() if name not in differing
    }


@pytest.mark.parametrize(
    "query",
    ["?limit=0", "?limit=x", "?nothing=1", "?limit=1&limit=2", "?cursor=", "?cursor=%00", "?cursor=%FF"],
)
def test_both_sides_refuse_alike(probes: Probes, library: Library, query: str) -> None:
    fast, flask = read(library, query), read(library, query, **THROUGH_FLASK)

    for answer in (fast, flask):
        assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert fast.get_json()["errors"] == flask.get_json()["errors"]
    assert probes.calls == ["plain"]


def test_a_request_is_counted_and_logged_once(library: Library, log_lines: LogLines) -> None:
    def used() -> int:
        items = library.get("/rate-limits").get_json()["items"]
        return next(int(each["used"]) for each in items if each["policy"] == "catalogue_read")

    before = used()
    for query in ("", "?limit=3", "?limit=0", "?limit=3"):
        read(library, query)

    assert used() == before + 4
    lines = [line for line in log_lines.all("request.finished") if line["route"].endswith("/listed")]
    assert [line["status"] for line in lines] == [200, 200, 422, 200]
    assert len({line["request_id"] for line in lines}) == 4
    assert {line["tenant_id"] for line in lines} == {str(library.id)}


@pytest.mark.parametrize(("query", "status"), [("", 200), ("?limit=2", 409)])
def test_what_is_logged_on_the_way_has_the_requests_id(
    probes: Probes, library: Library, log_lines: LogLines, query: str, status: int
) -> None:
    def log_and_answer() -> str:
        logging.getLogger("app.probes").warning("probe.looked")
        if query:
            raise Conflict("Not now.")
        return "found"

    probes.answers["listed"] = log_and_answer
    answer = read(library, query)

    assert answer.status_code == status
    for event in ("probe.looked", "request.finished"):
        assert [line["request_id"] for line in log_lines.all(event)] == [answer.headers["X-Request-ID"]]


def test_a_refusal_of_the_view_is_a_problem_and_made_once(probes: Probes, library: Library) -> None:
    def refuse() -> None:
        raise Conflict("Not now.")

    probes.answers["listed"] = refuse
    answer = read(library)

    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
    assert answer.headers["RateLimit"]
    assert probes.calls == ["plain", "listed"]


def test_a_fault_of_the_view_is_a_server_error_and_logged(
    probes: Probes, library: Library, log_lines: LogLines
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    probes.answers["listed"] = fail
    answer = read(library)

    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert len(log_lines.all("request.failed")) == 1


def test_a_statement_that_takes_too_long_is_not_asked_twice(make_app: Callable[..., Flask]) -> None:
    probes = Probes(make_app(DATABASE_STATEMENT_TIMEOUT_MS="400"))
    library = probes.library()
    assert library.get("/probes/plain").status_code == 200
    probes.answers["listed"] = lambda: Question(text("SELECT pg_sleep(5)")).all()
    began = time.monotonic()

    answer = read(library)

    assert (answer.status_code, answer.get_json()["code"]) == (503, "database_too_slow")
    assert time.monotonic() - began < 0.8


def test_an_exhausted_pool_is_waited_for_once(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE="1", DATABASE_MAX_OVERFLOW="0")
    probes = Probes(app)
    library = probes.library()
    assert library.get("/probes/plain").status_code == 200
    probes.answers["listed"] = lambda: Question(text("SELECT 1")).all()[0]
    with app.app_context():
        busy = db.engines[READS].connect()
        began = time.monotonic()
        answer = read(library)
        busy.close()

    assert (answer.status_code, answer.get_json()["code"]) == (503, "database_unavailable")
    assert time.monotonic() - began < 1.5 * POOL_TIMEOUT_SECONDS
    assert read(library).status_code == 200


def test_one_request_leaves_nothing_behind_for_the_next(probes: Probes, library: Library) -> None:
    other = probes.library("hillside")
    assert other.get("/probes/plain").status_code == 200

    for each in (library, other, library):
        probes.answers["listed"] = lambda: Question(text("SELECT current_setting('app.tenant_id', true)")).all()[0]
        assert read(each, f"?limit={len(probes.calls)}").get_json() == [str(each.id)]
