"""The cache and ETags: never older than the last commit, never in the way when Redis is away."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from app.core.cache import Generation, generation_key, note_generation, remembered, touch
from app.core.database import transaction
from app.core.tenancy import tenant
from app.extensions import db, redis
from deploy.local.engines import Engines
from tests.conftest import Library
from tests.core.probes import Probes


@pytest.fixture
def probes(app: Flask) -> Probes:
    return Probes(app)


@pytest.fixture
def library(probes: Probes) -> Library:
    return probes.library()


def read(library: Library, *, role: str = "librarian", etag: str | None = None, query: str = "") -> TestResponse:
    return library.get(f"/probes/cached{query}", role=role, headers={"If-None-Match": etag} if etag else {})


# — kept answers ———————————————————————————————————————————————————————————————————————————————————


def test_an_answer_is_made_once_for_all_members(probes: Probes, library: Library) -> None:
    answers = [read(library, role=role) for role in ("librarian", "lms", "kiosk", "librarian")]

    assert [answer.get_json() for answer in answers] == [{"calls": 1}] * 4
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert {answer.content_type for answer in answers} == {"application/json"}
    assert probes.calls == ["cached"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://app.example.org"}])
def test_a_large_answer_is_not_kept_and_has_its_etag(probes: Probes, library: Library, headers: dict[str, str]) -> None:
    probes.answers["listed"] = lambda: "x" * 128 * 1024
    path = "/probes/listed"

    first, second = library.get(path, headers=headers), library.get(path, headers=headers)
    unchanged = library.get(path, headers={"If-None-Match": first.headers["ETag"], **headers})
    probes.answers["listed"] = lambda: "x" * (128 * 1024 - 2)
    library.post("/probes/touched")
    smaller = [library.get(path, headers=headers).data for _ in range(2)]

    assert first.data == second.data
    assert first.headers["ETag"] == second.headers["ETag"]
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert [len(each) for each in smaller] == [128 * 1024] * 2
    assert probes.calls == ["listed", "listed", "touched", "listed"]


def test_each_address_has_an_answer_of_its_own(library: Library) -> None:
    first, second = read(library, query="?page=1"), read(library, query="?page=2")

    assert (first.get_json(), second.get_json()) == ({"calls": 1}, {"calls": 2})
    assert first.headers["ETag"] != second.headers["ETag"]
    assert read(library, query="?page=2", etag=first.headers["ETag"]).status_code == 200


def test_each_tenant_has_answers_of_its_own(probes: Probes, library: Library) -> None:
    other = probes.library("hillside")

    assert read(library).get_json() == {"calls": 1}
    assert read(other).get_json() == {"calls": 2}


def test_what_is_kept_is_for_those_who_may_read_it(probes: Probes, library: Library) -> None:
    other = probes.library("hillside")
    read(library)
    foreign = {"Authorization": f"Bearer {other.key('admin')}"}

    assert library.get("/probes/cached", role=None).status_code == 401
    assert library.get("/probes/cached", role=None, headers=foreign).status_code == 404


def test_a_commit_makes_the_next_answer_new_in_every_process(
    probes: Probes, library: Library, make_app: Callable[..., Flask]
) -> None:
    other_process = Probes(make_app())
    same_library = Library(other_process.app, library.slug, library.id, library.keys)
    first = [read(library).get_json(), read(same_library).get_json()]

    assert library.post("/probes/touched").status_code == 200

    other_process.answers["cached"] = lambda: "made by the other process"
    assert first == [{"calls": 1}, {"calls": 1}]
    assert read(same_library).get_json() == "made by the other process"
    assert read(library).get_json() == "made by the other process"
    assert probes.calls == ["cached", "touched"]


def test_a_rollback_moves_nothing(probes: Probes, library: Library) -> None:
    read(library)
    with library.app.app_context(), tenant(library.id):
        with suppress(ZeroDivisionError), transaction():
            touch(Generation.CATALOGUE)
            raise ZeroDivisionError
        db.session.remove()

    assert read(library).get_json() == {"calls": 1}
    assert probes.calls == ["cached"]


def test_an_answer_made_of_older_rows_is_never_kept_under_the_newer_generation(
    probes: Probes, library: Library
) -> None:
    def old_rows_then_a_commit() -> str:
        # While this reader has its rows but no answer yet, somebody else commits.
        with library.app.app_context(), tenant(library.id), transaction():
            touch(Generation.CATALOGUE)
        return "made of old rows"

    probes.answers["cached"] = old_rows_then_a_commit
    slow = read(library)
    probes.answers["cached"] = lambda: "made of new rows"

    assert slow.get_json() == "made of old rows"
    assert read(library).get_json() == "made of new rows"
    assert read(library, etag=slow.headers["ETag"]).status_code == 200


def test_a_lost_generation_never_brings_an_old_answer_back(library: Library) -> None:
    assert read(library).get_json() == {"calls": 1}
    with library.app.app_context():
        redis.client.delete(generation_key(library.id, Generation.CATALOGUE))

    assert read(library).get_json() == {"calls": 2}


def test_a_refusal_is_not_kept(probes: Probes, library: Library) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    probes.answers["cached"] = fail
    assert read(library).status_code == 500
    del probes.answers["cached"]

    assert read(library).status_code == 200


def test_a_head_request_tells_the_same_without_a_body(library: Library) -> None:
    get, head = read(library), library.call("HEAD", "/probes/cached")

    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_with_redis_away_answers_are_computed(make_breakable_app: Callable[..., Flask], breakable: Engines) -> None:
    library = Probes(make_breakable_app()).library("cache-away")
    read(library)

    breakable.stop_redis()
    try:
        answers = [read(library) for _ in range(3)]
        with library.app.app_context(), tenant(library.id):
            computed = remembered("a value", Generation.CATALOGUE, lambda: 42)
    finally:
        breakable.start_redis()

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.get_json()["calls"] for answer in answers] == [2, 3, 4]
    assert computed == 42


def test_a_commit_that_redis_could_not_be_told_of_is_told_before_the_next_request(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    library = Probes(make_breakable_app()).library("told-late")
    key = library.key("librarian")
    assert read(library).get_json() == {"calls": 1}
    with library.app.app_context():
        redis.client.client_pause(700)

    # Redis keeps everything meanwhile, the old generations among it.
    with library.app.app_context(), tenant(library.id), transaction() as session:
        session.execute(text("UPDATE service_account_keys SET revoked_at = now()"))
        touch(Generation.CATALOGUE)
        touch(Generation.ACCESS)
    time.sleep(1.8)

    refused = library.get("/probes/cached", role=None, headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == 401
    assert read(Library(library.app, library.slug, library.id)).get_json() == {"calls": 2}


# — remembered values ——————————————————————————————————————————————————————————————————————————————


def test_a_value_is_remembered_until_its_generation_moves(library: Library) -> None:
    made: list[int] = []

    def compute() -> int:
        made.append(1)
        return len(made)

    def ask() -> int:
        return int(remembered("a value", Generation.CATALOGUE, compute))

    with library.app.app_context(), tenant(library.id):
        without_generation = [ask(), ask()]
        touch(Generation.CATALOGUE)
        with_generation = [ask(), ask()]
        touch(Generation.CATALOGUE)
        moved = [ask(), ask()]

    # A generation begins with the first write, or with the first answer that is kept.
    assert without_generation == [1, 2]
    assert with_generation == [3, 3]
    assert moved == [4, 4]


def test_a_request_that_knows_the_generation_asks_redis_for_no_value_it_has_met(library: Library) -> None:
    made = itertools.count(1)

    def ask() -> int:
        return int(remembered("met", Generation.CATALOGUE, lambda: next(made)))

    with library.app.test_request_context(), tenant(library.id):
        touch(Generation.CATALOGUE)
        number = redis.client.get(generation_key(library.id, Generation.CATALOGUE))
        assert isinstance(number, bytes)
        first = ask()
        note_generation(Generation.CATALOGUE, number.decode())
        redis.client.flushdb()
        met = ask()
        note_generation(Generation.ACCESS, number.decode())
        of_another_kind = ask()
        note_generation(Generation.CATALOGUE, "another")
        of_another_number = ask()

    assert (first, met, of_another_kind, of_another_number) == (1, 1, 2, 3)


# — ETags ——————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("path", ["/probes/cached", "/probes/plain", ""])
def test_an_unchanged_answer_is_not_sent_again(probes: Probes, library: Library, path: str) -> None:
    probes.answers["plain"] = lambda: "unchanging"
    etag = library.get(path).headers["ETag"]

    for given in (etag, f"W/{etag}", f'"other", {etag}', f'W/"other",{etag}'):
        again = library.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.data) == (304, b""), given
        assert again.headers["ETag"] == etag
        assert "Content-Type" not in again.headers
        assert again.headers["X-Request-ID"]
    for given in ('"other"', etag[:-2] + '"', "", '"', "W/", ",,,"):
        assert library.get(path, headers={"If-None-Match": given}).status_code == 200, given


def test_a_304_of_a_kept_answer_never_reaches_the_view(probes: Probes, library: Library) -> None:
    etag = read(library).headers["ETag"]
    with library.app.app_context():
        kept = list(redis.client.scan_iter("answer:*"))
        assert redis.client.delete(*kept) == 1

    assert read(library, etag=etag).status_code == 304
    assert read(library, etag=f"W/{etag}").status_code == 304
    assert probes.calls == ["cached"]


def test_only_gets_have_an_etag(library: Library) -> None:
    assert library.get("").headers["ETag"].startswith('"')
    assert "ETag" not in library.get("/no-such-thing").headers
    assert "ETag" not in library.post("/probes/touched").headers


# — If-Match ———————————————————————————————————————————————————————————————————————————————————————


def test_a_change_of_what_was_read_is_made(library: Library) -> None:
    etag = library.get("", role="admin").headers["ETag"]

    changed = library.patch("", {"name": "Changed"}, role="admin", headers={"If-Match": etag})

    assert changed.status_code == 200
    assert library.get("").get_json()["name"] == "Changed"


@pytest.mark.parametrize("given", ['"something else"', "W/{etag}", "", '"', "nonsense"])
def test_a_change_of_what_was_not_read_is_refused(library: Library, given: str) -> None:
    etag = library.get("", role="admin").headers["ETag"]

    refused = library.patch("", {"name": "Changed"}, role="admin", headers={"If-Match": given.format(etag=etag)})

    assert (refused.status_code, refused.get_json()["code"]) == (412, "precondition_failed")
    assert library.get("").get_json()["name"] == "Riverside"


def test_a_stale_etag_is_refused_and_a_star_is_not(library: Library) -> None:
    etag = library.get("", role="admin").headers["ETag"]
    library.patch("", {"name": "By somebody else"}, role="admin")

    stale = library.patch("", {"name": "Mine"}, role="admin", headers={"If-Match": etag})
    star = library.patch("", {"name": "Mine"}, role="admin", headers={"If-Match": "*"})
    several = library.patch(
        "", {"name": "Again"}, role="admin", headers={"If-Match": f"{etag}, {library.get('').headers['ETag']}"}
    )

    assert (stale.status_code, star.status_code, several.status_code) == (412, 200, 200)


def test_a_change_without_a_condition_does_not_slip_in_between(app: Flask) -> None:
    """The one that compares must hold off even those that do not, until its write is done."""
    probes = Probes(app)
    library = probes.library()
    shown = "first"
    probes.answers["guarded"] = lambda: shown
    etag = library.get("/probes/guarded").headers["ETag"]
    order: list[str] = []
    compared = threading.Event()

    def slow_write() -> str:
        order.append("conditional begins")
        compared.set()
        time.sleep(0.3)
        order.append("conditional ends")
        return "done"

    probes.answers["changed"] = slow_write
    first = threading.Thread(target=lambda: library.patch("/probes/guarded", {}, headers={"If-Match": etag}))
    first.start()
    assert compared.wait(5)
    probes.answers["changed"] = lambda: order.append("unconditional")
    library.patch("/probes/guarded", {})
    first.join(5)

    assert order == ["conditional begins", "conditional ends", "unconditional"]


def test_a_body_that_comes_slowly_holds_no_lock(library: Library, owner: Engine) -> None:
    class SlowBody(io.BytesIO):
        locks_meanwhile: int | None = None

        def readinto(self, buffer: Any) -> int:
            with owner.connect() as connection:
                self.locks_meanwhile = connection.scalar(
                    text("SELECT count(*) FROM pg_locks WHERE locktype='advisory'")
                )
            return super().readinto(buffer)

    body = SlowBody(b'{"name": "Changed"}')

    changed = library.call(
        "PATCH", "", role="admin", input_stream=body, content_length=19, content_type="application/json"
    )

    assert (changed.status_code, body.locks_meanwhile) == (200, 0)


def test_of_many_changes_of_one_state_only_one_is_made(library: Library) -> None:
    etag = library.get("", role="admin").headers["ETag"]
    statuses: list[int] = []

    def change(number: int) -> None:
        answer = library.patch("", {"name": f"By {number}"}, role="admin", headers={"If-Match": etag})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=change, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]
