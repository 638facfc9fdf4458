"""Following a job by server-sent events."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from uuid import UUID

import orjson
import pytest
from flask import Flask

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.ingestion import service
from app.ingestion.service import streams
from app.ingestion.service.streams import EventKind, JobEvent
from tests.conftest import Answer, Library
from tests.ingestion.conftest import Desk, work_all, work_once
from tests.stand_in import StandIn


def events_in(body: bytes) -> list[tuple[str, str, dict[str, object]]]:
    """Kind, id and data of each event."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields["id"], orjson.loads(fields["data"])))
    return found


def following(desk: Desk, job_id: UUID, *, last_event_id: str | None = None, seconds: float = 20) -> Iterator[JobEvent]:
    """A stream that looks often."""
    with desk.library.app.app_context(), as_tenant(desk.library.id):
        return service.follow(
            job_id, last_event_id=last_event_id, may_go_on=lambda: True, look_seconds=0.01, seconds=seconds
        )


def test_a_stream_tells_each_change_and_then_the_end(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(250)
    job_id = desk.ask(query="subject:Generated")
    stream = following(desk, job_id)

    told = [next(stream)]
    for _ in range(3):
        work_once(desk.library.app)
        told.append(next(stream))
    told += stream

    assert [event.kind for event in told] == [EventKind.PROGRESS] * 4 + [EventKind.DONE]
    assert [event.job["progress"]["done"] for event in told if event.job] == [0, 100, 200, 250, 250]
    assert told[-1].job is not None
    assert told[-1].job["status"] == "completed"
    assert len({event.id for event in told}) == 5


def test_a_stream_goes_on_after_the_last_event_heard(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(150)
    job_id = desk.ask(query="subject:Generated")
    heard = next(following(desk, job_id))
    nothing_new = list(following(desk, job_id, last_event_id=heard.id, seconds=0.1))
    work_all(desk.library.app)

    told = list(following(desk, job_id, last_event_id=heard.id))

    assert nothing_new == []
    assert [event.kind for event in told] == [EventKind.PROGRESS, EventKind.DONE]
    after_progress = list(following(desk, job_id, last_event_id=told[0].id))
    assert [event.kind for event in after_progress] == [EventKind.DONE]


def test_a_strange_last_event_id_counts_for_none(desk: Desk) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])

    for last_event_id in ("", "x", "-1", "99999999999999999999", "٣", "1.done.done"):
        told = next(following(desk, job_id, last_event_id=last_event_id))
        assert told.kind is EventKind.PROGRESS, last_event_id


def test_a_stream_that_has_nothing_to_tell_keeps_the_connection_warm(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    job_id = desk.ask(open_library_keys=["OL1W"])

    told = list(itertools.islice(following(desk, job_id), 3))

    assert [event.kind for event in told] == [EventKind.PROGRESS, EventKind.HEARTBEAT, EventKind.HEARTBEAT]


def test_a_stream_ends_in_time(desk: Desk) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])

    told = list(following(desk, job_id, seconds=0.1))

    assert [event.kind for event in told] == [EventKind.PROGRESS]


def test_a_stream_ends_when_its_key_is_revoked(desk: Desk, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    path = f"/ingestion/jobs/{desk.ask(open_library_keys=['OL1W'])}/stream"
    stays, ends = open_stream(library, path, role="librarian"), open_stream(library, path, role="admin")
    heard = [next(iter(stream.response)) for stream in (stays, ends) for _ in range(3)]

    me = library.get("/auth/me", role="admin").json["id"]
    assert library.delete(f"/service-accounts/{me}", role="admin").status_code == 204

    assert heard.count(b": still at work\n\n") == 4
    assert list(ends.response) == []
    assert next(iter(stays.response)) == b": still at work\n\n"
    for stream in (stays, ends):
        stream.close()


def test_the_stream_over_http(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(30)
    job = desk.done(query="subject:Generated")
    path = f"/ingestion/jobs/{job['id']}/stream"

    answer = library.get(path)
    events = events_in(answer.data)
    told_before = library.get(path, headers={"Last-Event-ID": events[0][1]})
    told_all = library.get(path, headers={"Last-Event-ID": events[-1][1]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert [kind for kind, _, _ in events] == ["progress", "done"]
    assert events[-1][2] == library.get(f"/ingestion/jobs/{job['id']}").json
    assert [kind for kind, _, _ in events_in(told_before.data)] == ["done"]
    # A browser that hears 204 does not connect again.
    assert told_all.status_code == 204


def test_past_the_cap_a_stream_is_refused_and_asking_still_works(desk: Desk, library: Library) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])
    path = f"/ingestion/jobs/{job_id}/stream"
    # Eight threads by default: two of them may be streams.
    opened = [open_stream(library, path) for _ in range(2)]

    refused = library.get(path)
    asked = library.get(f"/ingestion/jobs/{job_id}")
    opened.pop().close()
    again = open_stream(library, path)

    assert refused.status_code == 503
    assert refused.json["code"] == "too_many_streams"
    assert int(refused.headers["Retry-After"]) > 0
    assert asked.status_code == 200
    assert again.status_code == 200
    for stream in (*opened, again):
        stream.close()


def test_a_place_comes_back_whatever_ends_the_stream(desk: Desk, library: Library) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])

    for _ in range(5):
        open_stream(library, f"/ingestion/jobs/{job_id}/stream").close()
        # Never begun: the answer to HEAD has no body.
        head = library.call("HEAD", f"/ingestion/jobs/{job_id}/stream")
        assert head.status_code == 200
        head.close()


def test_a_stream_holds_no_connection_between_its_looks(app: Flask, desk: Desk) -> None:
    job_id = desk.ask(open_library_keys=["OL1W"])
    stream = following(desk, job_id)
    next(stream)

    with app.app_context():
        in_use = [engine.pool.status() for engine in db.engines.values()]

    assert all("Current Checked out connections: 0" in status for status in in_use)


def open_stream(library: Library, path: str, *, role: str = "librarian") -> Answer:
    """Begin a stream and hear its first words."""
    answer = library.get(path, role=role, buffered=False)
    if answer.status_code == 200:
        next(iter(answer.response))
    return answer


def test_a_stream_is_kept_by_nobody(library: Library) -> None:
    job_id = library.post("/ingestion/jobs", {"isbns": ["9780261103573"]}).json["id"]

    answer = open_stream(library, f"/ingestion/jobs/{job_id}/stream")
    answer.close()

    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_streams_of_different_jobs_are_told_apart(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(20)
    first, second = desk.ask(query="subject:Generated"), other_desk.ask(query="subject:Generated")
    heard: dict[UUID, list[JobEvent]] = {}

    def listen(owner: Desk, job_id: UUID) -> None:
        heard[job_id] = list(following(owner, job_id))

    threads = [threading.Thread(target=listen, args=each) for each in ((desk, first), (other_desk, second))]
    for thread in threads:
        thread.start()
    work_all(desk.library.app)
    for thread in threads:
        thread.join(timeout=30)

    for job_id in (first, second):
        assert {str(event.job["id"]) for event in heard[job_id] if event.job} == {str(job_id)}
        assert heard[job_id][-1].kind is EventKind.DONE
