"""The authors of a library's books."""

from __future__ import annotations

from typing import Any

import pytest

from app.catalog.schemas import AuthorListSchema, AuthorSchema
from app.openlibrary.records import AuthorRef
from tests.catalog.reading import a_book, held_against, pages, read, refused, shelve
from tests.conftest import Library

LE_GUIN = AuthorRef("Ursula K. Le Guin", "OL31353A")
LEM = AuthorRef("Stanisław Lem", "OL152472A")


@pytest.fixture
def shelves(library: Library, other_library: Library) -> Library:
    """A library with three authors; another one has one of them, and one of its own."""
    shelve(
        library,
        a_book(1, "The Dispossessed", authors=(LE_GUIN,)),
        a_book(2, "A Wizard of Earthsea", authors=(LE_GUIN,)),
        a_book(3, "Solaris", authors=(LEM,)),
        a_book(4, "Conversations", authors=("Émile Zóla", LEM)),
    )
    shelve(other_library, a_book(5, "Elsewhere", authors=(LE_GUIN, "Stranger Afar")))
    return library


def names(page: dict[str, Any]) -> list[tuple[str, int]]:
    """Name and number of books of each author on a page."""
    return [(author["name"], author["book_count"]) for author in page["items"]]


def test_authors_are_listed_by_name_with_their_books_counted(shelves: Library) -> None:
    page = read(shelves, "/authors")

    held_against(AuthorListSchema(), page)
    assert names(page) == [("Émile Zóla", 1), ("Stanisław Lem", 2), ("Ursula K. Le Guin", 2)]
    assert [author["open_library_key"] for author in page["items"]] == [None, "OL152472A", "OL31353A"]
    assert (page["total"], page["next_cursor"]) == (3, None)


def test_the_order_turns_round_and_holds_over_pages(shelves: Library) -> None:
    walked = list(pages(shelves, "/authors", sort="-name", limit=2))

    assert [[name for name, _ in names(page)] for page in walked] == [
        ["Ursula K. Le Guin", "Stanisław Lem"],
        ["Émile Zóla"],
    ]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("ursula", ["Ursula K. Le Guin"]),
        ("URSULA K. LE G", ["Ursula K. Le Guin"]),
        ("emile zo", ["Émile Zóla"]),
        ("Émile", ["Émile Zóla"]),
        ("stanislaw  lem", ["Stanisław Lem"]),
        ("rsula", []),
        ("%", []),
        ("_rsula", []),
        ("Stranger", []),
    ],
)
def test_names_are_found_by_how_they_begin(shelves: Library, q: str, expected: list[str]) -> None:
    page = read(shelves, "/authors", q=q)

    assert [name for name, _ in names(page)] == expected
    assert page["total"] == len(expected)


def test_one_author_is_shown(shelves: Library, other_library: Library) -> None:
    listed = read(shelves, "/authors")["items"][2]

    answer = shelves.get(f"/authors/{listed['id']}")

    held_against(AuthorSchema(), answer.json)
    assert answer.json == listed
    assert other_library.get(f"/authors/{listed['id']}").status_code == 404
    assert shelves.get(f"/authors/{listed['id']}", role=None).status_code == 401


@pytest.mark.parametrize("unknown", ["0193a000-0000-7000-8000-000000000001", "OL31353A", "1", "%00"])
def test_an_id_of_nobody_is_not_found(shelves: Library, unknown: str) -> None:
    assert shelves.get(f"/authors/{unknown}").status_code == 404


def test_who_lost_the_last_book_is_no_author_any_more(shelves: Library) -> None:
    zola = read(shelves, "/authors", q="emile")["items"][0]
    [book] = read(shelves, "/books", author="emile zola")["items"]

    assert shelves.delete(f"/books/{book['id']}").status_code == 204

    assert names(read(shelves, "/authors")) == [("Stanisław Lem", 1), ("Ursula K. Le Guin", 2)]
    assert shelves.get(f"/authors/{zola['id']}").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "faulty"),
    [
        ({"q": ""}, "q"),
        ({"q": "\u0301"}, "q"),
        ({"q": "a\0"}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"sort": "book_count"}, "sort"),
        ({"limit": "-1"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"name": "x"}, "name"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(library: Library, parameters: dict[str, Any], faulty: str) -> None:
    assert refused(library, "/authors", **parameters) == {faulty}
