"""Whatever is sent to whichever operation: an answer that the document names, and never a fault of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

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
    b'{"a":' * 200_000,
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


# — below the level of JSON ————————————————————————————————————————————————————————————————————————

# Ways to write a value that no program of ours would write it in.
SPELLINGS = [
    b"-0",
    b"-0.0",
    b"1e400",
    b"-1e400",
    b"1E0",
    b"9" * 400,
    b"-" + b"9" * 400,
    b"0." + b"1" * 400,
    b"01",
    b"+1",
    b"0x10",
    b"NaN",
    b"-Infinity",
    b"True",
    b"'text'",
    b'"tab\there"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\\x00"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": 1}',
    b'{"\\u0000": 1}',
    b'{"": 1}',
    b"[" * 100_000,
    b"[" * 100 + b"]" * 100,
]
PLACE = "\u2042"


def bodies_of(operation: Operation) -> Iterator[tuple[str, bytes]]:
    """Every body that the document shows, in JSON."""
    for body in operation.bodies:
        yield operation.name, orjson.dumps(body)


def test_no_spelling_of_a_value_makes_the_server_fail(
    app: Flask, library: Library, other_library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    client = app.test_client()
    for operation in operations(app):
        slug = other_library.slug if operation.path.endswith("{slug}") else library.slug
        for name in operation.body or ():
            whole = orjson.dumps({**operation.body, name: PLACE})
            for spelling in SPELLINGS:
                body = whole.replace(f'"{PLACE}"'.encode(), spelling)
                answer = client.open(
                    operation.address(slug, things),
                    method=operation.method,
                    data=body,
                    content_type="application/json",
                    headers=headers,
                )
                assert_documented(operation, answer, body)


def test_a_body_that_breaks_off_or_is_written_otherwise_is_no_json(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str]
) -> None:
    client = app.test_client()
    for operation in operations(app):
        for _, body in bodies_of(operation):
            text = body.decode()
            broken = [body[: len(body) * eighths // 8] for eighths in range(8)]
            foreign = [text.encode(codec) for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")]
            rest = [body + body, body + b"\x00", b"\x00" + body, body + b",", b"/* */" + body, b")]}'," + body]
            for each in [*broken, *foreign, *rest]:
                answer = client.open(
                    operation.address(library.slug, things),
                    method=operation.method,
                    data=each,
                    content_type="application/json",
                    headers=headers,
                )
                assert_documented(operation, answer, each)
                assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_json"), (operation.name, each)


QUERIES = [
    "&" * 1000,
    "=",
    "=&=&=1",
    "%",
    "%zz=%zz",
    "%00=1",
    "%ED%A0%80=1",
    "%FF=%FF",
    "?limit=1",
    "limit=1;cursor=2",
    "limit=1&limit=1",
    "limit[]=1",
    "limit=1e400",
    "limit=-0",
    "limit=NaN",
    "limit=%D9%A1",  # a digit, but none of ASCII
    "a=1&" * 5000,
    "a" * 64_000,
    "limit=" + "9" * 64_000,
    "cursor=" + "A" * 64_000,
    "cursor=%00%00",
    "cursor=" + "%F0%9F%93%9A" * 500,
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_no_query_makes_the_server_fail(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str], query: str
) -> None:
    client = app.test_client()
    for operation in operations(app):
        address = f"{operation.address(library.slug, things)}?{query}"
        if not operation.path.endswith("/stream") and operation.method == "GET":
            answer = client.open(address, method=operation.method, headers=headers)
            assert_documented(operation, answer, query)


MUCH = 64 * 1024
LONG_VALUES = ["x" * MUCH, "\u00ff" * MUCH, "," * MUCH, '"' * MUCH, '"x",' * (MUCH // 4), "9" * MUCH, " " * MUCH + "x"]
READ_HEADERS = [
    "Authorization",
    "X-API-Key",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
    "Accept",
    "Accept-Encoding",
    "Origin",
    "Content-Type",
    "Content-Length",
    "Last-Event-ID",
    "Range",
    "Cookie",
]


@pytest.mark.parametrize("name", READ_HEADERS)
def test_no_length_of_a_header_makes_the_server_fail(
    app: Flask, library: Library, things: dict[str, str], headers: dict[str, str], name: str
) -> None:
    client = app.test_client()
    for operation in operations(app):
        if operation.method == "DELETE" or operation.path.endswith("/stream"):
            continue
        for value in LONG_VALUES:
            answer = client.open(
                operation.address(library.slug, things),
                method=operation.method,
                data=orjson.dumps(operation.body) if operation.body else b"",
                headers={"Content-Type": "application/json", **headers, name: value},
            )
            assert_documented(operation, answer, f"{name}: {value[:20]}…")
            assert len(answer.headers["X-Request-ID"]) <= 128


def test_a_host_that_is_none_is_refused_or_left_unread(app: Flask, headers: dict[str, str]) -> None:
    """A refusal comes before any operation, so that the document says nothing of it: asked without our own client."""
    client = Client(app)

    refused = client.get("/api/v1/tenants", headers={**headers, "Host": "x" * MUCH})
    unread = [
        client.get("/api/v1/tenants", headers={**headers, "Host": host}) for host in ("a b", "[::1", "/", "a:port")
    ]

    assert refused.content_type == "application/problem+json"
    assert refused.json is not None
    told = (refused.status_code, refused.json["code"], refused.json["detail"])
    assert told == (400, "bad_request", "The Host header names no host.")
    assert [answer.status_code for answer in unread] == [200] * 4
