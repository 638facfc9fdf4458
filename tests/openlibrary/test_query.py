from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.openlibrary.errors import InvalidQuery
from app.openlibrary.query import lucene_isbns, lucene_keys, parse_query


@pytest.mark.parametrize(
    ("text", "lucene"),
    [
        ("author:Tolkien", "author:Tolkien"),
        ("AUTHOR: Tolkien ", "author:Tolkien"),
        ('author:"J. R. R. Tolkien"', 'author:"J. R. R. Tolkien"'),
        ("author:J. R. R. Tolkien", 'author:"J. R. R. Tolkien"'),
        ("author:OL26320A", "author_key:OL26320A"),
        ("subject:fantasy", "subject:fantasy"),
        ("title:The Hobbit", 'title:"The Hobbit"'),
        ("isbn:978-0-261-10357-3", "isbn:(9780261103573 OR 0261103571)"),
        ("0261103571", "isbn:(9780261103573 OR 0261103571)"),
        ("lord of the rings", "lord of the rings"),
        ("harry author:Rowling title:stone", "harry author:Rowling title:stone"),
        ("C++ (programming)", r"C\+\+ \(programming\)"),
        ("this OR that", "this or that"),
        ("key:/works/OL1W", r"key\:\/works\/OL1W"),
        ('say "yes" [now]', r"say \"yes\" \[now\]"),
        ('title:a" OR key:*', r'title:"a\" OR key:*"'),
        ("1234567890", "1234567890"),
    ],
)
def test_queries_are_put_into_the_sites_language(text: str, lucene: str) -> None:
    assert parse_query(text).lucene == lucene


@pytest.mark.parametrize(
    "text", ["", "  ", "author:", "title:  ", 'subject:""', "isbn:123", "isbn:9780261103574", "!?", "title:--"]
)
def test_what_cannot_be_looked_for_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery):
        parse_query(text)


@pytest.mark.parametrize(("text", "parameter"), [("it", "title"), ("the", "title"), ("三体", "title"), ("dune", "q")])
def test_words_that_the_site_refuses_go_into_another_parameter(text: str, parameter: str) -> None:
    assert parse_query(text).parameter == parameter


def test_one_question_is_remembered_under_one_name() -> None:
    assert parse_query("Author:  TOLKIEN").text == parse_query("author:tolkien").text
    assert parse_query("author:tolkien").text != parse_query("title:tolkien").text


def test_many_isbns_and_keys_are_one_question() -> None:
    assert lucene_isbns(["9780261103573", "9791090636071"]) == "isbn:(9780261103573 OR 0261103571 OR 9791090636071)"
    assert lucene_keys(["OL1W", "OL2W"]) == "key:(/works/OL1W OR /works/OL2W)"


@given(st.text(max_size=200))
def test_no_text_brings_operators_into_the_query(text: str) -> None:
    try:
        lucene = parse_query(f"words {text}").lucene
    except InvalidQuery:
        return
    outside_of_phrases = "".join(lucene.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    assert " OR " not in outside_of_phrases.replace("isbn:(", "").split("isbn")[0]
