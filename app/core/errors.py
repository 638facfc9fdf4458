"""Errors: what services raise, and the one shape in which clients see them (RFC 9457, problem+json).

A service raises a subclass of `DomainError` with a status and a `code` that never change and a text for whoever has to
act. Three handlers turn everything, Flask's own refusals included, into the same shape.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, ClassVar, TypedDict, TypeVar

import orjson
from flask import Flask, Response, g
from psycopg2 import errors as pg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import BadHost, HTTPException

log = logging.getLogger(__name__)

_View = TypeVar("_View", bound=Callable[..., Any])
RETRY_AFTER_SECONDS = 5
MAX_BODY_BYTES = 16 * 1024 * 1024
MOST_FIELD_ERRORS = 100
# Longer than any name of ours: clients invent others, of any length.
_LONGEST_NAME = 100


class FieldError(TypedDict):
    """What is wrong with one field; `field` is a path like `books.0.isbn`."""

    field: str
    message: str


class DomainError(Exception):
    """A refusal that the caller can act on.

    Subclasses set `status` and `code`; the text of an instance becomes the problem's `detail`. The first line of the
    class's docstring is what the OpenAPI document says of its code, to the client's developer.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.CONFLICT
    code: ClassVar[str] = "conflict"
    # What its problems have beside the members of every problem, as schemas with an example each.
    member_schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Take the text, the faulty fields, extra headers and further members of the problem."""
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.members = members


class Conflict(DomainError):
    """The present state forbids it."""


class NotFound(DomainError):
    """There is no such thing, or not for this caller."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class Unauthenticated(DomainError):
    """The credential is missing or not valid."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"

    def __init__(self, detail: str) -> None:
        """Add the challenge that RFC 9110 asks for."""
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="library"'})


class Forbidden(DomainError):
    """The role of this credential does not allow it."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class Invalid(DomainError):
    """Some values are not acceptable; `errors` names them."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid_input"

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        """One faulty field."""
        return cls("Some values are not acceptable; see `errors`.", errors=[{"field": field, "message": message}])


class PreconditionFailed(DomainError):
    """`If-Match` names another state than the present one."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class Unavailable(DomainError):
    """A dependency is down; trying again later helps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> None:
        """Say after how many whole seconds to try again."""
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after_seconds))})


class BadRequest(DomainError):
    """The request is malformed in a way that HTTP itself forbids."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class InvalidJson(BadRequest):
    """The body is not JSON in UTF-8, or has a key twice."""

    code = "invalid_json"


class MethodNotAllowed(DomainError):
    """The address exists, but not for this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"


class BodyTooLarge(DomainError):
    """A body has at most 16 MiB; lines (NDJSON), where they are taken, have no such limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"

    def __init__(self) -> None:
        """Say what a body may have."""
        super().__init__(f"A body has at most {MAX_BODY_BYTES} bytes.")


class UnsupportedMediaType(DomainError):
    """The body is not declared as JSON in UTF-8, or is compressed."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class InternalError(DomainError):
    """Something went wrong on our side; quote the `request_id` when you report it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"

    def __init__(self) -> None:
        """Say what may help."""
        super().__init__("Something went wrong on our side. Quote the request_id when you report it.")


class RequestTimeout(DomainError):
    """The body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_timeout"

    def __init__(self) -> None:
        """Say so, and that nothing more will be read."""
        super().__init__("The request's body did not arrive in time.", headers={"Connection": "close"})


class Busy(Unavailable):
    """Too many large bodies are on their way in, or too many want to change the same at once."""

    code = "busy"

    def __init__(
        self, detail: str = "Too many large bodies are on their way in at the moment; try again shortly."
    ) -> None:
        """Say so, with the pause after which a try is worth it."""
        super().__init__(detail)


def raises(*errors: type[DomainError]) -> Callable[[_View], _View]:
    """Mark a view with the errors it gives for reasons of its own, beside those that its other marks bring."""

    def mark(view: _View) -> _View:
        view.errors = errors  # type: ignore[attr-defined]  # functions carry attributes; wraps() hands them on
        return view

    return mark


# What Werkzeug and webargs refuse by themselves.
_CODES = {
    int(kind.status): kind.code
    for kind in (BadRequest, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, Invalid)
}
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address has other methods; the header Allow lists them.",
    422: "Some values are not acceptable; see `errors`.",
}


def problem_members(status: int, code: str, detail: str, request_id: str | None) -> dict[str, Any]:
    """What every problem has: the members of RFC 9457, `code` and `request_id`."""
    return {
        "type": f"/docs/errors#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """The one error answer: problem+json with `code` and `request_id` beside the fields of RFC 9457."""
    body = problem_members(status, code, detail, g.get("request_id")) | dict(members or {})
    if errors:
        body["errors"] = errors[:MOST_FIELD_ERRORS]
    g.error_code = code
    return Response(
        orjson.dumps(body), status, content_type="application/problem+json", headers=list((headers or {}).items())
    )


def init_app(app: Flask) -> None:
    """Register the handlers; the only places where an exception becomes an answer."""
    app.register_error_handler(DomainError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeoutError, _database_busy)
    app.register_error_handler(Exception, _unexpected_error)


def field_errors(messages: Any, path: tuple[str, ...] = ()) -> Iterator[FieldError]:
    """Flatten marshmallow's nested messages: `{"books": {0: {"isbn": ["bad"]}}}` becomes `books.0.isbn`."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from field_errors(below, path if key == "_schema" else (*path, str(key)[:_LONGEST_NAME]))
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield {"field": ".".join(path) if path else "body", "message": str(message)}


def _domain_error(error: DomainError) -> Response:
    return problem(
        error.status, error.code, error.detail, errors=error.errors, headers=error.headers, members=error.members
    )


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect raised by routing  # noqa: PLR2004
        return Response(response=error.get_response().response, status=status, headers=error.get_response().headers)
    # webargs puts the messages of a refused schema here, under the part of the request they speak of.
    messages = getattr(error, "data", {}).get("messages", {})
    faults = (fault for part in messages.values() for fault in field_errors(part)) if status == 422 else ()  # noqa: PLR2004
    errors = list(islice(faults, MOST_FIELD_ERRORS))
    kept = {name: value for name, value in error.get_response().headers if name in {"Allow", "Retry-After", "Location"}}
    if isinstance(error, BadHost):
        detail = "The Host header names no host."
    else:
        detail = _DETAILS.get(status) or error.description or HTTPStatus(status).phrase
    return problem(status, _CODES.get(status, "http_error"), detail, errors=errors, headers=kept)


def database_is_away(error: DBAPIError) -> bool:
    """True where PostgreSQL, rather than the statement, is at fault; the driver has several classes for that."""
    return isinstance(error, OperationalError) or error.connection_invalidated


def _database_error(error: DBAPIError) -> Response:
    if isinstance(error.orig, pg.QueryCanceled):
        log.warning("database.statement_timeout")
        return _domain_error(QuestionTooSlow())
    if isinstance(error.orig, pg.DeadlockDetected):
        log.warning("database.deadlock")
        return _domain_error(Collided())
    if database_is_away(error):
        log.warning("database.unavailable", extra={"error": type(error.orig).__name__})
        return _domain_error(DatabaseUnavailable())
    return _unexpected_error(error)


def _database_busy(_: PoolTimeoutError) -> Response:
    log.warning("database.pool_exhausted")
    return _domain_error(DatabaseUnavailable())


def _unexpected_error(error: Exception) -> Response:
    log.error("request.failed", exc_info=error)
    return _domain_error(InternalError())


class DatabaseUnavailable(Unavailable):
    """The database does not answer; nothing was changed."""

    code = "database_unavailable"

    def __init__(self) -> None:
        """Say so, with the pause after which a try is worth it."""
        super().__init__("The database does not answer at the moment; try again shortly.")


class Collided(Busy):
    """Two changes waited for each other, and PostgreSQL let the other one go first."""

    def __init__(self) -> None:
        """Say that nothing has happened."""
        super().__init__("Somebody else changed the same at the same time. Nothing was done; try again.")


class QuestionTooSlow(Unavailable):
    """The database took too long; ask for less at once, or try again later."""

    code = "database_too_slow"

    def __init__(self) -> None:
        """Say what may help."""
        super().__init__("The database took too long; ask for less at once, or try again shortly.")
