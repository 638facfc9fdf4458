"""All that moves copies and counts, at the same moment and on the same few books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.engine import Engine

from app.catalog import service as catalog
from app.core.clock import utc_now
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from bench.dataset import isbn13
from tests.catalog.reading import a_book, shelve
from tests.circulation.desk import Desk, faults
from tests.conftest import Answer, Library, Person
from tests.holdings.recount import wrong_counts, wrongly_wanted
from tests.holdings.shelf import Shelf
from tests.ingestion.conftest import wait_until

ROUNDS = 4
# Each does the same so often in a round.
TIMES = 3


@pytest.fixture
def desk(library: Library) -> Desk:
    """The desk, where everybody who will come has a key."""
    for role in ("kiosk", "lms", "admin", "librarian"):
        library.key(role)
    return Desk(library)


@dataclass
class Crowd:
    """People and programs who all come at once, and what they are answered."""

    desk: Desk
    readers: list[Person]
    shelves: list[Shelf]
    answers: list[tuple[str, int]] = field(default_factory=list)

    def asks(self, what: str, answer: Answer) -> Answer:
        """Note an answer."""
        self.answers.append((what, answer.status_code))
        return answer

    def post(self, what: str, path: str, body: object = None, **options: str) -> Answer:
        """Ask with a key, of which the answer is kept."""
        headers = {"Idempotency-Key": str(uuid4())}
        return self.asks(what, self.desk.library.post(path, body, headers=headers, **options))

    def lends(self, reader: Person, wishes: list[dict[str, str]]) -> None:
        """Fetch one thing after the other, renew it, and bring it back."""
        for wish in wishes * TIMES:
            lent = self.post("lend", "/loans", {"reader_id": str(reader.id), **wish}, role="kiosk")
            if lent.status_code == 201:
                for what in ("renew", "return"):
                    self.post(what, f"/loans/{lent.json['id']}/{what}", role="kiosk")

    def waits(self, reader: Person, books: list[str]) -> None:
        """Wait for one book after the other, and think better of it."""
        for book in books * TIMES:
            hold = self.post("hold", "/holds", {"book_id": book}, token=reader.token)
            if hold.status_code == 201:
                path = f"/holds/{hold.json['id']}"
                self.asks("cancel", self.desk.library.delete(path, token=reader.token))

    def syncs(self, shelf: Shelf, isbns: list[str]) -> None:
        """Bring a collection up to one state and to another."""
        for number in range(TIMES):
            rows = [{"isbn": each, "copies_total": number + 1} for each in isbns[number % 2 :]]
            self.asks("sync", shelf.put(*rows))

    def after(self, answers: int, does: Callable[[], None]) -> None:
        """Come when the others are well under way."""
        since = len(self.answers)
        wait_until(lambda: len(self.answers) >= since + answers, seconds=30, what="answers to the others")
        does()

    def merges(self, number: int, isbns: list[str]) -> None:
        """Let two books become one, as Open Library tells."""
        with self.desk.library.app.app_context(), tenant(self.desk.library.id), acting_as(SYSTEM):
            catalog.record_redirects([(f"OL{number}W", a_book(number + 1, "Dune", isbns=tuple(isbns)))])
            db.session.remove()

    def erases(self, reader: Person) -> None:
        """Forget a reader."""
        self.post("erase", f"/users/{reader.id}/erase", role="admin")

    def makes_round(self, number: int) -> None:
        """Let all meet at two books that become one, somebody who waits for these and others, and their collection."""
        library = self.desk.library
        isbns = [isbn13(100 * number + each) for each in range(12)]
        losing, staying = a_book(number, "Dune", isbns=tuple(isbns[:2])), a_book(number + 1, "Dune", isbns=(isbns[2],))
        # Whichever of both stays may have the greater id.
        made = shelve(library, *((losing, staying) if number % 4 else (staying, losing)))
        others = shelve(library, *(a_book(100 * number + each, "Emma", isbns=(isbns[each],)) for each in range(4, 12)))
        books, another_one = [str(each) for each in made], self.desk.book(copies=1)
        copies = [self.desk.copy(book)["id"] for book in books * 2]
        leaver, another = (library.person("reader") for _ in range(2))
        for book in books:
            self.desk.lent(another, book_id=book)
        for book in [*books, *map(str, others)]:
            self.desk.held(book, by=leaver)
        self.desk.lent(leaver, book_id=another_one)
        own = Shelf.put_up(library, owner_id=str(leaver.id))
        wishes = [*({"book_id": each} for each in books), *({"copy_id": each} for each in copies)]

        soon, late = (10, 40) if number % 4 else (40, 10)
        everybody: list[Callable[[], None]] = [
            *(lambda reader=each: self.lends(reader, wishes) for each in self.readers[:2]),
            *(lambda reader=each: self.waits(reader, books[::-1]) for each in self.readers[2:]),
            *(lambda shelf=each: self.syncs(shelf, isbns) for each in [*self.shelves, own]),
            lambda: self.lends(leaver, wishes),
            lambda: self.after(soon, lambda: self.merges(number, isbns[:4])),
            lambda: self.after(late, lambda: self.erases(leaver)),
        ]
        gate = Barrier(len(everybody))

        def comes(does: Callable[[], None]) -> None:
            gate.wait()
            does()

        with ThreadPoolExecutor(len(everybody)) as threads:
            list(threads.map(comes, everybody))


def test_whatever_meets_on_a_book_comes_one_after_the_other(desk: Desk, library: Library, owner: Engine) -> None:
    crowd = Crowd(
        desk, [library.person("reader") for _ in range(4)], [Shelf.put_up(library, name=each) for each in "AB"]
    )
    before, begun = deadlocks(library, owner), utc_now()

    for number in range(ROUNDS):
        crowd.makes_round(10 + 2 * number)

        assert faults(owner) == {}
        assert (wrong_counts(owner), wrongly_wanted(owner)) == ([], [])

    answers = Counter(crowd.answers)
    assert {each: times for each, times in answers.items() if each[1] >= 500} == {}
    assert {what for what, status in answers if status < 300} == {
        "lend", "renew", "return", "hold", "cancel", "sync", "erase"
    }  # fmt: skip
    assert deadlocks(library, owner, since=begun) == before


@pytest.mark.parametrize(("path", "role"), [("/loans", "kiosk"), ("/holds", "librarian")], ids=["loan", "hold"])
def test_whoever_is_given_something_is_erased_afterwards(
    desk: Desk, anna: Person, owner: Engine, path: str, role: str
) -> None:
    book = desk.book(copies=1)
    # With a key: an answer that is kept refers to the person.
    body, headers = {"reader_id": str(anna.id), "book_id": book}, {"Idempotency-Key": str(uuid4())}
    held = text("SELECT FROM books WHERE tenant_id = :tenant AND id = :book FOR UPDATE")

    given, erased = all_waiting(
        owner,
        lambda: desk.library.post(path, body, role=role, headers=headers),
        lambda: desk.library.post(f"/users/{anna.id}/erase", role="admin"),
        lock=held.bindparams(tenant=desk.library.id, book=book),
    )

    assert (given.status_code, erased.status_code) == (201, 200)


def test_a_collection_of_somebody_who_is_erased_is_not_written_any_more(
    desk: Desk, anna: Person, owner: Engine
) -> None:
    shelf = Shelf.put_up(desk.library, owner_id=str(anna.id))
    assert shelf.put(isbn13(2)).status_code == 200

    erased, written = all_waiting(
        owner,
        lambda: desk.library.post(f"/users/{anna.id}/erase", role="admin"),
        lambda: shelf.put(isbn13(1)),
        lock=text("SELECT hold_counts(:tenant, false)").bindparams(tenant=desk.library.id),
    )

    assert (erased.status_code, written.status_code) == (200, 404)


def all_waiting(owner: Engine, *asked: Callable[[], Answer], lock: TextClause) -> list[Answer]:
    """Answers of those who come one after the other while somebody holds what they need."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(len(asked)) as threads:
        with owner.begin() as connection:
            connection.execute(lock)
            coming = []
            for number, ask in enumerate(asked, start=1):
                coming.append(threads.submit(ask))
                wait_until(
                    lambda: connection.scalar(waiting) == number,  # noqa: B023 - done within
                    seconds=10,
                    what="one who waits",
                )
        return [each.result() for each in coming]


def deadlocks(library: Library, owner: Engine, *, since: datetime | None = None) -> int:
    """How many PostgreSQL has had to end; what connections know of it they tell at their end, if they began `since`."""
    with library.app.app_context():
        for engine in db.engines.values():
            engine.dispose()
    question = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    connected = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND backend_start >= :since")

    def asked(statement: TextClause, **values: object) -> int:
        with owner.begin() as connection:
            return int(connection.scalar(statement, values))

    wait_until(lambda: asked(connected, since=since) == 0, seconds=10, what="the end of all connections")
    return asked(question)
