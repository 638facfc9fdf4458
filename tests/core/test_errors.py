"""Errors: one shape for all, nothing of the inside in any."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Flask, Response
from marshmallow import fields
from sqlalchemy import text
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app
from werkzeug.wrappers import Request

from app.core.blueprint import Blueprint
from app.core.database import Question, transaction
from app.core.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
    Unavailable,
    field_errors,
)
from app.core.schemas import StrictSchema, Text, WholeNumber, json_response
from app.core.security import public
from tests.conftest import Library
from tests.core.conftest import LogLines

INSIDES = ("Traceback", "RuntimeError", "sqlalchemy", "psycopg2", "app/core", "a secret of the inside")


class LineSchema(StrictSchema):
    """One line of a body."""

    isbn = Text(max_length=13, required=True)
    copies = WholeNumber(minimum=0, maximum=99)


class BodySchema(StrictSchema):
    """A body with lines."""

    lines = fields.List(fields.Nested(LineSchema), required=True)


def answer_to(app: Flask, view: Callable[..., Any], **options: Any) -> TestResponse:
    app.add_url_rule("/probe", "probe", public(view), methods=["GET", "POST"])
    return app.test_client().open("/probe", **options)


def assert_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.get_json(force=True)
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    assert body["type"] == f"/docs/errors#{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert not [inside for inside in INSIDES if inside in answer.text]
    return body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Conflict("There is one already."), 409, "conflict"),
        (NotFound("There is no such thing."), 404, "not_found"),
        (Forbidden("Not for you."), 403, "forbidden"),
        (PreconditionFailed("Changed since."), 412, "precondition_failed"),
        (Unavailable("Down.", retry_after_seconds=7), 503, "unavailable"),
        (Unauthenticated("Who are you?"), 401, "unauthenticated"),
        (Invalid.field("name", "Must not be blank."), 422, "invalid_input"),
    ],
)
def test_a_domain_error_is_a_problem(app: Flask, error: DomainError, status: int, code: str) -> None:
    def view() -> Response:
        raise error

    body = assert_problem(answer_to(app, view), status, code)

    assert body["detail"] == error.detail


def test_a_domain_error_brings_its_headers_fields_and_members(app: Flask) -> None:
    def view() -> Response:
        raise Conflict("Taken.", errors=[{"field": "a", "message": "b"}], headers={"Retry-After": "9"}, holder="x")

    answer = answer_to(app, view)

    body = assert_problem(answer, 409, "conflict")
    assert body["errors"] == [{"field": "a", "message": "b"}]
    assert body["holder"] == "x"
    assert answer.headers["Retry-After"] == "9"


def test_an_unexpected_error_says_nothing_of_the_inside_and_is_logged(app: Flask, log_lines: LogLines) -> None:
    def view() -> Response:
        raise RuntimeError("a secret of the inside")

    answer = answer_to(app, view)

    body = assert_problem(answer, 500, "internal_error")
    [line] = log_lines.all("request.failed")
    assert line["request_id"] == body["request_id"]
    assert "a secret of the inside" in line["exception"]


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT no_such_function()", "INSERT INTO nothing VALUES (1)"])
def test_a_refused_statement_is_an_unexpected_error(app: Flask, statement: str) -> None:
    def view() -> Response:
        with transaction() as session:
            session.execute(text(statement))
        return json_response({})

    assert_problem(answer_to(app, view), 500, "internal_error")


def test_a_refused_question_is_an_unexpected_error(app: Flask) -> None:
    def view() -> Response:
        return json_response(Question(text("SELECT 1/0")).all())

    assert_problem(answer_to(app, view), 500, "internal_error")


def test_an_unknown_address_is_a_problem(app: Flask) -> None:
    assert_problem(app.test_client().get("/api/v1/no/such/address"), 404, "not_found")


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(app: Flask) -> None:
    answer = app.test_client().put("/api/v1/tenants")

    assert_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


def test_a_missing_credential_is_a_problem_with_a_challenge(app: Flask) -> None:
    answer = app.test_client().get("/api/v1/tenants")

    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_body_that_is_not_json_is_refused(library: Library) -> None:
    answer = library.call("POST", "/service-accounts", role="admin", data="{not json", content_type="application/json")

    assert_problem(answer, 400, "invalid_json")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", None])
def test_a_body_of_another_type_is_refused(library: Library, content_type: str | None) -> None:
    answer = library.call("POST", "/service-accounts", role="admin", data="{}", content_type=content_type)

    assert_problem(answer, 415, "unsupported_media_type")


class EndlessBody(io.RawIOBase):
    """A body that never ends, and how much of it was read."""

    given = 0

    def readable(self) -> bool:
        """True: it is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer."""
        buffer[:] = b"[" * len(buffer)
        self.given += len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("declared", "most_read"),
    # Without a length, as with `Transfer-Encoding: chunked`, the server says when the stream is over.
    [({"CONTENT_LENGTH": str(16 * 1024 * 1024 + 1)}, 0), ({"wsgi.input_terminated": True}, 17 * 1024 * 1024)],
    ids=["declared", "streamed"],
)
def test_a_body_that_is_too_large_is_refused(library: Library, declared: dict[str, Any], most_read: int) -> None:
    body = EndlessBody()
    address = f"/api/v1/tenants/{library.slug}/service-accounts"
    headers = [("Authorization", f"Bearer {library.key('admin')}"), ("Content-Type", "application/json")]
    environ = EnvironBuilder(address, method="POST", headers=headers).get_environ()
    environ.pop("CONTENT_LENGTH", None)

    content, status, answer_headers = run_wsgi_app(library.app, {**environ, **declared, "wsgi.input": body})

    answer = TestResponse(content, status, answer_headers, Request(environ))
    assert_problem(answer, 413, "body_too_large")
    assert body.given <= most_read


class BrokenBody(io.RawIOBase):
    """A body that the server can't read: an error of the server's own."""

    def read(self, size: int = -1) -> bytes:
        """Fail."""
        raise ArithmeticError(size)


@pytest.mark.parametrize(
    "given",
    [
        {"wsgi.input": partial(io.BytesIO, b"{}"), "CONTENT_LENGTH": "3", "wsgi.input_terminated": True},
        {"wsgi.input": partial(io.BytesIO, b"{}"), "CONTENT_LENGTH": "3"},
        {"wsgi.input": BrokenBody, "wsgi.input_terminated": True},
    ],
    ids=["cut off", "cut off, and left to the application", "broken"],
)
@pytest.mark.parametrize("address", ["/service-accounts", "/ingestion/jobs"])
def test_a_body_that_has_not_come_in_whole_is_refused(library: Library, given: dict[str, Any], address: str) -> None:
    key = library.key("admin")
    headers = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json"), ("Idempotency-Key", "once")]
    environ = EnvironBuilder(f"/api/v1/tenants/{library.slug}{address}", method="POST", headers=headers).get_environ()
    environ.pop("CONTENT_LENGTH", None)

    content, status, answer_headers = run_wsgi_app(
        library.app, {**environ, **given, "wsgi.input": given["wsgi.input"]()}
    )

    assert_problem(TestResponse(content, status, answer_headers, Request(environ)), 400, "bad_request")


def test_a_faulty_field_is_named_by_its_path(app: Flask) -> None:
    blueprint = Blueprint("probes", __name__, description="", url_prefix=None)

    @blueprint.post("/lines")
    @public
    @blueprint.arguments(BodySchema)
    @blueprint.response(200)
    def probe(body: dict[str, Any]) -> Response:
        return json_response(body)

    app.register_blueprint(blueprint)
    body = {"lines": [{"isbn": "1"}, {"isbn": "", "copies": 100}, {"copies": "1", "colour": "red"}], "more": 1}
    answer = app.test_client().post("/lines", json=body)

    problem = assert_problem(answer, 422, "invalid_input")
    assert sorted(error["field"] for error in problem["errors"]) == [
        "lines.1.copies",
        "lines.1.isbn",
        "lines.2.colour",
        "lines.2.copies",
        "lines.2.isbn",
        "more",
    ]


def test_messages_about_a_whole_body_name_the_body() -> None:
    assert list(field_errors({"_schema": ["Invalid input type."]})) == [
        {"field": "body", "message": "Invalid input type."}
    ]
    assert list(field_errors({"books": {0: {"_schema": ["Give one of both."]}}})) == [
        {"field": "books.0", "message": "Give one of both."}
    ]


def test_refusals_are_not_kept_by_caches_on_the_way(app: Flask) -> None:
    assert app.test_client().get("/nowhere").headers["Cache-Control"] == "no-store"
