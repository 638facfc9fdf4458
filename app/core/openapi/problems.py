"""What an operation refuses: by status, with every `code` and an example of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

from app.core.errors import (
    MOST_FIELD_ERRORS,
    BadRequest,
    BodyTooLarge,
    Busy,
    DatabaseUnavailable,
    DomainError,
    Forbidden,
    InternalError,
    Invalid,
    InvalidJson,
    NotFound,
    PreconditionFailed,
    QuestionTooSlow,
    RequestTimeout,
    Unauthenticated,
    UnsupportedMediaType,
)
from app.core.idempotency import IdempotencyInProgress, IdempotencyKeyReused
from app.core.limits import CLOSED_WITHOUT_REDIS, LimitUnavailable, RateLimited
from app.core.openapi.headers import LIMIT_HEADERS, limits_if_counted, referred
from app.core.openapi.marks import Endpoint

_FIELD_ERROR = {
    "type": "object",
    "required": ["field", "message"],
    "properties": {
        "field": {"type": "string", "description": "A path, like `books.0.isbn`.", "examples": ["name"]},
        "message": {
            "type": "string",
            "description": "What is wrong with it, for people.",
            "examples": ["Missing data for required field."],
        },
    },
    "additionalProperties": False,
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An error, after RFC 9457. Programs go by `code`, which never changes; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "Where the code is explained.",
            "examples": ["/docs/errors#not_found"],
        },
        "title": {"type": "string", "description": "The status, in words.", "examples": ["Not Found"]},
        "status": {"type": "integer", "description": "The status of the answer.", "examples": [404]},
        "detail": {"type": "string", "description": "What to do about it.", "examples": ["There is no such book."]},
        "code": {"type": "string", "description": "Never changes; for programs.", "examples": ["not_found"]},
        "request_id": {
            "type": "string",
            "description": "Names the request in every log; as in `X-Request-ID`.",
            "examples": ["7c1d9be04f6a4e0f8a2b3c4d5e6f7081"],  # pragma: allowlist secret
        },
        "errors": {
            "type": "array",
            "description": f"The fields at fault, where it is fields; the first {MOST_FIELD_ERRORS} of them.",
            "items": _FIELD_ERROR,
            "maxItems": MOST_FIELD_ERRORS,
            "examples": [[{"field": "name", "message": "Missing data for required field."}]],
        },
    },
}
# Some of these are settled before the limits are counted, or where they can't be.
_PERHAPS_UNCOUNTED = {400, 401, 403, 404, 408, 413, 500, 503}


def refusals(endpoint: Endpoint, *, takes_body: bool) -> dict[int, list[type[DomainError]]]:
    """Every error an endpoint can give, by status."""
    found: dict[int, list[type[DomainError]]] = defaultdict(list)
    for error in dict.fromkeys([*_from_marks(endpoint, takes_body=takes_body), *endpoint.errors]):
        found[int(error.status)].append(error)
    return found


def _from_marks(endpoint: Endpoint, *, takes_body: bool) -> Iterator[type[DomainError]]:
    yield from (BadRequest, InternalError)
    if endpoint.is_guarded:
        yield from _from_guards(endpoint)
    if endpoint.limits:
        yield RateLimited
    if CLOSED_WITHOUT_REDIS & set(endpoint.limits):
        yield LimitUnavailable
    if endpoint.method != "GET":
        # A body is taken in before it is known what it is for.
        yield from (RequestTimeout, BodyTooLarge, Busy)
    if takes_body:
        yield from (InvalidJson, UnsupportedMediaType)
    if endpoint.keeps_answer:
        yield from (IdempotencyInProgress, IdempotencyKeyReused)
    if endpoint.is_conditional:
        yield PreconditionFailed


def _from_guards(endpoint: Endpoint) -> Iterator[type[DomainError]]:
    # A query or a body that nobody would read is refused as well.
    yield from (Invalid, DatabaseUnavailable, QuestionTooSlow)
    if endpoint.rule.arguments:
        yield NotFound
    if not endpoint.access.is_public:
        yield Unauthenticated
    if endpoint.access.permission:
        yield Forbidden


def answer(status: int, errors: Iterable[type[DomainError]], endpoint: Endpoint) -> dict[str, Any]:
    """The description of a refusal, for the answers of an operation."""
    kinds = {error.code: error for error in errors}
    members: dict[str, Any] = {}
    for error in kinds.values():
        members.update(error.member_schemas)
    return {
        "description": _told(kinds),
        "headers": _headers(status, endpoint),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/Problem"}],
                    "properties": {"status": {"const": status}, "code": {"enum": list(kinds)}, **members},
                    "unevaluatedProperties": False,
                },
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in kinds},
            }
        },
    }


def example(error: type[DomainError]) -> dict[str, Any]:
    """What a problem with this code looks like."""
    shown = {
        "type": f"/docs/errors#{error.code}",
        "title": error.status.phrase,
        "status": int(error.status),
        "detail": meaning(error),
        "code": error.code,
        "request_id": PROBLEM["properties"]["request_id"]["examples"][0],
        **{name: part["examples"][0] for name, part in error.member_schemas.items()},
    }
    if issubclass(error, Invalid):
        shown["errors"] = PROBLEM["properties"]["errors"]["examples"][0]
    return {"summary": meaning(error), "value": shown}


def meaning(error: type[DomainError]) -> str:
    """An error in one line: its class's."""
    return cleandoc(error.__doc__ or "").partition("\n")[0]


def _told(kinds: dict[str, type[DomainError]]) -> str:
    if len(kinds) == 1:
        return meaning(*kinds.values())
    return "\n".join(f"- `{code}`: {meaning(error)}" for code, error in kinds.items())


def _headers(status: int, endpoint: Endpoint) -> dict[str, Any]:
    names = ["X-Request-ID"]
    if status == Unauthenticated.status:
        names.append("WWW-Authenticate")
    if status in {RateLimited.status, DatabaseUnavailable.status}:
        names.append("Retry-After")
    if not endpoint.limits:
        return referred(*names)
    if status in _PERHAPS_UNCOUNTED:
        return {**referred(*names), **limits_if_counted()}
    return referred(*names, *LIMIT_HEADERS)
