"""Books are found by a single word of their author's name."""

from __future__ import annotations

import pytest

from tests.conftest import Library


@pytest.fixture
def dune(library: Library) -> Library:
    library.post("/books", {"title": "Dune", "authors": [{"name": "Frank P. Herbert"}]})
    library.post("/books", {"title": "Beloved", "authors": [{"name": "Toni Morrison"}]})
    return library


@pytest.mark.parametrize("author", ["Herbert", "herbert", "FRANK", "Frank P. Herbert"])
def test_a_surname_or_the_whole_name_finds_the_author(dune: Library, author: str) -> None:
    items = dune.get("/books", query_string={"author": author}).json["items"]

    assert [book["title"] for book in items] == ["Dune"]


@pytest.mark.parametrize("author", ["P", "Herb", "Frank Morrison"])
def test_an_initial_or_a_part_of_a_word_finds_nobody(dune: Library, author: str) -> None:
    assert dune.get("/books", query_string={"author": author}).json["items"] == []


def test_facets_count_whole_names_only(dune: Library) -> None:
    answer = dune.get("/books/search", query_string={"q": "dune", "facets": "author"}).json

    assert [each["value"] for each in answer["facets"]["author"]] == ["Frank P. Herbert"]
