"""Lending and taking back that are cut off half-way: it is as before, or done; and what is sent again is done once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from sqlalchemy import text
from sqlalchemy.engine import Engine

from deploy.local.engines import Engines
from tests.circulation.desk import Desk, faults
from tests.cut_off import Obstacle, Stage, sent_by_hand, staged, web_server
from tests.ingestion.conftest import wait_until

pytestmark = pytest.mark.timeout(90)

# Copies, loans and holds have moved then; the events, the mail and the answer that is kept are to come.
NO_EVENTS = Obstacle("LOCK TABLE events IN SHARE MODE", "INSERT INTO events")
STATE = """
SELECT ARRAY (SELECT CASE WHEN returned_at IS NULL THEN 'out' ELSE 'back' END FROM loans) AS loans,
    ARRAY (SELECT status FROM holds) AS holds,
    ARRAY (SELECT status FROM copies ORDER BY status) AS copies,
    ARRAY (SELECT type FROM events WHERE type IN ('loan.created', 'loan.returned', 'hold.ready', 'hold.fulfilled')
        ORDER BY type) AS events,
    (SELECT count(*) FROM mail_queue) AS mails,
    (SELECT count(*) FROM idempotency_keys) AS answers
"""


@dataclass(frozen=True)
class State:
    """What is stored of loans and holds, of what was told, and of answers."""

    loans: list[str]
    holds: list[str]
    copies: list[str]
    events: list[str]
    mails: int
    answers: int


@dataclass(frozen=True)
class Errand:
    """What a kiosk asks for, and what it makes of what is there."""

    path: str
    body: Mapping[str, Any] | None
    status: int
    before: State
    after: State


def lending(desk: Desk) -> Errand:
    """A reader fetches the copy that waits; another one is free, which must not be lent as well."""
    book, reader = desk.book(copies=1), desk.library.person("reader")
    desk.held(book, by=reader)
    desk.copy(book)
    before = State([], ["ready"], ["available", "on_hold"], ["hold.ready"], mails=1, answers=0)
    after = State(["out"], ["fulfilled"], ["available", "on_loan"], ["hold.fulfilled", "hold.ready", "loan.created"],
                  mails=1, answers=1)  # fmt: skip
    return Errand("/loans", {"reader_id": str(reader.id), "book_id": book}, 201, before, after)


def returning(desk: Desk) -> Errand:
    """A copy comes back that somebody waits for."""
    book, reader = desk.book(copies=1), desk.library.person("reader")
    loan = desk.lent(reader, book_id=book)
    desk.held(book, by=desk.library.person("reader"))
    before = State(["out"], ["queued"], ["on_loan"], ["loan.created"], mails=0, answers=0)
    after = State(["back"], ["ready"], ["on_hold"], ["hold.ready", "loan.created", "loan.returned"],
                  mails=1, answers=1)  # fmt: skip
    return Errand(f"/loans/{loan['id']}/return", None, 200, before, after)


@dataclass(frozen=True)
class Scene:
    """A kiosk with an errand, and a web server that is asked to do it."""

    stage: Stage
    errand: Errand
    # Made beforehand: nobody can be given one while events are locked.
    key: str

    @property
    def url(self) -> str:
        """Where it is asked for."""
        return self.stage.url(self.errand.path)

    @property
    def headers(self) -> dict[str, str]:
        """What the kiosk sends along, each time the same."""
        return {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": "errand-1",
        }

    @property
    def body(self) -> bytes:
        """What it sends."""
        return b"" if self.errand.body is None else orjson.dumps(self.errand.body)

    def send(self) -> requests.Response:
        """Ask for it."""
        return requests.post(self.url, data=self.body, headers=self.headers, timeout=60)

    def half_way(self) -> AbstractContextManager[Any]:
        """The errand, half-way done while the block runs."""
        return self.stage.half_way(self.send, by=NO_EVENTS)

    def state(self) -> State:
        """What is really stored."""
        with self.stage.owner.connect() as connection:
            return State(**connection.execute(text(STATE)).mappings().one())

    def is_done_once(self) -> None:
        """Fail unless the errand is done when it is asked for, and is not when it is asked for again."""
        done, again = self.send(), self.send()
        assert (done.status_code, again.status_code) == (self.errand.status, self.errand.status), done.text
        assert ("Idempotent-Replayed" in done.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
        assert again.json() == done.json()
        assert self.state() == self.errand.after
        assert faults(self.stage.owner) == {}


@pytest.fixture
def stage(prepared: dict[str, str], servers: Engines, tmp_path: Path) -> Iterator[Stage]:
    """A library with servers of its own."""
    with staged(prepared, servers, tmp_path / "web.log") as stage:
        yield stage


@pytest.fixture
def owner(stage: Stage) -> Engine:
    """The database that is looked at after each test."""
    return stage.owner


@pytest.fixture(params=[lending, returning], ids=["lending", "returning"])
def scene(stage: Stage, request: pytest.FixtureRequest) -> Scene:
    """Something to be done."""
    errand = request.param(Desk(stage.library))
    return Scene(stage, errand, stage.library.key("kiosk"))


def test_it_is_done_when_nothing_comes_between(scene: Scene) -> None:
    with scene.half_way() as answer:
        held = scene.state()
        meanwhile = scene.send()

    assert answer.result().status_code == scene.errand.status
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "idempotency_in_progress")
    assert (held, scene.state()) == (scene.errand.before, scene.errand.after)


def test_a_killed_web_server_leaves_the_old_state_and_it_can_be_asked_for_again(
    scene: Scene, prepared: dict[str, str], tmp_path: Path
) -> None:
    with scene.half_way() as answer:
        scene.stage.kill_server()
        with pytest.raises(requests.ConnectionError):
            answer.result(30)
    scene.stage.wait_until_quiet()

    assert scene.state() == scene.errand.before
    assert faults(scene.stage.owner) == {}
    with web_server(prepared, tmp_path / "second.log") as (_, scene.stage.address):
        scene.is_done_once()


def test_a_restarted_postgresql_leaves_the_old_state_and_it_can_be_asked_for_again(scene: Scene) -> None:
    # The lock's own connection goes as well.
    with contextlib.suppress(Exception), scene.half_way() as answer:
        scene.stage.restart_postgres()
    refused = answer.result(30)

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert scene.state() == scene.errand.before
    assert faults(scene.stage.owner) == {}
    scene.is_done_once()


def test_a_client_that_went_away_gets_the_same_answer_when_it_asks_again(scene: Scene) -> None:
    headers = {**scene.headers, "Content-Length": str(len(scene.body))}

    with scene.stage.held_up(NO_EVENTS), sent_by_hand("POST", scene.url, headers, scene.body):
        scene.stage.wait_until_half_way(NO_EVENTS)
    wait_until(lambda: scene.state() == scene.errand.after, seconds=20, what="the end of what was asked for")
    again = scene.send()

    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (scene.errand.status, "true")
    [loan] = loans(scene.stage)
    assert again.json()["id"] == loan
    assert scene.state() == scene.errand.after
    assert faults(scene.stage.owner) == {}


def test_without_redis_it_is_done_as_well(scene: Scene, servers: Engines) -> None:
    servers.stop_redis()
    try:
        scene.is_done_once()
    finally:
        servers.start_redis()


def loans(stage: Stage) -> list[str]:
    with stage.owner.connect() as connection:
        return [str(each) for each in connection.scalars(text("SELECT id FROM loans"))]
