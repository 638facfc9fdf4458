"""Whatever is sent to whichever operation: an answer that the document names, and never a fault of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.core.openapi.examples import example_of
from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.house.contract import Json, Operation, components, operations, resolved, things_of

BODIES = [
    b"",
    b" ",
    b"[]",
    b"null",
    b"0",
    b'"text"',
    b"true",
    b"{",
    b"}",
    b"[" * 1_000_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b"NaN",
    b'{"name": NaN}',
    b'{"name": ' + b"9" * 400 + b"}",
    b'{"name": 1e999}',
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b'{"\\u0000": 1}',
    b'{"name": "a", "name": []}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"\x00",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    " ",
    "x" * 100_000,
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\u202e",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "2026-01-01T00:00:00",
    "00000000-0000-7000-8000-000000000000",
    [],
    [None],
    [[]],
    ["x"] * 2000,
    {},
    {"a": {"b": {}}},
]
QUERY_VALUES = [
    "",
    "%00",
    "%ED%A0%80",
    "%FF",
    "x" * 5000,
    "-1",
    "0",
    "9" * 400,
    "1.5",
    "1e9",
    "%27%3B+DROP+TABLE+books%3B--",
    "%25",
    "_",
    "%5C",
    "null",
    "[]",
    "2026-01-01",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "%F0%9F%93%9A",
    "%26%7C%21%28",
    "a,b,,",
]
PATH_VALUES = [
    "x",
    "%00",
    "%FF",
    "%2e%2e",
    "0" * 36,
    "00000000-0000-7000-8000-000000000000",
    "x" * 3000,
    "-1",
    "9" * 400,
    "%20",
]


@pytest.fixture
def things(library: Library) -> dict[str, str]:
    return things_of(library)


@pytest.fixture
def headers(app: Flask) -> dict[str, str]:
    """Those who run the service may call everything."""
    return {"Authorization": f"Bearer {Library(app, 'platform', PLATFORM_ID).key('platform_admin')}"}


def assert_documented(operation: Operation, answer: TestResponse, sent: Any) -> None:
    context = (
        f"{operation.name} answers {str(sent)[:200]!r} with {answer.status_code}: {answer.get_data(as_text=True)[:300]}"
    )
    assert answer.status_code < 500, context
    assert answer.status_code != 429, "The limits of the tests are too low for these."
    assert answer.status_code in operation.statuses, f"Document it, or don't answer it: {context}"
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json", context
        problem = answer.get_json()
        assert problem["status"] == answer.status_code, context
        assert problem["request_id"] == answer.headers["X-Request-ID"], context
        if answer.status_code == 422 and problem["code"] == "invalid_input":
            assert problem["errors"], context


def with_nonsense(example: Any, schema: Json, schemas: Json) -> Iterator[Any]:
    """The example with one value after the other replaced by nonsense, nested ones included."""
    yield from ([example], {**example, "no_such_field": 1})
    for name, reference in resolved(schema, schemas).get("properties", {}).items():
        for value in VALUES:
            yield {**example, name: value}
        part = resolved(reference, schemas)
        items = resolved(part["items"], schemas) if "items" in part else None
        if items and "properties" in items:
            [whole, *_] = example.get(name) or [example_of(items, schemas)]
            nested = with_nonsense(whole, items, schemas)
            yield from ({**example, name: [each]} for each in nested)
        elif "properties" in part:
            yield from ({**example, name: each} for each in with_nonsense(example_of(part, schemas), part, schemas))


def test_no_body_makes_the_server_fail(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    client = app.test_client()
    for operation in operations(app):
        if operation.method not in {"POST", "PUT", "PATCH"}:
            continue
        for body in BODIES:
            answer = client.open(
                operation.address(library.slug, things),
                method=operation.method,
                data=body,
                content_type="application/json",
                headers=headers,
            )
            assert_documented(operation, answer, body)
            if operation.body_schema and body not in {b'{"name": "a", "name": []}', b'{"\\u0000": 1}'}:
                assert answer.status_code in {400, 422}, (operation.name, body[:50])


def test_no_value_in_a_body_makes_the_server_fail(
    app: Flask, library: Library, other_library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    schemas, client = components(app), app.test_client()
    for operation in operations(app):
        if operation.body_schema is None:
            continue
        schema = resolved(operation.body_schema, schemas)
        # What is done to a tenant's limits is done to one that nothing else is asked of.
        slug = other_library.slug if operation.path.endswith("{slug}") else library.slug
        for body in with_nonsense(operation.body, schema, schemas):
            answer = client.open(
                operation.address(slug, things),
                method=operation.method,
                data=orjson.dumps(body),
                content_type="application/json",
                headers=headers,
            )
            assert_documented(operation, answer, body)


def test_no_value_in_a_query_makes_the_server_fail(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    client = app.test_client()
    for operation in operations(app):
        for parameter in operation.query_parameters:
            for value in QUERY_VALUES:
                address = f"{operation.address(library.slug, things)}?{parameter['name']}={value}"
                answer = client.open(address, method=operation.method, headers=headers)
                assert_documented(operation, answer, address)
        if operation.query_parameters:
            answer = client.open(
                operation.address(library.slug, things) + "?no_such_parameter=1",
                method=operation.method,
                headers=headers,
            )
            assert answer.status_code == 422, f"{operation.name} ignores a parameter that it does not know."


def test_no_value_in_a_path_makes_the_server_fail(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    client = app.test_client()
    for operation in operations(app):
        for name in [*operation.path_parameters, *(["slug"] if "{slug}" in operation.path else [])]:
            for value in PATH_VALUES:
                address = operation.address(library.slug, {**things, name: value})
                answer = client.open(address, method=operation.method, headers=headers, json=operation.body)
                if answer.status_code not in {308, 405}:  # another address of the service
                    assert_documented(operation, answer, address)
                assert answer.status_code >= 300, f"{operation.method} {address} finds something."


HEADERS = [
    {"If-None-Match": "\u00ff" * 100},
    {"If-None-Match": '"' * 1000},
    {"If-Match": "W/" * 1000},
    {"If-Match": ","},
    {"Idempotency-Key": "\u00ff"},
    {"Accept": "text/html;q=x, */*;q=-1"},
    {"Accept-Encoding": "\u00ff"},
    {"Range": "bytes=5-1,-1"},
    {"If-Modified-Since": "yesterday"},
    {"If-Unmodified-Since": "0"},
    {"Cookie": "a=\u00ff;;;=;" * 100},
    {"Content-Length": "-1"},
    {"Content-Length": "many"},
    {"Content-Type": "application/json; charset=no-such-charset"},
    {"Content-Type": "\u00ff/\u00ff;;=;"},
    {"Host": "evil.example.org:99999999"},
    {"X-Forwarded-For": "x" * 10000},
    {"X-Forwarded-Proto": "javascript"},
    {"Origin": "null"},
    {"Last-Event-ID": "\u00ff" * 1000},
    {"User-Agent": ""},
]


@pytest.mark.parametrize("nonsense", HEADERS, ids=lambda headers: next(iter(headers)))
def test_no_header_makes_the_server_fail(
    app: Flask, library: Library, headers: dict[str, str], nonsense: dict[str, str]
) -> None:
    client = app.test_client()
    for method, path in (
        ("GET", "/books"),
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/service-accounts"),
        ("HEAD", "/books"),
    ):
        answer = client.open(
            f"/api/v1/tenants/{library.slug}{path}", method=method, data=b"{}", headers={**headers, **nonsense}
        )
        assert answer.status_code < 500, (method, path, nonsense, answer.text)
