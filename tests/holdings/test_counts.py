"""What books count of what collections list, whatever happens to either."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from app.catalog import service as catalog
from app.core.errors import DomainError
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.holdings import service
from app.openlibrary.records import NormalizedEdition
from bench.dataset import isbn13
from tests.catalog.stored import at_once
from tests.catalog.works import a_work
from tests.conftest import Answer, Library
from tests.holdings.recount import wrong_counts, wrongly_wanted
from tests.holdings.shelf import BEOWULF, DUNE, EMMA, HOBBIT, Shelf, copies_of, make_book, told


def held(isbn: str, total: int, available: int) -> dict[str, object]:
    return {"isbn": isbn, "copies_total": total, "copies_available": available}


# — by items ———————————————————————————————————————————————————————————————————————————————————————


def test_a_book_counts_the_copies_of_all_its_editions_in_all_collections(library: Library, shelf: Shelf) -> None:
    book, other = make_book(library, "Dune", DUNE, HOBBIT), make_book(library, "Emma", EMMA)
    branch = Shelf.put_up(library)

    shelf.put(held(DUNE, 3, 1), held(HOBBIT, 2, 2), held(BEOWULF, 9, 9))
    branch.put(held(DUNE, 5, 0))

    assert copies_of(library, book) == (10, 3)
    assert copies_of(library, other) == (0, 0)


def test_counts_follow_every_sync(library: Library, shelf: Shelf) -> None:
    book = make_book(library, "Dune", DUNE)

    syncs: list[Callable[[], Answer]] = [
        lambda: shelf.put(held(DUNE, 3, 1)),
        lambda: shelf.change({"action": "update", **held(DUNE, 2, 2)}),
        lambda: shelf.put(held(DUNE, 2, 2), EMMA),
        lambda: shelf.change({"action": "remove", "isbn": DUNE}),
    ]
    seen = [copies_of(library, book)]
    for sync in syncs:
        assert sync().status_code == 200
        seen.append(copies_of(library, book))

    assert seen == [(0, 0), (3, 1), (2, 2), (2, 2), (0, 0)]


def test_a_deleted_collection_takes_its_copies_along(library: Library, shelf: Shelf) -> None:
    book = make_book(library, "Dune", DUNE)
    shelf.put(held(DUNE, 3, 1))

    assert library.delete(shelf.path).status_code == 204

    assert copies_of(library, book) == (0, 0)


def test_a_persons_own_copies_count_nowhere(library: Library, owner: Engine) -> None:
    book = make_book(library, "Dune", DUNE)
    own = Shelf.put_up(library, owner_id=str(library.person().id))

    own.put(held(DUNE, 3, 1))

    assert own.holds() == {DUNE: (3, 1)}
    assert copies_of(library, book) == (0, 0)
    assert not wrong_counts(owner)


def test_a_collection_that_gets_or_loses_an_owner_takes_its_copies_out_or_brings_them_in(
    library: Library, shelf: Shelf
) -> None:
    book = make_book(library, "Dune", DUNE)
    shelf.put(held(DUNE, 3, 1))

    library.patch(shelf.path, {"owner_id": str(library.person().id)})
    as_a_persons = copies_of(library, book)
    library.patch(shelf.path, {"owner_id": str(library.person().id)})
    as_anothers = copies_of(library, book)
    library.patch(shelf.path, {"owner_id": None})

    assert as_a_persons == as_anothers == (0, 0)
    assert copies_of(library, book) == (3, 1)


def test_the_list_of_books_shows_the_counts_at_once(library: Library, shelf: Shelf) -> None:
    make_book(library, "Dune", DUNE)

    def shown() -> list[int]:
        return [book["copies_available"] for book in library.get("/books?available=true").json["items"]]

    before = shown()
    shelf.put(held(DUNE, 3, 2))

    assert (before, shown()) == ([], [2])


def test_a_sync_that_changes_nothing_leaves_what_is_cached(library: Library, shelf: Shelf) -> None:
    shelf.put(DUNE)
    etag = library.get("/books").headers["ETag"]

    shelf.put(DUNE)

    assert library.get("/books").headers["ETag"] == etag


# — by editions ————————————————————————————————————————————————————————————————————————————————————


def test_a_book_that_comes_later_counts_what_is_held_already(library: Library, shelf: Shelf) -> None:
    shelf.put(held(DUNE, 3, 1))

    assert copies_of(library, make_book(library, "Dune", DUNE)) == (3, 1)


def test_an_isbn_that_leaves_a_book_takes_its_copies_along(library: Library, shelf: Shelf) -> None:
    book = make_book(library, "Dune", DUNE, HOBBIT)
    shelf.put(held(DUNE, 3, 1), held(HOBBIT, 2, 2))

    assert library.patch(f"/books/{book}", {"isbns": [HOBBIT]}).status_code == 200

    assert copies_of(library, book) == (2, 2)
    assert copies_of(library, make_book(library, "Dune", DUNE)) == (3, 1)


def test_items_outlive_the_book(library: Library, shelf: Shelf) -> None:
    shelf.put(DUNE)
    book = make_book(library, "Dune", DUNE)

    assert library.delete(f"/books/{book}").status_code == 204

    assert shelf.holds() == {DUNE: (1, 1)}
    assert copies_of(library, make_book(library, "Dune", DUNE)) == (1, 1)


def test_a_book_of_which_a_copy_is_lent_by_the_library_system_is_not_deleted(library: Library, shelf: Shelf) -> None:
    book = make_book(library, "Dune", DUNE)
    shelf.put(held(DUNE, 3, 2))

    assert library.delete(f"/books/{book}").json["code"] == "book_in_use"


def test_an_isbn_that_moves_to_another_book_takes_its_copies_along(
    in_app: Flask, library: Library, shelf: Shelf, owner: Engine
) -> None:
    first, second = make_book(library, "Dune", DUNE, EMMA), make_book(library, "The Hobbit", HOBBIT)
    shelf.put(held(DUNE, 3, 1), held(HOBBIT, 2, 2), held(EMMA, 1, 1))

    with owner.begin() as connection:
        connection.execute(text("SELECT set_config('app.tenant_id', :id, true)"), {"id": str(library.id)})
        connection.execute(text("UPDATE editions SET book_id = :to WHERE isbn = :isbn"), {"to": second, "isbn": DUNE})
        connection.execute(text("UPDATE editions SET isbn = :to WHERE isbn = :isbn"), {"to": BEOWULF, "isbn": EMMA})

    assert not wrong_counts(owner)
    with owner.connect() as connection:
        counts = {
            str(row.id): (row.listed_total, row.listed_available)
            for row in connection.execute(text("SELECT id, listed_total, listed_available FROM books"))
        }
    assert counts == {first: (0, 0), second: (5, 3)}


def test_books_that_become_one_count_what_both_did(in_app: Flask, library: Library, shelf: Shelf) -> None:
    shelf.put(held(DUNE, 3, 1), held(HOBBIT, 2, 2))
    with tenant(library.id):
        catalog.record_works([a_work("OL1W", isbns=(DUNE,)), a_work("OL2W", isbns=(HOBBIT,))])
        [answer] = catalog.record_redirects([("OL1W", a_work("OL2W", isbns=(DUNE, HOBBIT)))])

    assert copies_of(library, str(answer.book_id)) == (5, 3)


# — single copies ——————————————————————————————————————————————————————————————————————————————————


def test_where_single_copies_are_known_these_count(library: Library, shelf: Shelf, owner: Engine) -> None:
    book = make_book(library, "Dune", DUNE)
    shelf.put(held(DUNE, 3, 1))

    def barcoded(total: int, available: int) -> tuple[int, int]:
        with owner.begin() as connection:
            connection.execute(text("SELECT set_config('app.tenant_id', :id, true)"), {"id": str(library.id)})
            counts = {"total": total, "available": available}
            connection.execute(
                text("UPDATE books SET barcoded_total = :total, barcoded_available = :available"), counts
            )
        return copies_of(library, book)

    assert [barcoded(2, 0), barcoded(0, 0)] == [(2, 0), (3, 1)]


@pytest.mark.parametrize("wrong", ["listed_total = -1", "listed_available = 1", "barcoded_available = 1"])
def test_the_database_refuses_counts_that_cannot_be(library: Library, owner: Engine, wrong: str) -> None:
    make_book(library, "Dune", DUNE)

    with owner.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text(f"UPDATE books SET {wrong}"))


def test_another_librarys_books_count_nothing_of_it(library: Library, shelf: Shelf, other_library: Library) -> None:
    theirs = make_book(other_library, "Dune", DUNE)

    shelf.put(held(DUNE, 3, 1))

    assert copies_of(other_library, theirs) == (0, 0)


# — at once ————————————————————————————————————————————————————————————————————————————————————————

ISBNS = [isbn13(number) for number in range(1000, 1200)]


def test_syncs_of_one_collection_come_one_after_the_other(library: Library, shelf: Shelf, owner: Engine) -> None:
    make_book(library, "Dune", *ISBNS[:5])
    feeds = [[held(isbn, number, 0) for isbn in ISBNS] for number in range(1, 5)]

    answers = at_once(library, *(lambda feed=feed: shelf.put(*feed) for feed in feeds))

    assert sorted(told(answer) for answer in answers) == [(0, 200, 0, 0)] * 3 + [(200, 0, 0, 0)]
    assert len(set(shelf.holds().values())) == 1
    assert not wrong_counts(owner)


def test_syncs_catalogue_and_deletions_at_once_lose_no_count_and_wait_for_nobody_in_a_circle(
    library: Library, owner: Engine
) -> None:
    shelves = [Shelf.put_up(library) for _ in range(3)]
    for number in range(20):
        make_book(library, f"Book {number}", *ISBNS[number * 5 : number * 5 + 3])

    def syncing(shelf: Shelf, seed: int) -> list[int]:
        dice = random.Random(seed)
        return [
            shelf.put(*(held(isbn, dice.randint(1, 9), 1) for isbn in dice.sample(ISBNS, 100))).status_code
            for _ in range(6)
        ]

    def cataloguing(seed: int) -> list[int]:
        dice, statuses = random.Random(seed), []
        for number in range(12):
            isbns = dice.sample(ISBNS, 3)
            answer = library.post(
                "/books", {"title": f"New {seed} {number}", "authors": [{"name": "A"}], "isbns": isbns}
            )
            statuses.append(answer.status_code)
            if answer.status_code == 201 and number % 3 == 0:
                statuses.append(library.patch(f"/books/{answer.json['id']}", {"isbns": isbns[:1]}).status_code)
        return statuses

    answers = at_once(
        library,
        *(lambda shelf=shelf, seed=seed: syncing(shelf, seed) for seed, shelf in enumerate(shelves)),
        *(lambda seed=seed: cataloguing(seed) for seed in (10, 11)),
    )

    assert {status for statuses in answers for status in statuses} <= {200, 201, 409}
    assert [statuses for statuses in answers[:3] if set(statuses) != {200}] == []
    assert not wrong_counts(owner)
    assert not wrongly_wanted(owner)


def test_an_edition_and_an_item_that_come_at_once_find_each_other(library: Library, owner: Engine) -> None:
    for number in range(15):
        shelf, isbn = Shelf.put_up(library), ISBNS[number]

        at_once(library, partial(shelf.put, held(isbn, 2, 1)), partial(_book, library, isbn))

    assert not wrong_counts(owner)
    assert not wrongly_wanted(owner)


def _book(library: Library, isbn: str) -> Answer:
    return library.post("/books", {"title": "Dune", "authors": [{"name": "Somebody"}], "isbns": [isbn]})


# — whatever happens ———————————————————————————————————————————————————————————————————————————————

FEW = [isbn13(number) for number in range(1, 9)]
some_isbns = st.lists(st.sampled_from(FEW), unique=True, max_size=4)
rows = st.lists(st.tuples(st.sampled_from(FEW), st.integers(0, 4), st.integers(0, 4)), max_size=6)
steps = st.one_of(
    st.tuples(st.just("replace"), st.integers(0, 2), rows),
    st.tuples(st.just("change"), st.integers(0, 2), rows, st.sampled_from(["add", "update", "remove"])),
    st.tuples(st.just("own"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("empty"), st.integers(0, 2)),
    st.tuples(st.just("record"), st.integers(1, 4), some_isbns),
    st.tuples(st.just("redirect"), st.integers(1, 4), st.integers(1, 4), some_isbns),
    st.tuples(st.just("edit"), st.integers(1, 4), some_isbns),
    st.tuples(st.just("delete"), st.integers(1, 4)),
)


# Hypothesis seeds what draws by chance.
_numbers = itertools.count()


class Play:
    """A library in which things happen that random steps say."""

    def __init__(self, person: UUID) -> None:
        """Begin with three collections."""
        self.person = person
        self.collections = [service.create_collection(name=f"Collection {number}") for number in range(3)]

    def do(self, step: tuple[object, ...]) -> None:
        """One step; one that the service refuses changes nothing."""
        name, *values = step
        try:
            getattr(self, str(name))(*values)
        except DomainError:
            db.session.rollback()

    def replace(self, at: int, given: list[tuple[str, int, int]]) -> None:
        """Let a collection hold this."""
        service.replace_items(self.collections[at], [held(*row) for row in given])

    def change(self, at: int, given: list[tuple[str, int, int]], action: str) -> None:
        """Add, update or remove."""
        service.update_items(self.collections[at], [{"action": action, **held(*row)} for row in given])

    def own(self, at: int, owned: bool) -> None:  # noqa: FBT001 - a drawn value
        """Give a collection to somebody, or to the library."""
        service.update_collection(self.collections[at], {"owner_id": self.person if owned else None})

    def empty(self, at: int) -> None:
        """Remove a collection; another takes its place."""
        service.delete_collection(self.collections[at])
        self.collections[at] = service.create_collection(name="Another")

    def record(self, number: int, isbns: list[str]) -> None:
        """Record a work with editions."""
        editions = tuple(NormalizedEdition(f"OL{isbn[-4:]}M", isbn=isbn, isbns=(isbn,), revision=1) for isbn in isbns)
        catalog.record_works([a_work(f"OL{number}W", isbns=tuple(isbns), editions=editions)])

    def redirect(self, former: int, number: int, isbns: list[str]) -> None:
        """Let a work become another."""
        if former != number:
            catalog.record_redirects([(f"OL{former}W", a_work(f"OL{number}W", isbns=tuple(isbns)))])

    def edit(self, number: int, isbns: list[str]) -> None:
        """Give a book other ISBNs by hand."""
        catalog.update_book(self._book(number), {"isbns": isbns})

    def delete(self, number: int) -> None:
        """Delete a book."""
        catalog.delete_book(self._book(number))

    def _book(self, number: int) -> UUID | None:
        found: UUID | None = db.session.scalar(
            text("SELECT id FROM books WHERE open_library_key = :key"), {"key": f"OL{number}W"}
        )
        return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=4, max_size=20))
@pytest.mark.timeout(300)
def test_whatever_happens_the_counts_are_those_of_a_recount(
    make_library: Callable[..., Library], in_app: Flask, owner: Engine, script: list[tuple[object, ...]]
) -> None:
    library = make_library(f"play-{next(_numbers)}")
    person = library.person().id
    with tenant(library.id), acting_as(SYSTEM):
        play = Play(person)
        for step in script:
            play.do(step)
            assert not wrong_counts(owner), step
    assert not wrongly_wanted(owner)
