"""A synchronisation that is cut off half-way: the collection is as it was, or as it was to be, and books count that."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import requests
from sqlalchemy import text

from bench.dataset import isbn13
from deploy.local.engines import Engines
from tests.cut_off import Obstacle, Stage, sent_by_hand, staged, web_server
from tests.holdings.recount import wrong_counts
from tests.holdings.shelf import Shelf, make_book
from tests.ingestion.conftest import wait_until

pytestmark = pytest.mark.timeout(90)

OLD = {isbn13(number): 1 for number in range(3000)}
NEW = {isbn13(number): 2 for number in range(1000, 4000)}
# The last that is written: all other items are there when its book is come to.
LAST = isbn13(3999)
# Its counts can't be written, while its items are.
BOOK_IS_LOCKED = Obstacle(
    "SELECT FROM books WHERE tenant_id = :tenant AND id = :book FOR UPDATE", "INSERT INTO collection_items"
)


@dataclass(frozen=True)
class Scene:
    """A collection with the old state in it, and a web server that is asked for the new one."""

    stage: Stage
    shelf: Shelf
    book: str

    @property
    def url(self) -> str:
        """Where the items are."""
        return self.stage.url(f"{self.shelf.path}/items")

    @property
    def headers(self) -> dict[str, str]:
        """What the library management system sends along."""
        key = self.shelf.library.key("lms")
        return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self) -> requests.Response:
        """Ask for the new state."""
        return requests.put(self.url, data=body_of(NEW), headers=self.headers, timeout=60)

    def send_by_hand(self, body: bytes) -> socket.socket:
        """The same with these bytes of it, on a connection that can be left."""
        headers = {**self.headers, "Content-Length": str(len(body_of(NEW)))}
        return sent_by_hand("PUT", self.url, headers, body)

    def half_way(self) -> AbstractContextManager[Future[requests.Response]]:
        """The new state, on its way and half-way there while the block runs."""
        return self.stage.half_way(self.send, by=BOOK_IS_LOCKED, tenant=self.shelf.library.id, book=self.book)

    def holds(self) -> dict[str, int]:
        """What is really stored."""
        with self.stage.owner.connect() as connection:
            rows = connection.execute(text("SELECT isbn, copies_total FROM collection_items"))
            return {row.isbn: row.copies_total for row in rows}

    def is_wrong(self) -> bool:
        """True where books count something else."""
        return bool(wrong_counts(self.stage.owner))


def body_of(feed: dict[str, int]) -> bytes:
    return orjson.dumps({"items": [{"isbn": isbn, "copies_total": number} for isbn, number in feed.items()]})


@pytest.fixture
def scene(prepared: dict[str, str], servers: Engines, tmp_path: Path) -> Iterator[Scene]:
    """The old state, and a web server."""
    with staged(prepared, servers, tmp_path / "web.log") as stage:
        shelf = Shelf.put_up(stage.library)
        make_book(stage.library, "In both", isbn13(1500))
        book = make_book(stage.library, "In the new one", LAST)
        assert shelf.put(*({"isbn": isbn, "copies_total": number} for isbn, number in OLD.items())).status_code == 200
        yield Scene(stage, shelf, book)


def test_the_feed_is_taken_when_nothing_comes_between(scene: Scene) -> None:
    with scene.half_way() as answer:
        held = scene.holds()

    assert answer.result().json() == {"added": 1000, "updated": 2000, "removed": 1000, "unchanged": 0, "rejected": []}
    assert held == OLD
    assert scene.holds() == NEW
    assert not scene.is_wrong()


def test_a_killed_web_server_leaves_the_old_state_and_the_feed_can_be_sent_again(
    scene: Scene, prepared: dict[str, str], tmp_path: Path
) -> None:
    with scene.half_way() as answer:
        scene.stage.kill_server()
        with pytest.raises(requests.ConnectionError):
            answer.result(30)
    scene.stage.wait_until_quiet()

    left = scene.holds()
    with web_server(prepared, tmp_path / "second.log") as (_, scene.stage.address):
        again = scene.send()

    assert left == OLD
    assert again.status_code == 200
    assert scene.holds() == NEW
    assert not scene.is_wrong()


def test_a_restarted_postgresql_leaves_the_old_state_and_the_feed_can_be_sent_again(scene: Scene) -> None:
    # The lock's own connection goes as well.
    with contextlib.suppress(Exception), scene.half_way() as answer:
        scene.stage.restart_postgres()
    refused = answer.result(30)

    left, was_wrong = scene.holds(), scene.is_wrong()
    again = scene.send()

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert (left, was_wrong) == (OLD, False)
    assert again.status_code == 200
    assert scene.holds() == NEW
    assert not scene.is_wrong()


def test_a_client_that_went_away_half_way_finds_the_new_state(scene: Scene) -> None:
    with scene.stage.held_up(BOOK_IS_LOCKED, tenant=scene.shelf.library.id, book=scene.book):
        with scene.send_by_hand(body_of(NEW)):
            scene.stage.wait_until_half_way(BOOK_IS_LOCKED)
        held = scene.holds()
    wait_until(lambda: scene.holds() != OLD, seconds=20, what="the end of the synchronisation")

    assert held == OLD
    assert scene.holds() == NEW
    assert not scene.is_wrong()


def test_a_feed_of_which_the_end_never_came_changes_nothing(scene: Scene) -> None:
    body = body_of(NEW)

    with scene.send_by_hand(body[: len(body) // 2]) as connection:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)

    assert scene.holds() == OLD
