"""The OpenAPI document: what flask-smorest reads off the endpoints, completed from their marks.

The marks that the pipeline goes by (permission, limits, idempotency, conditional writes) are the source of what the
document says of security, headers and refusals, so the two can't differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from app.core.security import Access
from app.extensions import api

VERSION = "0.1.0"
_SLUG = "^[a-z0-9]+(-[a-z0-9]+)*$"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An error, after RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/docs/errors#not_found"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "description": "What to do about it."},
        "code": {"type": "string", "description": "Never changes; for programs.", "examples": ["not_found"]},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "examples": ["books.0.isbn"]},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
_REFUSALS = {
    400: "The body is not JSON in UTF-8.",
    401: "The credential is missing or not valid.",
    403: "The role does not allow it.",
    404: "There is no such thing, or not for this caller.",
    409: "The present state forbids it.",
    412: "`If-Match` names another state than the present one.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Some values are not acceptable; `errors` names them.",
    429: "A limit is used up; `Retry-After` says for how long.",
    503: "Something the service stands on is away; `Retry-After` says when to try again.",
}
_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_LOCATION = {"description": "Where the thing is.", "schema": {"type": "string", "format": "uri-reference"}}
_EXAMPLE_ID = "0199d2f4-7c1a-7e3b-9a64-3f1f2b8c5d10"
_EXAMPLES_IN_PATHS = {"isbn": "9780261103573", "barcode": "31234000012345"}


def init_app(app: Flask) -> None:
    """Bind flask-smorest; the document itself is served by the `health` domain, outside of `/api/v1`."""
    app.config.update(
        API_TITLE="Library API",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
        API_SPEC_OPTIONS={
            "info": {
                "description": "Multi-tenant library service: catalogues that fill themselves from Open Library.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}, {"apiKey": []}],
        },
    )
    api.ERROR_SCHEMA = None
    api.init_app(app)


def document(app: Flask) -> dict[str, Any]:
    """The whole document; made once, for the endpoints do not change while the app runs."""
    if "openapi" not in app.extensions:
        app.extensions["openapi"] = _complete(app, deepcopy(api.spec.to_dict()))
    made: dict[str, Any] = app.extensions["openapi"]
    return made


def _complete(app: Flask, found: dict[str, Any]) -> dict[str, Any]:
    found["info"]["version"] = VERSION
    components = found.setdefault("components", {})
    components["responses"] = {}
    components["schemas"]["Problem"] = PROBLEM
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A service account's key, `lib_…`."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for rule in app.url_map.iter_rules():
        path = found["paths"].get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for method in sorted(_METHODS & set(rule.methods or ())):
            if path and method.lower() in path:
                _complete_operation(path[method.lower()], method, rule, app.view_functions[rule.endpoint])
    _speak_ecmascript(found)
    found["paths"] = {
        path: operations
        for path, operations in found["paths"].items()
        if not any("hidden" in operation for operation in operations.values() if isinstance(operation, dict))
    }
    for path in found["paths"].values():
        # They stand at each operation, where generators of clients look for them.
        path.pop("parameters", None)
    return found


def _speak_ecmascript(part: Any) -> None:
    r"""Write the end of a pattern as JSON Schema does; Python's `$` would let a newline pass, so the code has `\Z`."""
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].replace("\\Z", "$")
        for below in part.values():
            _speak_ecmascript(below)
    elif isinstance(part, list):
        for below in part:
            _speak_ecmascript(below)


def _complete_operation(operation: dict[str, Any], method: str, rule: Rule, view: Callable[..., Any]) -> None:
    access: Access = view.access  # type: ignore[attr-defined]  # a test sees to it that every view has one
    operation["operationId"] = rule.endpoint.partition(".")[2]
    if access.is_public:
        operation["security"] = []
    if access.permission:
        told = [operation.get("description", ""), f"Takes the permission `{access.permission}`."]
        operation["description"] = "\n\n".join(filter(None, told))
    in_query = [each for each in operation.get("parameters", []) if each["in"] == "query"]
    for parameter in in_query:
        # Booleans and lists read as they are written in a query.
        parameter.pop("allowEmptyValue", None)
        if parameter["schema"].get("type") == "array":
            # Written as the text of a query, which is no array.
            parameter["schema"].pop("default", None)
    operation["parameters"] = [*_path_parameters(rule), *_header_parameters(method, view), *in_query]
    operation["responses"] = dict(sorted(_answers(operation, method, rule, view).items()))


def _answers(operation: dict[str, Any], method: str, rule: Rule, view: Callable[..., Any]) -> dict[str, Any]:
    answers = {
        status: answer
        for status, answer in operation["responses"].items()
        # Without flask-smorest's own references to errors it would have described.
        if status != "default" and "$ref" not in answer
    }
    for status in {"201", "202"} & answers.keys():
        answers[status]["headers"] = {"Location": _LOCATION}
    if any(each["name"] == "If-None-Match" for each in operation["parameters"]):
        answers["304"] = {"description": "The client has this answer already."}
    for refusal in _refusals(operation, method, rule, view):
        answers.setdefault(str(refusal), {"description": _REFUSALS[refusal]})
    for status, answer in answers.items():
        if status >= "400":
            answer.setdefault("content", _PROBLEM_CONTENT)
    return answers


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(?:\w+:)?(\w+)>", rule.rule):
        if name == "slug":
            yield _path_parameter(name, "The tenant.", pattern=_SLUG, minLength=2, maxLength=63, examples=["demo"])
        elif name.endswith("_id"):
            what = name.removesuffix("_id").replace("_", " ")
            yield _path_parameter(name, f"The {what}.", format="uuid", examples=[_EXAMPLE_ID])
        else:
            yield _path_parameter(name, f"The {name}.", examples=[_EXAMPLES_IN_PATHS.get(name, "1")])


def _path_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _header_parameters(method: str, view: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    if getattr(view, "is_idempotent", False):
        yield _header("Idempotency-Key", "Repeating the request with the same key gives the first answer again.")
    if getattr(view, "is_conditional", False):
        yield _header("If-Match", "Only if the object still has this `ETag`.")
    if method == "GET" and not view.access.is_public:  # type: ignore[attr-defined]  # as above
        yield _header("If-None-Match", "Only if the answer is no longer the one with this `ETag`.")


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _refusals(operation: dict[str, Any], method: str, rule: Rule, view: Callable[..., Any]) -> Iterator[int]:
    access: Access = view.access  # type: ignore[attr-defined]  # as above
    if access.is_public:
        # What else a public operation refuses, it says itself.
        yield from (int(status) for status in operation["responses"] if status in {"401", "404"})
    else:
        yield from (401, 429, 503)
    if access.permission:
        yield 403
    if rule.arguments and not access.is_public:
        yield 404
    if "requestBody" in operation:
        yield from (400, 413, 415, 422)
    if any(each["in"] == "query" or each["name"] == "Idempotency-Key" for each in operation["parameters"]):
        yield 422
    if method != "GET":
        yield 409
    if getattr(view, "is_conditional", False):
        yield 412
