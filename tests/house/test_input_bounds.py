"""However much a body holds: it is refused at once, and in few words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask import Flask
from marshmallow import Schema, fields

from app.core.errors import MOST_FIELD_ERRORS
from app.core.schemas import Items
from tests.conftest import Library

MANY = 300_000
NEW_BOOK = {"title": "Dune", "authors": [{"name": "Frank Herbert"}]}
LARGEST_REFUSAL_BYTES = 32 * 1024
SECONDS = 5


def inputs(app: Flask) -> Iterator[Schema]:
    """Every schema that a request is read by."""
    for view in app.view_functions.values():
        for schema in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", []):
            if isinstance(schema.get("schema"), Schema):
                yield schema["schema"]


def parts(schema: Schema, path: str) -> Iterator[tuple[str, fields.Field[Any]]]:
    """The fields of a schema, and of those within."""
    for name, field in schema.load_fields.items():
        yield from parts_of(field, f"{path}.{name}")


def parts_of(field: fields.Field[Any], path: str) -> Iterator[tuple[str, fields.Field[Any]]]:
    """A field, and those within."""
    yield path, field
    if isinstance(field, fields.List):
        yield from parts_of(field.inner, f"{path}[]")
    if isinstance(field, fields.Nested):
        yield from parts(field.schema, path)


def test_every_list_in_an_input_is_counted_before_it_is_read(app: Flask) -> None:
    found = [part for schema in inputs(app) for part in parts(schema, type(schema).__name__)]
    uncounted = [
        path
        for path, field in found
        if isinstance(field, fields.Dict) or (isinstance(field, fields.List) and not isinstance(field, Items))
    ]

    assert len([field for _, field in found if isinstance(field, Items)]) >= 10
    assert not uncounted, f"Make these Items, with a bound: {uncounted}"


@pytest.mark.parametrize(
    ("path", "body", "at"),
    [
        ("/books", {**NEW_BOOK, "authors": [{}] * MANY}, "authors"),
        ("/books", {**NEW_BOOK, "contributors": [None] * MANY}, "contributors"),
        ("/books", {**NEW_BOOK, "isbns": ["1"] * MANY}, "isbns"),
        ("/books", {**NEW_BOOK, "subjects": [""] * MANY}, "subjects"),
        ("/books", {f"k{number}": 1 for number in range(MANY)}, "body"),
        ("/books", {**NEW_BOOK, "authors": [{f"k{number}": 1 for number in range(MANY)}]}, "authors.0"),
        ("/ingestion/jobs", {"open_library_keys": ["1"] * MANY}, "open_library_keys"),
        ("/ingestion/batches", {"jobs": [{}] * MANY}, "jobs"),
        ("/service-accounts", {"name": "x", "role": "lms", "scopes": [1] * MANY}, "scopes"),
        ("/inventory/updates", {"items": [{}] * MANY}, "items"),
        ("/inventory/updates", {"items": [{f"k{number}": 1 for number in range(MANY)}]}, "items.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_of_very_many_faults_is_refused_at_once(library: Library, path: str, body: object, at: str) -> None:
    content = orjson.dumps(body)
    key = library.key("admin")
    began = time.monotonic()

    answer = library.app.test_client().post(
        f"/api/v1/tenants/{library.slug}{path}",
        data=content,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )

    assert time.monotonic() - began < SECONDS
    assert (answer.status_code, [error["field"] for error in answer.get_json()["errors"]]) == (422, [at])
    assert len(answer.data) < LARGEST_REFUSAL_BYTES


def test_of_many_faults_within_the_bounds_the_first_are_named(library: Library) -> None:
    answer = library.post("/ingestion/batches", {"jobs": [{"isbns": ["1"] * 100}] * 50}, role="admin")

    assert answer.status_code == 422
    assert len(answer.json["errors"]) == MOST_FIELD_ERRORS
    assert answer.json["errors"][0]["field"] == "jobs.0.isbns.0"


@pytest.mark.parametrize("surplus", [1, 50])
def test_a_few_unknown_fields_are_named_beside_all_other_faults(library: Library, surplus: int) -> None:
    body = {"title": 5, **{f"k{number}": 1 for number in range(surplus)}}

    answer = library.post("/books", body, role="admin")

    assert {error["field"] for error in answer.json["errors"]} == {"title", "authors", *body}


def test_a_very_long_name_is_not_told_in_full(library: Library) -> None:
    answer = library.post("/books", {**NEW_BOOK, "k" * 1_000_000: 1}, role="admin")

    assert [error["message"] for error in answer.json["errors"]] == ["Unknown field."]
    assert len(answer.data) < LARGEST_REFUSAL_BYTES


def test_a_query_of_very_many_values_is_refused_in_few_words(library: Library) -> None:
    for query in ("/books?" + "author=&" * 5000, "/books/search?q=dune&facets=" + "," * 40_000):
        answer = library.get(query)

        assert (answer.status_code, len(answer.json["errors"])) == (422, 1)


@pytest.mark.parametrize("path", ["/books", "/ingestion/jobs", "/ingestion/batches", "/service-accounts"])
def test_what_is_no_object_is_told_to_be_one(library: Library, path: str) -> None:
    for body in (b"[]", b"null", b"1", b'"x"', b"true", b"[{}]"):
        answer = library.call("POST", path, role="admin", data=body, content_type="application/json")

        assert answer.status_code == 422
        assert answer.json["errors"] == [{"field": "body", "message": "Must be an object."}], body
