"""Transactions and one-round-trip reads, also while PostgreSQL is restarted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import psycopg2
import pytest
from flask import Flask
from sqlalchemy import bindparam, event, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from app.core.clock import new_id
from app.core.database import Question, TransactionBroken, on_commit, on_rollback, transaction, violated_constraint
from app.core.errors import DatabaseUnavailable, QuestionTooSlow
from app.core.tenancy import tenant
from app.events import service as events
from app.extensions import db
from app.tenants.models import Tenant
from deploy.local.engines import Engines
from tests.conftest import Library
from tests.core.conftest import LogLines
from tests.core.probes import Probes


def types_of_events(owner: Engine) -> list[str]:
    with owner.connect() as connection:
        return list(connection.scalars(text("SELECT type FROM events WHERE type LIKE 'test.%' ORDER BY id")))


# — transactions ———————————————————————————————————————————————————————————————————————————————————


def test_only_the_outermost_block_commits(in_app: Flask, library: Library, owner: Engine) -> None:
    with tenant(library.id), transaction():
        with transaction():
            events.record("test.inner")
        assert types_of_events(owner) == []

    assert types_of_events(owner) == ["test.inner"]


def test_an_error_undoes_everything_inner_blocks_included(in_app: Flask, library: Library, owner: Engine) -> None:
    with tenant(library.id):
        with suppress(ZeroDivisionError), transaction():
            with transaction():
                events.record("test.inner")
            raise ZeroDivisionError
        with transaction():
            events.record("test.afterwards")

    assert types_of_events(owner) == ["test.afterwards"]


def test_what_an_inner_block_broke_off_is_never_committed(in_app: Flask, library: Library, owner: Engine) -> None:
    def go_on_after_a_broken_block() -> None:
        with transaction():
            with suppress(ZeroDivisionError), transaction():
                events.record("test.half-done")
                raise ZeroDivisionError
            events.record("test.afterwards")

    with tenant(library.id):
        with pytest.raises(TransactionBroken) as refusal:
            go_on_after_a_broken_block()
        with transaction():
            events.record("test.next")

    assert isinstance(refusal.value.__cause__, ZeroDivisionError)
    assert types_of_events(owner) == ["test.next"]


def test_callbacks_run_after_the_outermost_commit_in_their_order(
    in_app: Flask, library: Library, owner: Engine
) -> None:
    seen: list[list[str]] = []

    with tenant(library.id), transaction():
        with transaction():
            events.record("test.inner")
            on_commit(lambda: seen.append(["first", *types_of_events(owner)]))
        on_commit(lambda: seen.append(["second", *types_of_events(owner)]))
        assert seen == []

    assert seen == [["first", "test.inner"], ["second", "test.inner"]]


def test_callbacks_never_run_after_a_rollback_nor_later(in_app: Flask, library: Library) -> None:
    seen: list[str] = []

    with tenant(library.id):
        with suppress(ZeroDivisionError), transaction():
            on_commit(lambda: seen.append("never"))
            raise ZeroDivisionError
        with suppress(ZeroDivisionError), transaction(), transaction():
            on_commit(lambda: seen.append("never"))
            raise ZeroDivisionError
        with transaction():
            pass

    assert seen == []


def test_callbacks_never_run_when_the_commit_itself_fails(in_app: Flask, library: Library) -> None:
    seen: list[str] = []

    def write_what_only_the_commit_refuses() -> None:
        with transaction() as session:
            on_commit(lambda: seen.append("never"))
            session.execute(text("CREATE TEMPORARY TABLE late (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
            session.execute(text("INSERT INTO late VALUES (1), (1)"))

    with tenant(library.id), pytest.raises(IntegrityError):
        write_what_only_the_commit_refuses()

    assert seen == []


def test_a_callback_that_fails_is_logged_and_stops_no_other(
    in_app: Flask, library: Library, owner: Engine, log_lines: LogLines
) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with tenant(library.id), transaction():
        events.record("test.stands")
        on_commit(fail)
        on_commit(lambda: seen.append("next"))

    assert seen == ["next"]
    assert types_of_events(owner) == ["test.stands"]
    [line] = log_lines.all("database.callback_failed")
    assert "ZeroDivisionError" in line["exception"]


def test_outside_of_a_transaction_a_callback_runs_at_once(in_app: Flask) -> None:
    seen: list[str] = []

    on_commit(lambda: seen.append("now"))

    assert seen == ["now"]


def test_a_callback_may_begin_a_transaction_of_its_own(in_app: Flask, library: Library, owner: Engine) -> None:
    with tenant(library.id), transaction():
        on_commit(lambda: events.record("test.follow-up"))

    assert types_of_events(owner) == ["test.follow-up"]


def test_what_is_to_be_known_of_a_refusal_stands_after_the_rollback(
    in_app: Flask, library: Library, owner: Engine
) -> None:
    with tenant(library.id):
        with suppress(ZeroDivisionError), transaction():
            events.record("test.undone")
            with transaction():
                on_rollback(lambda: events.record("test.refused"))
                raise ZeroDivisionError
        with transaction():
            on_rollback(lambda: events.record("test.never"))
        with suppress(ZeroDivisionError), transaction():
            raise ZeroDivisionError

    assert types_of_events(owner) == ["test.refused"]


def test_what_fails_after_a_rollback_is_logged_and_hides_no_refusal(
    in_app: Flask, library: Library, log_lines: LogLines
) -> None:
    def fail() -> None:
        raise OSError

    def refuse() -> None:
        with transaction():
            on_rollback(fail)
            raise ZeroDivisionError

    with tenant(library.id), pytest.raises(ZeroDivisionError):
        refuse()

    assert len(log_lines.all("database.callback_failed")) == 1


def test_outside_of_a_transaction_nothing_is_waited_for(in_app: Flask) -> None:
    seen: list[str] = []

    on_rollback(lambda: seen.append("now"))

    assert seen == ["now"]


@pytest.mark.parametrize("how", ["select", "get"])
def test_what_is_read_with_a_lock_is_the_row_as_it_is(in_app: Flask, library: Library, owner: Engine, how: str) -> None:
    chosen = select(Tenant).where(Tenant.id == library.id)
    with tenant(library.id), transaction() as session:
        read = session.scalars(chosen).one()
        with owner.begin() as connection:
            connection.execute(text("UPDATE tenants SET name = 'Changed' WHERE id = :id"), {"id": library.id})

        name_without_a_lock = session.scalars(chosen).one().name
        if how == "select":
            locked = session.scalars(chosen.with_for_update()).one()
        else:
            locked = session.get_one(Tenant, library.id, with_for_update=True)

        assert locked is read
        assert (name_without_a_lock, locked.name) == ("Riverside", "Changed")


def test_a_violated_constraint_is_named(in_app: Flask, library: Library) -> None:
    with tenant(library.id), pytest.raises(IntegrityError) as refusal, transaction() as session:
        session.add(Tenant(slug=library.slug, name="Again", kind="library", resync_interval_hours=6))

    assert violated_constraint(refusal.value) == "uq_tenants_slug"


# — one-round-trip reads ———————————————————————————————————————————————————————————————————————————


def test_a_question_is_asked_with_values(in_app: Flask, library: Library) -> None:
    question = Question(select(Tenant.slug).where(Tenant.slug == bindparam("slug"), Tenant.status == "active"))

    assert question.all(slug="riverside") == [("riverside",)]
    assert question.all(slug="river'side; --") == []


def test_values_arrive_as_they_go_out(in_app: Flask) -> None:
    one = new_id()

    question = Question(
        text("""SELECT CAST(:id AS uuid), CAST('{"a": [1.50]}' AS jsonb), array_length(CAST(:ids AS uuid[]), 1)""")
    )
    [(identity, document, ids)] = question.all(id=one, ids=[one, new_id()])

    assert identity == str(one)
    assert orjson.dumps({"document": document}) == b'{"document":{"a": [1.50]}}'
    assert ids == 2


def test_a_percent_sign_in_a_statement_is_itself(in_app: Flask, library: Library) -> None:
    question = Question(select(Tenant.slug).where(Tenant.slug.like("river%")))

    assert question.all() == [("riverside",)]


def test_ids_sort_by_their_making() -> None:
    ids = []
    for _ in range(20):
        ids.append(new_id())
        time.sleep(0.001)

    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}
    assert len(set(ids)) == 20


# — faults —————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("how", ["rows", "session"])
def test_a_statement_that_takes_too_long_is_a_503(make_app: Callable[..., Flask], how: str) -> None:
    probes = Probes(make_app(DATABASE_STATEMENT_TIMEOUT_MS="200"))
    library = probes.library()
    slow = "SELECT pg_sleep(5)"
    probes.answers["plain"] = lambda: (
        Question(text(slow)).all() if how == "rows" else db.session.execute(text(slow)).all()
    )
    began = time.monotonic()

    answer = library.get("/probes/plain")

    assert (answer.status_code, answer.get_json()["code"]) == (503, QuestionTooSlow.code)
    assert answer.headers["Retry-After"]
    assert time.monotonic() - began < 3
    assert library.get("").status_code == 200


def test_after_a_restart_of_postgresql_the_next_request_works(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    probes = Probes(make_breakable_app())
    library = probes.library("restarted")
    use_many_connections(library)

    breakable.restart_postgres()
    read = library.get("/service-accounts", role="admin")
    breakable.restart_postgres()
    written = library.patch("", {"name": "Written after the restart"}, role="admin")
    breakable.restart_postgres()
    many = use_many_connections(library)

    assert (read.status_code, written.status_code) == (200, 200)
    assert set(many) == {200}


def test_after_the_crash_of_a_backend_requests_are_answered_again(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    app = make_breakable_app()
    library = Probes(app).library("crashed")
    statuses: list[int] = []
    for _ in range(3):
        use_many_connections(library)
        # These servers commit without waiting for the disk: what was written a moment ago might be lost as well.
        time.sleep(1)
        with app.app_context():
            os.kill(Question(text("SELECT pg_backend_pid()")).value(), signal.SIGKILL)
        began = time.monotonic()
        while time.monotonic() - began < 15:
            seen = [library.app.test_client().get("/health/ready").status_code, *use_many_connections(library)]
            seen.append(library.patch("", {"name": "Written after a crash"}, role="admin").status_code)
            statuses += seen
            if set(seen) == {200}:
                break
            time.sleep(0.2)

    assert set(statuses) <= {200, 503}
    assert set(seen) == {200}


def test_an_error_without_any_answer_of_postgresqls_is_a_lost_connection(app: Flask, library: Library) -> None:
    class Killed(psycopg2.extensions.cursor):
        """A cursor as of a backend that was killed: to the driver, the connection is still open."""

        def execute(self, *_: Any) -> None:
            raise psycopg2.DatabaseError("server closed the connection unexpectedly")

    def kill(pooled: Any, *_: Any) -> None:
        pooled.cursor_factory = Killed

    with app.app_context(), tenant(library.id):
        event.listen(db.engines["reads"], "checkout", kill)
        try:
            with pytest.raises(DatabaseUnavailable):
                Question(text("SELECT 1")).all()
        finally:
            event.remove(db.engines["reads"], "checkout", kill)
        assert Question(text("SELECT 1")).value() == 1


def use_many_connections(library: Library) -> list[int]:
    """Fill both pools with connections; the statuses of the answers."""
    statuses: list[int] = []
    library.key("admin")

    def use() -> None:
        statuses.append(library.get("/service-accounts", role="admin").status_code)
        statuses.append(library.get("", role="admin").status_code)

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return statuses


def test_while_postgresql_is_away_requests_are_answered_503(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    library = Probes(make_breakable_app()).library("away")
    assert library.get("", role="admin").status_code == 200

    breakable.stop_postgres()
    try:
        answers = [
            library.get("/service-accounts", role="admin"),
            library.get("", role="admin"),
            library.patch("", {"name": "x"}, role="admin"),
            library.get("", role=None, headers={"Authorization": "Bearer " + library.key("admin")[:-1] + "x"}),
        ]
    finally:
        breakable.start_postgres()

    assert [(each.status_code, each.get_json()["code"]) for each in answers] == [(503, "database_unavailable")] * 4
    assert all(each.headers["Retry-After"] for each in answers)
    assert library.get("", role="admin").status_code == 200


def test_an_exhausted_pool_is_a_503_and_no_endless_wait(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE="1", DATABASE_MAX_OVERFLOW="0")
    library = Probes(app).library()
    library.key("admin")
    with app.app_context():
        busy = db.engines[None].connect()
        began = time.monotonic()
        answer = library.get("", role="admin")
        busy.close()

    assert (answer.status_code, answer.get_json()["code"]) == (503, DatabaseUnavailable.code)
    assert time.monotonic() - began < 5
    assert library.get("", role="admin").status_code == 200
