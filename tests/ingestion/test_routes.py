"""The endpoints of ingestion: who may call them, what they take and refuse, what they answer."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Library
from tests.ingestion.conftest import Desk, work_all
from tests.stand_in import StandIn

NO_JOB = str(uuid4())
READS = [
    "/ingestion/jobs",
    f"/ingestion/jobs/{NO_JOB}",
    f"/ingestion/jobs/{NO_JOB}/stream",
    "/ingestion/logs",
    "/ingestion/resync",
]
WRITES = [
    "/ingestion/jobs",
    "/ingestion/batches",
    f"/ingestion/jobs/{NO_JOB}/cancel",
    f"/ingestion/jobs/{NO_JOB}/retry",
    "/ingestion/resync",
]
OPERATIONS = [("GET", path) for path in READS] + [("POST", path) for path in WRITES]


def statuses(library: Library, **options: Any) -> dict[str, int]:
    """What each operation answers."""
    return {
        f"{method} {path}": library.call(method, path, json={} if method == "POST" else None, **options).status_code
        for method, path in OPERATIONS
    }


def test_a_stranger_is_not_let_in(library: Library) -> None:
    answered = statuses(library, role=None)

    assert set(answered.values()) == {401}, answered


@pytest.mark.parametrize("role", ["read_only", "kiosk", "lms"])
def test_others_than_librarians_may_not(library: Library, role: str) -> None:
    answered = statuses(library, role=role)

    assert set(answered.values()) == {403}, answered


def test_another_tenants_librarian_finds_nothing(library: Library, other_library: Library) -> None:
    headers = {"Authorization": f"Bearer {other_library.key('librarian')}"}

    answered = statuses(library, role=None, headers=headers)

    assert set(answered.values()) == {404}, answered


def test_a_job_of_another_tenant_is_not_there(desk: Desk, other_library: Library) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])
    paths = [("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("POST", "/retry")]

    answers = [other_library.call(method, f"/ingestion/jobs/{job_id}{path}").status_code for method, path in paths]

    assert answers == [404] * 4
    assert other_library.get("/ingestion/jobs").json["total"] == 0
    assert desk.job(job_id)["status"] == "pending"


def test_a_job_that_is_not_there(library: Library) -> None:
    paths = [("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("POST", "/retry")]

    for job_id in (NO_JOB, "nonsense", "1", "%00", "x" * 200):
        answers = [library.call(method, f"/ingestion/jobs/{job_id}{path}").status_code for method, path in paths]
        assert answers == [404] * 4, job_id


def test_a_job_is_accepted_and_shown(library: Library) -> None:
    answer = library.post("/ingestion/jobs", {"query": "author:Tolkien"})

    assert answer.status_code == 202
    job = answer.json
    assert answer.headers["Location"] == f"/api/v1/tenants/riverside/ingestion/jobs/{job['id']}"
    assert job == {
        "id": job["id"],
        "status": "pending",
        "query": "author:Tolkien",
        "open_library_keys": None,
        "isbns": None,
        "max_works": 1000,
        "refresh": False,
        "progress": {"total": 0, "done": 0, "created": 0, "updated": 0, "unchanged": 0, "failed": 0},
        "attempts": 0,
        "error": None,
        "source": None,
        "batch_id": None,
        "trigger": "api",
        "created_at": job["created_at"],
        "started_at": None,
        "finished_at": None,
    }
    assert job["created_at"].endswith("Z")
    shown = library.get(f"/ingestion/jobs/{job['id']}")
    assert shown.json == job
    assert shown.headers["ETag"]


def test_keys_and_isbns_come_out_in_one_form(library: Library) -> None:
    keys = library.post("/ingestion/jobs", {"open_library_keys": ["/works/OL45804W", "OL27448W"]})
    isbns = library.post("/ingestion/jobs", {"isbns": ["0-261-10357-1", "978-0-547-92822-7"]})

    assert keys.json["open_library_keys"] == ["OL45804W", "OL27448W"]
    assert keys.json["progress"]["total"] == 2
    assert isbns.json["isbns"] == ["9780261103573", "9780547928227"]


BAD_WISHES: list[tuple[Any, str]] = [
    ({}, "body"),
    ([], "body"),
    ("author:Tolkien", "body"),
    ({"query": "ab", "isbns": ["9780261103573"]}, "body"),
    ({"query": "ab", "surprise": 1}, "surprise"),
    ({"query": "a"}, "query"),
    ({"query": ""}, "query"),
    ({"query": "   "}, "query"),
    ({"query": "x" * 201}, "query"),
    ({"query": None}, "query"),
    ({"query": 12}, "query"),
    ({"query": "bad\u0000query"}, "query"),
    ({"query": "isbn:9780261103574"}, "query"),
    ({"query": "author:"}, "query"),
    ({"query": "!!!"}, "query"),
    ({"open_library_keys": []}, "open_library_keys"),
    ({"open_library_keys": "OL45804W"}, "open_library_keys"),
    ({"open_library_keys": ["OL45804W"] * 501}, "open_library_keys"),
    ({"open_library_keys": ["OL45804W", "OL1M"]}, "open_library_keys.1"),
    ({"open_library_keys": ["/authors/OL1A"]}, "open_library_keys.0"),
    ({"open_library_keys": ["OL45804W\n"]}, "open_library_keys.0"),
    ({"open_library_keys": [None]}, "open_library_keys.0"),
    ({"isbns": ["9780261103573"] * 3 + ["9780261103574"]}, "isbns.3"),
    ({"isbns": ["123"]}, "isbns.0"),
    ({"isbns": [9780261103573]}, "isbns.0"),
    ({"query": "ab", "max_works": 0}, "max_works"),
    ({"query": "ab", "max_works": 10_001}, "max_works"),
    ({"query": "ab", "max_works": "10"}, "max_works"),
    ({"query": "ab", "max_works": 1.5}, "max_works"),
    ({"query": "ab", "max_works": True}, "max_works"),
    ({"query": "ab", "refresh": "yes"}, "refresh"),
    ({"query": "ab", "refresh": 1}, "refresh"),
]


def test_a_bad_wish_is_refused_with_the_field_at_fault(library: Library) -> None:
    for body, field in BAD_WISHES:
        answer = library.call("POST", "/ingestion/jobs", json=body)

        assert answer.status_code == 422, body
        assert answer.content_type == "application/problem+json"
        assert [error["field"] for error in answer.json["errors"]] == [field], body
    assert library.get("/ingestion/jobs").json["total"] == 0


def test_a_body_that_is_no_json_is_refused(library: Library) -> None:
    broken = library.call("POST", "/ingestion/jobs", data=b"{", content_type="application/json")
    form = library.call("POST", "/ingestion/jobs", data={"query": "author:Tolkien"})

    assert (broken.status_code, form.status_code) == (400, 415)


def test_a_batch_is_accepted_whole(library: Library) -> None:
    body = {"jobs": [{"query": "author:Tolkien"}, {"isbns": ["9780261103573"], "max_works": 1}]}

    answer = library.post("/ingestion/batches", body)

    assert answer.status_code == 202
    assert [job["query"] for job in answer.json["jobs"]] == ["author:Tolkien", None]
    assert {job["batch_id"] for job in answer.json["jobs"]} == {answer.json["batch_id"]}
    listed = library.get(f"/ingestion/jobs?batch_id={answer.json['batch_id']}")
    assert listed.json["total"] == 2
    assert answer.headers["Location"].endswith(f"/ingestion/jobs?batch_id={answer.json['batch_id']}")


BAD_BATCHES: list[tuple[Any, str]] = [
    ({"jobs": []}, "jobs"),
    ({"jobs": [{"query": "author:Tolkien"}] * 51}, "jobs"),
    ({"jobs": [{"query": "author:Tolkien"}, {"query": "a"}]}, "jobs.1.query"),
    ({"jobs": [{"query": "author:Tolkien"}, {}]}, "jobs.1"),
    ({"jobs": [{"isbns": ["1"]}]}, "jobs.0.isbns.0"),
    ({}, "jobs"),
]


def test_a_batch_with_one_bad_wish_is_refused_whole(library: Library) -> None:
    for body, field in BAD_BATCHES:
        answer = library.post("/ingestion/batches", body)

        assert answer.status_code == 422, body
        assert [error["field"] for error in answer.json["errors"]] == [field], body
    assert library.get("/ingestion/jobs").json["total"] == 0


def test_a_repeated_request_gets_the_first_answer(library: Library) -> None:
    headers = {"Idempotency-Key": "once"}

    first = library.post("/ingestion/jobs", {"query": "author:Tolkien"}, headers=headers)
    again = library.post("/ingestion/jobs", {"query": "author:Tolkien"}, headers=headers)

    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert library.get("/ingestion/jobs").json["total"] == 1


def test_jobs_are_listed_and_filtered(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(3)
    done = desk.done(query="subject:Generated")
    waiting = desk.ask(query="author:Tolkien")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in library.get(f"/ingestion/jobs{query}").json["items"]]

    assert ids("") == [str(waiting), str(done["id"])]
    assert ids("?sort=created_at") == [str(done["id"]), str(waiting)]
    assert ids("?status=completed") == [str(done["id"])]
    assert ids("?status=pending&trigger=api") == [str(waiting)]
    assert ids("?trigger=resync") == []
    assert ids(f"?batch_id={NO_JOB}") == []


BAD_PARAMETERS = [
    ("/ingestion/jobs?status=lost", "status"),
    ("/ingestion/jobs?batch_id=1", "batch_id"),
    ("/ingestion/jobs?limit=0", "limit"),
    ("/ingestion/jobs?limit=501", "limit"),
    ("/ingestion/jobs?cursor=x", "cursor"),
    ("/ingestion/jobs?sort=status", "sort"),
    ("/ingestion/jobs?surprise=1", "surprise"),
    ("/ingestion/logs?action=lost", "action"),
    ("/ingestion/logs?open_library_key=OL1M", "open_library_key"),
    ("/ingestion/logs?job_id=1", "job_id"),
    ("/ingestion/logs?since=2026-01-01T00:00:00", "since"),
]


def test_a_bad_parameter_is_refused(library: Library) -> None:
    for path, field in BAD_PARAMETERS:
        answer = library.get(path)

        assert answer.status_code == 422, path
        assert [error["field"] for error in answer.json["errors"]] == [field], path


def test_every_page_of_the_log_follows_the_one_before(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(25)
    desk.done(query="subject:Generated")

    keys: list[str] = []
    cursor = ""
    while True:
        page = library.get(f"/ingestion/logs?limit=10{cursor}").json
        keys += [line["open_library_key"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert len(keys) == len(set(keys)) == page["total"] == 25


def test_the_log_is_filtered_by_each_of_its_fields(desk: Desk, site: StandIn, library: Library) -> None:
    first, second = site.add_work("First"), site.add_work("Second")
    job = desk.done(open_library_keys=[first, "OL999999999W"])
    desk.done(open_library_keys=[second])

    def keys(query: str) -> set[str]:
        return {line["open_library_key"] for line in library.get(f"/ingestion/logs?{query}").json["items"]}

    assert keys("") == {first, second, "OL999999999W"}
    assert keys(f"job_id={job['id']}") == {first, "OL999999999W"}
    assert keys(f"open_library_key=/works/{second}") == {second}
    assert keys("action=failed") == {"OL999999999W"}
    assert keys("message=HAS%20NO%20WORK") == {"OL999999999W"}
    assert keys("since=2999-01-01T00:00:00Z") == set()
    assert keys("until=2001-01-01T00:00:00Z") == set()
    assert keys("since=2001-01-01T00:00:00Z&action=created") == {first, second}


def test_a_finished_job_can_not_be_cancelled(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(3)
    job = desk.done(query="subject:Generated")

    answer = library.post(f"/ingestion/jobs/{job['id']}/cancel")

    assert (answer.status_code, answer.json["code"]) == (409, "job_finished")


def test_a_pending_job_is_cancelled_once(desk: Desk, library: Library) -> None:
    job_id = desk.ask(query="author:Tolkien")

    first = library.post(f"/ingestion/jobs/{job_id}/cancel")
    again = library.post(f"/ingestion/jobs/{job_id}/cancel")

    assert (first.status_code, first.json["status"]) == (200, "cancelled")
    assert (again.status_code, again.json["code"]) == (409, "job_finished")
    assert work_all(library.app) == 0


def test_a_job_of_which_nothing_failed_can_not_be_retried(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(3)
    done = desk.done(query="subject:Generated")["id"]
    pending = desk.ask(query="author:Tolkien")
    cancelled = desk.ask(query="author:Tolkien")
    library.post(f"/ingestion/jobs/{cancelled}/cancel")

    answers = [library.post(f"/ingestion/jobs/{job_id}/retry") for job_id in (done, pending, cancelled)]

    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(409, "job_not_retryable")] * 3


def test_the_audit_trail_tells_of_jobs(desk: Desk, site: StandIn, library: Library, owner: Engine) -> None:
    site.generated_catalogue(3)
    answer = library.post("/ingestion/jobs", {"query": "subject:Generated"}, headers={"X-Request-ID": "request-of-it"})
    work_all(library.app)

    with owner.connect() as connection:
        events = connection.execute(
            text("SELECT type, request_id FROM events WHERE subject_id = :id ORDER BY at"), {"id": answer.json["id"]}
        ).all()
    # The id of the request is found on what the worker did for it.
    assert [tuple(event) for event in events] == [
        ("ingestion_job.requested", "request-of-it"),
        ("ingestion_job.completed", "request-of-it"),
    ]
