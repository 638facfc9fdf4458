"""What a client got wrong is told, never silently repaired or dropped."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from flask import Flask

from tests.conftest import Library

JSON = {"Content-Type": "application/json"}
# A request of a page of another origin always goes through Flask.
THROUGH_FLASK = {"Origin": "https://app.example.org"}


@pytest.mark.parametrize("value", ["%ff", "%ed%a0%80", "a%c3", "%80b", "%f5%80%80%80", "%C0%AF", "%fF%20x"])
@pytest.mark.parametrize("headers", [{}, THROUGH_FLASK], ids=["fast", "flask"])
def test_a_query_that_is_no_utf8_is_refused(library: Library, value: str, headers: dict[str, str]) -> None:
    assert library.get("/books").status_code == 200

    for _ in range(2):
        answer = library.get(f"/books?limit=1&author={value}&author=Ann", headers=headers)

        assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_input")
        assert answer.get_json()["errors"] == [{"field": "author", "message": "Must be UTF-8, percent-encoded."}]


@pytest.mark.parametrize("value", ["%C3%BC", "%f0%9f%98%80", "100%25", "%", "%zz", "a+b"])
@pytest.mark.parametrize("headers", [{}, THROUGH_FLASK], ids=["fast", "flask"])
def test_any_other_query_is_taken(library: Library, value: str, headers: dict[str, str]) -> None:
    assert library.get(f"/books?author={value}", headers=headers).status_code == 200


def test_a_parameters_name_that_is_no_utf8_is_refused(library: Library) -> None:
    answer = library.get("/books?%ff=1")

    assert answer.status_code == 422
    assert [error["message"] for error in answer.get_json()["errors"]] == ["Must be UTF-8, percent-encoded."]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "x", "gzip, identity"])
def test_a_compressed_body_is_refused(library: Library, encoding: str) -> None:
    body = gzip.compress(b'{"title": "Dune", "authors": [{"name": "Frank Herbert"}]}')

    answer = library.post("/books", role="admin", data=body, headers={**JSON, "Content-Encoding": encoding})

    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")
    assert "uncompressed" in answer.get_json()["detail"]


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_is_said_to_be_as_it_is_is_taken(library: Library, encoding: str) -> None:
    body = {"title": "Dune", "authors": [{"name": "Frank Herbert"}]}

    assert library.post("/books", body, role="admin", headers={"Content-Encoding": encoding}).status_code == 201


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "us-ascii", "x"])
def test_a_body_said_to_be_in_another_charset_is_refused(library: Library, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    body = b'{"title": "Dune", "authors": [{"name": "Frank Herbert"}]}'

    answer = library.post("/books", role="admin", data=body, headers=headers)

    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")
    assert "UTF-8" in answer.get_json()["detail"]


@pytest.mark.parametrize("parameters", ["", "; charset=utf-8", ';charset="UTF-8"', "; profile=x"])
def test_a_body_said_to_be_in_utf8_is_taken(library: Library, parameters: str) -> None:
    headers = {"Content-Type": f"application/json{parameters}"}
    body = b'{"title": "Dune", "authors": [{"name": "Frank Herbert"}]}'

    assert library.post("/books", role="admin", data=body, headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("body", "byte", "offset"),
    [
        (b'{"title": "caf\xe9"}', "0xe9", 14),
        (b'{\n"title": "\xed\xa0\x80"}', "0xed", 12),
        (b"\xff\xfe{\x00}\x00", "0xff", 0),
    ],
)
def test_of_a_body_that_is_no_utf8_the_place_is_told(library: Library, body: bytes, byte: str, offset: int) -> None:
    answer = library.post("/books", role="admin", data=body, headers=JSON)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_json")
    assert f"the byte {byte} at offset {offset} " in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"title": "One", "title": "Two", "authors": [{"name": "Ann"}]}', "title"),
        ('{"title": "One", "title": "One", "authors": [{"name": "Ann"}]}', "title"),
        ('{"title": "One", "authors": [{"name": "Ann"}], "ti\\u0074le": null}', "title"),
        ('{"title": "One", "authors": [{"name": "Ann"}, {"name": "Bo", "name": "Cy"}]}', "name"),
    ],
    ids=["another value", "the same value", "spelled otherwise", "within"],
)
def test_a_key_given_twice_is_refused_and_named(library: Library, body: str, key: str) -> None:
    answer = library.post("/books", role="admin", data=body, headers=JSON)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_json")
    assert answer.get_json()["detail"] == f"An object in the body has the key {key!r} twice."


def test_a_key_in_two_objects_or_in_a_text_is_not_given_twice(library: Library) -> None:
    body = {"title": '"title":', "subtitle": '{"a": 1, "a": 2}', "authors": [{"name": "Ann"}, {"name": "Bo"}]}

    assert library.post("/books", body, role="admin").status_code == 201


def test_of_a_very_long_key_given_twice_the_beginning_is_told(library: Library) -> None:
    name = "k" * 1_000_000
    answer = library.post("/books", role="admin", data=f'{{"{name}": 1, "{name}": 2}}', headers=JSON)

    assert answer.status_code == 400
    assert len(answer.data) < 1000


@pytest.mark.parametrize("depth", [1000, 1024, 100_000])
def test_a_body_that_nests_without_end_is_refused(library: Library, depth: int) -> None:
    answer = library.post("/books", role="admin", data="[" * depth + "]" * depth, headers=JSON)

    assert answer.status_code in {400, 422}
    assert answer.get_json()["code"] in {"invalid_json", "invalid_input"}


def test_of_a_body_that_is_no_json_the_line_is_told(library: Library) -> None:
    answer = library.post("/books", role="admin", data='{"title":\n "é" x}'.encode(), headers=JSON)

    assert "line 2 column" in answer.get_json()["detail"]


@pytest.mark.parametrize("headers", [{}, THROUGH_FLASK], ids=["fast", "flask"])
@pytest.mark.parametrize("path", ["/books?", "/books/search?q=dune&"])
def test_years_that_end_before_they_begin_are_refused(library: Library, path: str, headers: dict[str, str]) -> None:
    assert library.get(f"{path}year_from=2000&year_to=2000", headers=headers).status_code == 200

    answer = library.get(f"{path}year_from=2000&year_to=1990", headers=headers)

    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "year_to", "message": "Must not be before year_from."}]


def test_options_are_told_without_a_body_or_a_type(library: Library) -> None:
    answer = library.app.test_client().options("/api/v1/tenants")

    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


def test_a_redirect_carries_no_page(make_app: Callable[..., Flask]) -> None:
    answer = make_app(FORCE_HTTPS="true").test_client().get("/api/v1/tenants")

    assert (answer.status_code, answer.data) == (308, b"")
    assert "Content-Type" not in answer.headers
    assert answer.headers["Location"].startswith("https://")
