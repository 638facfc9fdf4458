"""Random days at a library, against a model that a child could follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from app.circulation import queries, service
from app.circulation.models import HoldStatus
from app.core.errors import Conflict, NotFound
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.holdings import service as holdings
from tests.auth.people import execute
from tests.circulation.desk import Desk, faults
from tests.conftest import Library

READERS, COPIES, MOST_LOANS = 3, 2, 2
ISBNS = ("9780441172719", "9780141439587")
_Steps = list[tuple[str, int, int, int]]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["lend", "lend this", "return", "renew", "hold", "cancel", "lose", "find", "list"]),
        st.integers(0, READERS - 1),
        st.integers(0, 1),
        st.integers(0, COPIES - 1),
    ),
    min_size=1,
    max_size=30,
)


@dataclass
class Model:
    """What two books of two copies each should be like: where each copy is, and who waits for each book."""

    # Where a copy is: on the "shelf", "lost", "out" with a reader, or it "waits" for one.
    place: dict[tuple[int, int], tuple[str, int | None]] = field(
        default_factory=lambda: {(book, copy): ("shelf", None) for book in (0, 1) for copy in range(COPIES)}
    )
    queue: dict[int, list[int]] = field(default_factory=lambda: {0: [], 1: []})
    renewals: dict[tuple[int, int], int] = field(default_factory=dict)
    # When somebody has begun to wait for a book.
    came: dict[tuple[int, int], int] = field(default_factory=dict)
    # What the collection has of each book: in all, and on the shelf.
    listed: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0), (0, 0)])

    def put(self, book: int, reader: int) -> bool:
        """Let the collection have copies of this book, and of no other."""
        self.listed = [(0, 0), (0, 0)]
        self.listed[book] = (reader + 1, reader)
        return True

    def copies(self, book: int, kind: str, reader: int | None = None) -> list[tuple[int, int]]:
        """A book's copies that are there, in the order of their making."""
        return [each for each in self.place if each[0] == book and self.place[each] == (kind, reader)]

    def serve(self, book: int) -> None:
        """Free copies go to whoever has waited the longest."""
        for copy in self.copies(book, "shelf"):
            if self.queue[book]:
                self.place[copy] = ("waits", self.queue[book].pop(0))

    def lend(self, reader: int, book: int, copy: int | None) -> bool:
        """The copy that waits for the reader, or one on the shelf."""
        wanted = [
            each
            for each in self.copies(book, "waits", reader) + self.copies(book, "shelf")
            if copy is None or each == (book, copy)
        ]
        if not wanted or sum(place == ("out", reader) for place in self.place.values()) >= MOST_LOANS:
            return False
        self.place[wanted[0]] = ("out", reader)
        self.renewals[wanted[0]] = 0
        self.cancel(reader, book)
        return True

    def cancel(self, reader: int, book: int) -> bool:
        """Wait no longer, in the queue or for a copy that waits."""
        was_there = self.waits(reader, book)
        self.queue[book] = [each for each in self.queue[book] if each != reader]
        for copy in self.copies(book, "waits", reader):
            self.place[copy] = ("shelf", None)
        self.serve(book)
        return was_there

    def waits(self, reader: int, book: int) -> bool:
        """In the queue, or with a copy."""
        return reader in self.queue[book] or bool(self.copies(book, "waits", reader))

    def hold(self, reader: int, book: int) -> bool:
        """Whoever does not wait, and has not got it."""
        if self.waits(reader, book) or self.copies(book, "out", reader):
            return False
        self.queue[book].append(reader)
        self.serve(book)
        return True

    def give_back(self, copy: tuple[int, int]) -> bool:
        """What is out comes back."""
        if self.place[copy][0] != "out":
            return False
        self.place[copy] = ("shelf", None)
        self.serve(copy[0])
        return True

    def renew(self, copy: tuple[int, int]) -> bool:
        """What is out, twice at most, while nobody waits."""
        if self.place[copy][0] != "out" or self.renewals[copy] >= 2 or self.queue[copy[0]]:
            return False
        self.renewals[copy] += 1
        return True

    def find(self, copy: tuple[int, int]) -> bool:
        """What is lost comes to the shelf."""
        if self.place[copy][0] in ("out", "waits"):
            return False
        self.place[copy] = ("shelf", None)
        self.serve(copy[0])
        return True

    def lose(self, copy: tuple[int, int]) -> bool:
        """Whoever it waited for waits on, where they belong in the queue."""
        kind, reader = self.place[copy]
        self.place[copy] = ("lost", None)
        if kind == "waits" and reader is not None:
            self.queue[copy[0]].insert(self.rank(copy[0], reader), reader)
            self.serve(copy[0])
        return True

    def rank(self, book: int, reader: int) -> int:
        """Where somebody belongs in a queue, by when they came."""
        return sum(self.came[(book, each)] < self.came[(book, reader)] for each in self.queue[book])


class Building:
    """The library itself, asked through its services."""

    def __init__(self, library: Library) -> None:
        """Two books of two copies each, and readers."""
        desk = Desk(library)
        library.patch("", {"settings": {"max_loans_per_reader": MOST_LOANS}}, role="admin")
        self.books = [
            UUID(desk.book(title=title, isbns=[isbn])) for title, isbn in zip(("Dune", "Emma"), ISBNS, strict=True)
        ]
        self.copies = {
            (book, copy): UUID(desk.copy(str(self.books[book]))["id"]) for book in (0, 1) for copy in range(COPIES)
        }
        self.readers = [library.person("reader").id for _ in range(READERS)]
        self.shelf = holdings.create_collection(name="Main")

    def loan_of(self, copy: tuple[int, int]) -> UUID | None:
        """The open loan of a copy."""
        page = queries.LOANS.page(limit=10, copy_id=self.copies[copy])
        return next((UUID(each["id"]) for each in page["items"] if each["returned_at"] is None), None)

    def hold_of(self, reader: int, book: int) -> UUID | None:
        """The hold of somebody who waits."""
        page = queries.HOLDS.page(limit=100, reader_id=self.readers[reader], book_id=self.books[book])
        waiting = (HoldStatus.QUEUED, HoldStatus.READY)
        return next((UUID(each["id"]) for each in page["items"] if each["status"] in waiting), None)

    def place(self, copy: tuple[int, int]) -> tuple[str, int | None]:
        """Where a copy is, in the model's words."""
        status = holdings.shown_copy(self.copies[copy])["status"]
        if status == "on_loan":
            loan = queries.visible_loan(self.loan_of(copy))
            return "out", self.readers.index(UUID(loan["reader_id"])) if loan else None
        if status == "on_hold":
            page = queries.HOLDS.page(limit=100, book_id=self.books[copy[0]], status="ready")
            whose = [each["reader_id"] for each in page["items"] if each["copy_id"] == str(self.copies[copy])]
            return "waits", self.readers.index(UUID(whose[0]))
        return {"available": "shelf", "lost": "lost"}[status], None

    def queue(self, book: int) -> list[int]:
        """Who waits for a book, in their order."""
        page = queries.HOLDS.page(limit=100, book_id=self.books[book], status="queued")
        return [self.readers.index(UUID(each["reader_id"])) for each in page["items"]]


@pytest.fixture
def building(library: Library, in_app: Flask) -> Iterator[Building]:
    """A library, entered as the system."""
    del in_app
    with tenant(library.id), acting_as(SYSTEM):
        yield Building(library)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_whatever_happens_the_library_is_as_the_model_says(building: Building, owner: Engine, steps: _Steps) -> None:
    tidy_up(building)
    model = Model()
    for number, (step, reader, book, copy) in enumerate(steps):
        if not model.waits(reader, book):
            model.came[(book, reader)] = number
        expected = in_model(step, model, reader, (book, copy))
        assert in_library(step, building, reader, (book, copy)) == expected, (step, reader, book, copy)

    assert {each: building.place(each) for each in model.place} == model.place
    assert {book: building.queue(book) for book in (0, 1)} == model.queue
    assert listed(owner) == model.listed
    assert faults(owner) == {}


def in_model(step: str, model: Model, reader: int, copy: tuple[int, int]) -> bool:
    """Do one thing in the model; whether it could be done."""
    steps: dict[str, Callable[[], bool]] = {
        "lend": lambda: model.lend(reader, copy[0], None),
        "lend this": lambda: model.lend(reader, *copy),
        "return": lambda: model.give_back(copy),
        "renew": lambda: model.renew(copy),
        "hold": lambda: model.hold(reader, copy[0]),
        "cancel": lambda: model.cancel(reader, copy[0]),
        "lose": lambda: model.lose(copy),
        "find": lambda: model.find(copy),
        "list": lambda: model.put(copy[0], reader),
    }
    return steps[step]()


def in_library(step: str, building: Building, reader: int, copy: tuple[int, int]) -> bool:
    """The same in the library."""
    person, book_id, copy_id = building.readers[reader], building.books[copy[0]], building.copies[copy]
    loan, hold = building.loan_of(copy), building.hold_of(reader, copy[0])
    rows = [{"isbn": ISBNS[copy[0]], "copies_total": reader + 1, "copies_available": reader}]
    steps: dict[str, Callable[[], object]] = {
        "lend": lambda: service.check_out(reader_id=person, by="book_id", wanted=book_id),
        "lend this": lambda: service.check_out(reader_id=person, by="copy_id", wanted=copy_id),
        "return": lambda: service.return_loan(loan),
        "renew": lambda: service.renew_loan(loan),
        "hold": lambda: service.place_hold(book_id=book_id, reader_id=person),
        "cancel": lambda: service.cancel_hold(hold),
        "lose": lambda: holdings.update_copy(copy_id, {"status": "lost"}),
        "find": lambda: holdings.update_copy(copy_id, {"status": "available"}),
        "list": lambda: holdings.replace_items(building.shelf, rows),
    }
    try:
        steps[step]()
    except (Conflict, NotFound):
        return False
    return True


def listed(owner: Engine) -> list[tuple[int, int]]:
    """What the books count of what the collection has of them."""
    return [tuple(each) for each in execute(owner, "SELECT listed_total, listed_available FROM books ORDER BY title")]


def tidy_up(building: Building) -> None:
    """Put all copies back on the shelf, and take all out of the collection."""
    holdings.replace_items(building.shelf, [])
    for reader in range(READERS):
        for book in (0, 1):
            hold = building.hold_of(reader, book)
            if hold is not None:
                service.cancel_hold(hold)
    for copy, copy_id in building.copies.items():
        loan = building.loan_of(copy)
        if loan is not None:
            service.return_loan(loan)
        holdings.update_copy(copy_id, {"status": "available"})
    db.session.remove()
