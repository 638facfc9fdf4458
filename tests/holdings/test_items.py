"""What is in a collection: listed, counted, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant
from app.holdings import queries
from bench.dataset import isbn13
from tests.conftest import Library
from tests.holdings.shelf import BEOWULF, DUNE, EMMA, HOBBIT, Shelf, make_book


def isbns(shelf: Shelf, **query: Any) -> list[str]:
    return [item["isbn"] for item in shelf.items(**query)]


def test_an_item_shows_the_book_that_the_catalogue_has_of_it(library: Library, shelf: Shelf) -> None:
    body = {
        "title": "Dune",
        "subtitle": "A novel",
        "authors": [{"name": "Frank Herbert"}],
        "isbns": [DUNE],
        "cover_id": 12,
    }
    book = library.post("/books", body).json
    shelf.put({"isbn": DUNE, "copies_total": 3, "copies_available": 2, "info": "SF HER"}, HOBBIT)

    known, unknown = shelf.items()

    assert {name: known[name] for name in known if name != "updated_at"} == {
        "isbn": DUNE,
        "book_id": book["id"],
        "title": "Dune",
        "subtitle": "A novel",
        "authors": book["authors"],
        "cover": book["cover"],
        "copies_total": 3,
        "copies_available": 2,
        "info": "SF HER",
    }
    assert [unknown[name] for name in ("book_id", "title", "subtitle", "authors", "cover")] == [None] * 5


def test_an_item_learns_its_title_when_the_book_comes(library: Library, shelf: Shelf) -> None:
    shelf.put(DUNE)
    before = shelf.items()[0]["title"]

    make_book(library, "Dune", DUNE)

    assert (before, shelf.items()[0]["title"]) == (None, "Dune")


def test_items_are_narrowed(library: Library, shelf: Shelf) -> None:
    dune = make_book(library, "Dune", DUNE, BEOWULF)
    make_book(library, "The Hobbit", HOBBIT)
    make_book(library, "Dune, in no collection", isbn13(77))
    shelf.put(DUNE, {"isbn": HOBBIT, "copies_available": 0}, EMMA, BEOWULF)
    Shelf.put_up(library).put(DUNE, isbn13(77))

    assert isbns(shelf) == sorted([DUNE, HOBBIT, EMMA, BEOWULF])
    assert isbns(shelf, isbn=f"{HOBBIT[:3]}-{HOBBIT[3:]}") == [HOBBIT]
    assert isbns(shelf, isbn=isbn13(78)) == []
    assert isbns(shelf, available="false") == [HOBBIT]
    assert isbns(shelf, available="true") == sorted([DUNE, EMMA, BEOWULF])
    assert isbns(shelf, book_id=dune) == sorted([DUNE, BEOWULF])
    assert isbns(shelf, q="dúne") == sorted([DUNE, BEOWULF])
    assert isbns(shelf, q="hobb") == [HOBBIT]
    assert isbns(shelf, q="somebody hobbit") == [HOBBIT]
    assert isbns(shelf, q="!?") == []
    assert isbns(shelf, q="dune", available="false") == []


@pytest.mark.parametrize(
    "query", [{"isbn": "1"}, {"available": "maybe"}, {"book_id": "1"}, {"q": ""}, {"sort": "title"}]
)
def test_other_ways_to_narrow_them_are_refused(shelf: Shelf, query: dict[str, str]) -> None:
    assert shelf.library.get(f"{shelf.path}/items", query_string=query).status_code == 422


def test_items_come_in_pages_that_neither_repeat_nor_skip(shelf: Shelf) -> None:
    rows = sorted(isbn13(number) for number in range(100, 130))
    shelf.put(*rows)
    found, cursor = list[str](), None

    while cursor or not found:
        query = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        page = shelf.library.get(f"{shelf.path}/items", query_string=query).json
        found += [item["isbn"] for item in page["items"]]
        assert (page["total"], page["total_relation"]) == (30, "eq")
        cursor = page["next_cursor"]

    assert found == rows


def test_a_cursor_is_good_for_its_own_collection_only(library: Library, shelf: Shelf) -> None:
    for each in (shelf, other := Shelf.put_up(library)):
        each.put(DUNE, HOBBIT)
    cursor = library.get(f"{shelf.path}/items?limit=1").json["next_cursor"]

    assert library.get(f"{other.path}/items", query_string={"limit": 1, "cursor": cursor}).status_code == 422


def test_totals_are_not_those_of_before_a_sync(shelf: Shelf) -> None:
    def total() -> int:
        found: int = shelf.library.get(f"{shelf.path}/items").json["total"]
        return found

    seen = [total()]
    for rows in ([DUNE], [DUNE, HOBBIT], []):
        shelf.put(*rows)
        seen.append(total())

    assert seen == [0, 1, 2, 0]


def test_an_unchanged_list_is_not_sent_again(shelf: Shelf) -> None:
    shelf.put(DUNE)
    etag = shelf.library.get(f"{shelf.path}/items").headers["ETag"]

    assert shelf.library.get(f"{shelf.path}/items", headers={"If-None-Match": etag}).status_code == 304


# — in numbers —————————————————————————————————————————————————————————————————————————————————————


def stats(shelf: Shelf) -> dict[str, int]:
    answer = shelf.library.get(f"{shelf.path}/stats")
    assert answer.status_code == 200, answer.text
    found: dict[str, int] = answer.json
    return found


def test_a_collection_is_told_in_numbers(library: Library, shelf: Shelf, owner: Engine) -> None:
    make_book(library, "Dune", DUNE, HOBBIT)
    labelled = make_book(library, "Emma", EMMA)
    with owner.begin() as connection:
        connection.execute(text("SELECT set_config('app.tenant_id', :id, true)"), {"id": str(library.id)})
        connection.execute(text("UPDATE books SET labels = '{\"hues\": []}' WHERE id = :id"), {"id": labelled})
    before = stats(shelf)

    shelf.put(
        {"isbn": DUNE, "copies_total": 3, "copies_available": 1}, HOBBIT, EMMA, {"isbn": BEOWULF, "copies_total": 0}
    )

    assert before == {"editions": 0, "copies_total": 0, "copies_available": 0, "known": 0, "labelled": 0}
    assert stats(shelf) == {"editions": 4, "copies_total": 5, "copies_available": 3, "known": 3, "labelled": 1}


# — compared with books ————————————————————————————————————————————————————————————————————————————


@pytest.fixture
def compared(in_app: Flask, library: Library, shelf: Shelf) -> Callable[..., list[tuple[Any, ...]]]:
    """What the collection has of books."""

    def compare(*book_ids: str) -> list[tuple[Any, ...]]:
        with tenant(library.id):
            found = queries.held(UUID(shelf.id), [UUID(each) for each in book_ids])
        names = ("book_id", "held", "editions", "copies_total", "copies_available")
        return [tuple(row[name] for name in names) for row in found]

    return compare


def test_what_is_held_of_books_is_told_in_their_order(
    library: Library, shelf: Shelf, compared: Callable[..., list[tuple[Any, ...]]]
) -> None:
    dune, emma = make_book(library, "Dune", DUNE, HOBBIT), make_book(library, "Emma", EMMA)
    beowulf = make_book(library, "Beowulf", BEOWULF)
    shelf.put({"isbn": DUNE, "copies_total": 3, "copies_available": 1}, HOBBIT, {"isbn": BEOWULF, "copies_total": 0})
    Shelf.put_up(library).put(EMMA)

    assert compared(emma, dune, beowulf) == [
        (emma, False, 0, 0, 0),
        (dune, True, 2, 4, 2),
        (beowulf, False, 1, 0, 0),
    ]


def test_of_no_books_nothing_is_held(compared: Callable[..., list[tuple[Any, ...]]]) -> None:
    assert compared() == []


def test_of_books_that_are_not_there_nothing_is_held(
    library: Library, other_library: Library, shelf: Shelf, compared: Callable[..., list[tuple[Any, ...]]]
) -> None:
    theirs = make_book(other_library, "Dune", DUNE)
    shelf.put(DUNE)

    assert compared(theirs) == [(theirs, False, 0, 0, 0)]
