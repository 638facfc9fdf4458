"""Committed events get their places in their tenant's chain, all of them, once, and in an order that stays."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from app.core.database import transaction
from app.core.queue import QueueName
from app.core.security import SYSTEM, acting_as
from app.core.sets import try_lock_name
from app.core.tenancy import tenant
from app.events import service, tasks
from app.extensions import db, redis
from app.tenants import service as tenants
from tests.conftest import Library
from tests.events.conftest import Trail

EARLY = UUID("00000000-0000-7000-8000-00000000000a")
LATE = UUID("00000000-0000-7000-8000-00000000000b")


def record(library: Library, number: int = 1) -> None:
    """Let something happen in a tenant some times."""
    with tenant(library.id):
        service.record_many("test.done", [(None, {"number": each}) for each in range(number)])


def faults(library: Library) -> list[str]:
    """What is wrong with a tenant's trail."""
    found: list[str] = []
    with tenant(library.id):
        service.verify(report=found.append, advance=lambda _: None)
    return found


# — the chain ——————————————————————————————————————————————————————————————————————————————————————


def test_an_event_waits_for_its_seal_from_its_commit_on(in_app: Flask, library: Library, trail: Trail) -> None:
    with tenant(library.id), suppress(ZeroDivisionError), transaction():
        service.record("test.undone")
        raise ZeroDivisionError
    assert trail.queue() == []

    record(library, 3)

    assert sorted(trail.queue()) == sorted(trail.events())
    assert trail.seals() == []


def test_sealed_events_leave_the_queue_for_their_positions(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library, 3)

    # The reserved tenant has recorded that the library was made.
    assert service.seal_events() == 3 + 1

    assert trail.seals() == list(enumerate(trail.events(), start=1))
    assert trail.queue() == []
    assert service.seal_events() == 0


def test_the_hash_is_that_of_the_one_before_and_of_all_that_the_event_says(
    in_app: Flask, library: Library, trail: Trail
) -> None:
    insert = (
        "WITH made AS (INSERT INTO events (tenant_id, id, type, level, actor_kind, actor_id, subject_id, data, at,"
        " request_id) VALUES (:tenant, :id, 'book.updated', 'info', :kind, :actor, :subject, :data, :at, :request)"
        " RETURNING tenant_id, id) INSERT INTO unsealed_events SELECT * FROM made"
    )
    trail.change(
        insert, id=EARLY, kind="system", actor=None, subject=None, data="{}", at="2026-01-31T12:00:00Z", request=None
    )
    trail.change(
        insert,
        id=LATE,
        kind="user",
        actor=EARLY,
        subject=LATE,
        data='{"title": "Ünï", "b": [1, 0.10, null], "a": {"y": 1, "x": 2}}',
        at="2026-01-31T13:00:00.000007+01:00",
        request="r-1",
    )

    service.seal_events()

    first = hashlib.sha256(
        bytes(32) + b'{"actor_kind":"system","at":"2026-01-31T12:00:00.000000Z","data":{},'
        b'"id":"00000000-0000-7000-8000-00000000000a","level":"info",'
        + f'"tenant_id":"{library.id}","type":"book.updated"}}'.encode()
    )
    second = hashlib.sha256(
        first.digest() + b'{"actor_id":"00000000-0000-7000-8000-00000000000a","actor_kind":"user",'
        b'"at":"2026-01-31T12:00:00.000007Z","data":'
        + '{"a": {"x": 2, "y": 1}, "b": [1, 0.10, null], "title": "Ünï"},'.encode()
        + b'"id":"00000000-0000-7000-8000-00000000000b","level":"info","request_id":"r-1",'
        b'"subject_id":"00000000-0000-7000-8000-00000000000b",'
        + f'"tenant_id":"{library.id}","type":"book.updated"}}'.encode()
    )
    assert trail.hashes() == [first.hexdigest(), second.hexdigest()]


def test_events_are_sealed_in_the_order_in_which_they_happened(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library, 3)
    # As clocks that differ would have it: the last id is the first in time, and two have one time.
    ids = sorted(trail.queue())
    trail.change("UPDATE events SET at = '2026-01-31T12:00:01Z' WHERE tenant_id = :tenant")
    trail.change("UPDATE events SET at = '2026-01-31T12:00:00Z' WHERE id = :id", id=ids[2])

    service.seal_events()

    assert [event_id for _, event_id in trail.seals()] == [ids[2], ids[0], ids[1]]


def test_what_commits_late_gets_a_later_position(in_app: Flask, library: Library, trail: Trail) -> None:
    recorded, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        with in_app.app_context(), acting_as(SYSTEM), tenant(library.id):
            with transaction():
                service.record("test.late")
                recorded.set()
                assert may_commit.wait(10)
            db.session.remove()

    late = threading.Thread(target=commit_late)
    late.start()
    assert recorded.wait(10)
    record(library)
    service.seal_events()
    [(position, sooner)] = trail.seals()

    may_commit.set()
    late.join(10)
    service.seal_events()

    assert [place for place, _ in trail.seals()] == [position, position + 1] == [1, 2]
    # Who follows the chain after position 1 finds it; who follows times would have stepped over it.
    [late_event, _] = trail.events()
    assert trail.seals() == [(1, sooner), (2, late_event)]
    assert faults(library) == []


def test_more_than_a_batch_is_sealed_whole(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library, 2 * service.sealing.BATCH + 1)

    service.seal_events()

    assert trail.seals() == list(enumerate(sorted(trail.events()), start=1))
    assert trail.queue() == []
    assert faults(library) == []


def test_each_tenant_has_a_chain_of_its_own(
    in_app: Flask, library: Library, other_library: Library, trail: Trail, other_trail: Trail
) -> None:
    record(library, 2)
    record(other_library, 1)

    service.seal_events()

    assert [position for position, _ in trail.seals()] == [1, 2]
    assert other_trail.seals() == [(1, other_trail.events()[0])]


def test_the_events_of_a_purged_tenant_are_sealed_too(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library)
    assert tenants.purge_tenant(library.id)

    service.seal_events()

    # What happened, that it was suspended, and that it was purged.
    assert trail.seals() == list(enumerate(trail.events(), start=1))
    assert len(trail.seals()) == 3
    assert trail.queue() == []


def test_so_are_those_of_the_reserved_tenant(in_app: Flask, library: Library, platform: Library, owner: Engine) -> None:
    service.seal_events()

    trail = Trail(owner, platform.id)
    assert trail.seals() == [(1, trail.events()[0])]


# — one sealer and another —————————————————————————————————————————————————————————————————————————


@contextmanager
def at_the_end_of_sealing(then: Any) -> Iterator[None]:
    """Do something when a batch is written and not yet committed."""

    def look(connection: Any, _: Any, statement: str, *__: Any) -> None:
        if "DELETE FROM unsealed_events" in statement:
            then(connection)

    event.listen(db.engine, "after_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(db.engine, "after_cursor_execute", look)


class Killed(BaseException):
    """What ends a process ends it here."""


def test_a_killed_sealer_leaves_everything_as_it_was(in_app: Flask, library: Library, trail: Trail) -> None:
    service.seal_events()
    record(library, 3)
    waiting = trail.queue()

    def die(_: object) -> None:
        raise Killed

    with at_the_end_of_sealing(die), pytest.raises(Killed):
        service.seal_events()

    assert (trail.seals(), trail.queue()) == ([], waiting)
    service.seal_events()
    assert trail.seals() == list(enumerate(trail.events(), start=1))
    assert faults(library) == []


def test_so_does_one_whose_connection_is_cut(in_app: Flask, library: Library, trail: Trail) -> None:
    service.seal_events()
    record(library, 3)
    waiting = trail.queue()

    def cut(connection: Any) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        trail.found("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

    with at_the_end_of_sealing(cut), pytest.raises(DBAPIError):
        service.seal_events()

    assert (trail.seals(), trail.queue()) == ([], waiting)
    db.session.remove()
    service.seal_events()
    assert trail.seals() == list(enumerate(trail.events(), start=1))


def test_several_sealers_and_writers_at_once_do_no_harm(
    in_app: Flask, library: Library, other_library: Library, trail: Trail, other_trail: Trail
) -> None:
    def write(library: Library) -> None:
        with in_app.app_context(), acting_as(SYSTEM):
            for _ in range(40):
                record(library, 25)
            db.session.remove()

    def seal() -> int:
        with in_app.app_context(), acting_as(SYSTEM):
            sealed = sum(service.seal_events() for _ in range(40))
            db.session.remove()
        return sealed

    with ThreadPoolExecutor(5) as threads:
        writing = [threads.submit(write, each) for each in (library, other_library)]
        sealing = [threads.submit(seal) for _ in range(3)]
        for writer in writing:
            writer.result(60)
        sealed = sum(sealer.result(60) for sealer in sealing)
    sealed += service.seal_events()

    # The reserved tenant has recorded that both were made.
    assert sealed == 2 * 1000 + 2
    for each in (trail, other_trail):
        assert [position for position, _ in each.seals()] == list(range(1, 1001))
        assert {event_id for _, event_id in each.seals()} == set(each.events())
        assert each.queue() == []
    assert faults(library) == faults(other_library) == []


def test_where_another_seals_a_tenants_events_they_are_left_to_it(
    in_app: Flask, library: Library, other_library: Library, trail: Trail, other_trail: Trail
) -> None:
    record(library)
    record(other_library)

    def seal() -> int:
        with in_app.app_context(), acting_as(SYSTEM):
            sealed = service.seal_events()
            db.session.remove()
        return sealed

    with tenant(library.id), transaction(), ThreadPoolExecutor(1) as thread:
        assert try_lock_name("chain", kind="events")
        thread.submit(seal).result(10)

    assert trail.seals() == []
    assert len(other_trail.seals()) == 1
    assert redis.client.llen(QueueName.UPKEEP.value) == 0


# — limits and faults ——————————————————————————————————————————————————————————————————————————————


def test_what_time_does_not_suffice_for_is_left_to_another_task(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library)

    assert service.seal_events(seconds=0) == 0

    assert len(trail.queue()) == 1
    assert redis.client.llen(QueueName.UPKEEP.value) == 1


def test_the_task_seals(in_app: Flask, library: Library, trail: Trail) -> None:
    record(library)

    tasks.seal.run()

    assert len(trail.seals()) == 1
    assert redis.client.llen(QueueName.UPKEEP.value) == 0


def test_an_event_that_was_removed_while_it_waited_keeps_no_other_from_its_place(
    in_app: Flask, library: Library, trail: Trail
) -> None:
    record(library, service.sealing.BATCH + 2)
    [*removed, last, newest] = sorted(trail.queue())
    trail.change("DELETE FROM events WHERE id = ANY (:ids)", ids=removed)

    service.seal_events()

    assert trail.seals() == [(1, last), (2, newest)]
    assert trail.queue() == removed


def test_a_tenant_whose_queue_was_tampered_with_keeps_no_other_from_its_turn(
    in_app: Flask, library: Library, other_library: Library, trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    record(library)
    service.seal_events()
    trail.change("INSERT INTO unsealed_events SELECT tenant_id, event_id FROM event_seals WHERE tenant_id = :tenant")
    record(other_library)

    assert service.seal_events() == 1

    [line] = [record for record in caplog.records if record.getMessage() == "events.seal_failed"]
    assert vars(line)["tenant_id"] == str(library.id)
    assert len(trail.seals()) == 1


@pytest.mark.parametrize("statement", ["UPDATE event_seals SET position = 7", "DELETE FROM event_seals"])
def test_the_application_itself_can_not_change_a_seal(in_app: Flask, library: Library, statement: str) -> None:
    with tenant(library.id), pytest.raises(DBAPIError, match="permission denied"), transaction() as session:
        session.execute(text(statement))
