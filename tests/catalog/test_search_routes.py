"""Searching a catalogue, asked over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Library


def a_book(title: str, author: str, **told: Any) -> dict[str, Any]:
    """The body of a book made by hand."""
    return {"title": title, "authors": [{"name": author}], "languages": ["eng"], "first_publish_year": 1954, **told}


@pytest.fixture
def shelf(library: Library) -> Library:
    """A library of four books."""
    library.post("/books", a_book("The Fellowship of the Ring", "J. R. R. Tolkien", subjects=["Fantasy"]))
    library.post("/books", a_book("The Two Towers", "J. R. R. Tolkien", subjects=["Fantasy"]))
    library.post("/books", a_book("Tolkien <b>criticism</b>", "Åse Ny", languages=["nor"], first_publish_year=1999))
    library.post("/books", a_book("Dune", "Frank Herbert", first_publish_year=1965))
    return library


def test_a_search_counts_its_matches_by_every_facet_asked_for(shelf: Library) -> None:
    found = shelf.get("/books/search?q=tolkien&facets=author,subject,language,year").get_json()

    assert found["total"] == 3
    assert found["facets"] == {
        "author": [{"value": "J. R. R. Tolkien", "count": 2}, {"value": "Åse Ny", "count": 1}],
        "subject": [{"value": "Fantasy", "count": 2}],
        "language": [{"value": "eng", "count": 2}, {"value": "nor", "count": 1}],
        "year": [{"value": 1954, "count": 2}, {"value": 1999, "count": 1}],
    }


def test_facets_stand_even_where_the_words_are_none(shelf: Library) -> None:
    found = shelf.get("/books/search?q=--&facets=author").get_json()

    assert (found["total"], found["facets"]) == (0, {"author": []})


def test_facets_count_what_the_filters_leave(shelf: Library) -> None:
    found = shelf.get("/books/search?q=tolkien&language=nor&facets=author").get_json()

    assert found["facets"] == {"author": [{"value": "Åse Ny", "count": 1}]}


@pytest.mark.parametrize("facets", ["publisher", "author,", "author,publisher"])
def test_a_facet_that_does_not_exist_is_refused(shelf: Library, facets: str) -> None:
    answer = shelf.get(f"/books/search?q=tolkien&facets={facets}")

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"].startswith("facets")


@pytest.mark.parametrize("typed", ["tolkein", "tolkin", "tolkienn", "TOLKIEN", "tölkien", "Tolki"])
def test_case_accents_one_slip_and_an_unfinished_word_are_forgiven(shelf: Library, typed: str) -> None:
    assert shelf.get("/books/search", query_string={"q": typed}).get_json()["total"] == 3


def test_every_word_must_be_found(shelf: Library) -> None:
    found = shelf.get("/books/search?q=tolkien towers").get_json()["items"]

    assert [book["title"] for book in found] == ["The Two Towers"]


def test_what_was_found_is_marked_and_everything_else_escaped(shelf: Library) -> None:
    [book] = shelf.get("/books/search?q=tolkien&language=nor").get_json()["items"]

    assert book["highlights"] == {"title": "<mark>Tolkien</mark> &lt;b&gt;criticism&lt;/b&gt;"}
    assert book["score"] > 0


def test_pages_of_a_search_show_every_match_once(shelf: Library) -> None:
    first = shelf.get("/books/search?q=tolkien&limit=2").get_json()
    second = shelf.get("/books/search", query_string={"q": "tolkien", "limit": 2, "cursor": first["next_cursor"]}).json

    assert [len(page["items"]) for page in (first, second)] == [2, 1]
    assert len({book["id"] for page in (first, second) for book in page["items"]}) == 3
    assert second["next_cursor"] is None


def test_another_tenants_books_are_never_found(shelf: Library, other_library: Library) -> None:
    assert other_library.get("/books/search?q=tolkien&facets=author").get_json()["items"] == []


@pytest.mark.parametrize("q", ["", " ", "a", "a ", "x" * 201])
def test_a_search_needs_two_characters_and_has_at_most_200(library: Library, q: str) -> None:
    answer = library.get("/books/search", query_string={"q": q})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == ["q"]
