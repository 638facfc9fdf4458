"""One operation of the document: parameters, body and answers, completed from the marks on its view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import orjson

from app.core.limits import TENANT_LIMITS
from app.core.openapi import problems
from app.core.openapi.examples import EXAMPLE_ID, example_of, in_this_standards_words
from app.core.openapi.headers import LIMIT_HEADERS, referred
from app.core.openapi.marks import Endpoint
from app.core.schemas import json_types
from app.core.spool import LINES

_SLUG = "^[a-z0-9]+(-[a-z0-9]+)*$"
_JSON = "application/json"
_TENANT: dict[str, Any] = {
    "description": "The tenant, by its short name.",
    "schema": {"type": "string", "pattern": _SLUG, "minLength": 2, "maxLength": 63},
    "example": "demo",
}

_Part = dict[str, Any]


def complete(operation: _Part, endpoint: Endpoint, components: _Part, *, in_path: Iterable[_Part]) -> None:
    """Add what the marks tell, and examples, to what flask-smorest has found; `in_path` are the path's parameters."""
    operation["operationId"] = endpoint.name
    operation.setdefault("security", _security(endpoint))
    operation["x-rate-limits"] = [limit.value for limit in endpoint.limits]
    operation["description"] = "\n\n".join(filter(None, [operation.get("description", ""), *_rules(endpoint)]))
    operation["parameters"] = list(_parameters(operation, endpoint, in_path))
    if "requestBody" in operation:
        _complete_body(operation["requestBody"], endpoint, components)
    operation["responses"] = dict(sorted(_answers(operation, endpoint, components).items()))


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    """Either credential, with the permission it takes in the place that OpenAPI 3.1 has for it; or perhaps none."""
    if endpoint.access.is_public:
        return []
    permission = endpoint.access.permission
    taken = [permission.value] if permission else []
    nothing: list[dict[str, list[str]]] = [{}] if endpoint.access.opened_by else []
    return [{"bearer": taken}, {"apiKey": taken}, *nothing]


def _rules(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.access.permission:
        yield f"Takes the permission `{endpoint.access.permission}`."
    if endpoint.access.opened_by:
        yield f"Where the tenant has set `{endpoint.access.opened_by}`, strangers may call it as well."
    whole = "address" if endpoint.access.is_public else "tenant"
    counted = [f"`{limit}` (per {whole if limit in TENANT_LIMITS else 'caller'})" for limit in endpoint.limits]
    if counted:
        yield f"Counts against {' and '.join(counted)}."
    elif endpoint.is_guarded:
        yield "Counts against no limit."


# — what is sent ———————————————————————————————————————————————————————————————————————————————————


def _parameters(operation: _Part, endpoint: Endpoint, in_path: Iterable[_Part]) -> Iterator[_Part]:
    by_name = {each["name"]: each for each in in_path}
    yield from (_path_parameter(by_name[name]) for name in endpoint.path_parameters)
    if endpoint.is_idempotent:
        what = "Any text of your own, up to 255 characters: repeating the request with it gives the first answer again."
        if not endpoint.keeps_answer:
            what = (
                "Any text of your own, up to 255 characters. Nothing is kept under it: a repeated request is a new one."
            )
        yield _header("Idempotency-Key", what, "5e1f0a52-order-4711", pattern="^[ -~]{1,255}$")
    if endpoint.is_conditional:
        yield _header("If-Match", "Change the object only if it still has this `ETag`.", '"5f3c9a7e1b2d4c6f8a0b1c2d"')
    if _may_be_spared(operation, endpoint):
        what = "Answer only if it is no longer the one with this `ETag`; else 304."
        yield _header("If-None-Match", what, '"5f3c9a7e1b2d4c6f8a0b1c2d"')
    for parameter in operation.get("parameters", []):
        yield _query_parameter(parameter) if parameter["in"] == "query" else parameter


def _path_parameter(found: _Part) -> _Part:
    """One of a path: the tenant, the id of something, or what its domain says of it at the route."""
    name, told = found["name"], _TENANT if found["name"] == "slug" else {}
    if name.endswith("_id"):
        what = name.removesuffix("_id").replace("_", " ")
        schema = {"type": "string", "format": "uuid"}
        told = {"description": f"The id of the {what}.", "schema": schema, "example": EXAMPLE_ID}
    return {**found, **told}


def _header(name: str, description: str, example: str, **schema: Any) -> _Part:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def _query_parameter(found: _Part) -> _Part:
    """One of a query, whose example stands beside its schema."""
    parameter = {name: part for name, part in found.items() if name != "allowEmptyValue"}
    schema = in_this_standards_words(parameter["schema"])
    if schema.get("type") == "array":
        # Written as the text of a query, which is no array.
        schema.pop("default", None)
    if parameter["name"] == "sort":
        parameter.setdefault("description", "What to sort by; with a hyphen before it, the greatest or latest first.")
    parameter["example"] = example_of(schema, {})
    schema.pop("examples", None)
    return {**parameter, "schema": schema}


def _complete_body(body: _Part, endpoint: Endpoint, components: _Part) -> None:
    content = body["content"][_JSON]
    body["required"] = True
    _add_example(content, components)
    body["content"] = dict.fromkeys(sorted(json_types(endpoint.method)), content)
    if endpoint.takes_lines:
        body["content"][LINES] = _lines(content)


def _lines(content: _Part) -> _Part:
    """Of a body in JSON that has a list of items, the same as lines."""
    [items] = content["example"].values()
    told = "An item a line, as in the body of JSON, without an end to their number."
    return {
        "schema": {"type": "string", "description": told},
        "example": "".join(f"{orjson.dumps(item).decode()}\n" for item in items),
    }


# — what is answered ———————————————————————————————————————————————————————————————————————————————


def _may_be_spared(operation: _Part, endpoint: Endpoint) -> bool:
    """True where a client may say which answer it has already."""
    return endpoint.may_be_kept and "200" in operation["responses"]


def _answers(operation: _Part, endpoint: Endpoint, components: _Part) -> _Part:
    answers = {
        status: answer
        for status, answer in operation["responses"].items()
        # Without flask-smorest's own references to errors it would have described.
        if status != "default" and "$ref" not in answer
    }
    if _may_be_spared(operation, endpoint):
        answers["304"] = {"description": "The client has this answer already."}
    for status, answer in answers.items():
        _complete_answer(answer, int(status), endpoint, components)
    for code, errors in problems.refusals(endpoint, takes_body="requestBody" in operation).items():
        components["examples"].update({error.code: problems.example(error) for error in errors})
        answers[str(code)] = problems.answer(code, errors, endpoint)
    return answers


def _complete_answer(answer: _Part, status: int, endpoint: Endpoint, components: _Part) -> None:
    if status == HTTPStatus.NO_CONTENT and answer["description"] == HTTPStatus.NO_CONTENT.phrase:
        answer["description"] = "It is done, and there is nothing to show."
    for content in answer.get("content", {}).values():
        _add_example(content, components)
        described = components["schemas"].get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
        if answer["description"] == HTTPStatus(status).phrase and "description" in described:
            answer["description"] = described["description"]
    answer["headers"] = {**referred(*_headers_of(status, endpoint)), **answer.get("headers", {})}


def _headers_of(status: int, endpoint: Endpoint) -> Iterator[str]:
    yield "X-Request-ID"
    if (status in {200, 304} and endpoint.may_be_kept) or (status == HTTPStatus.OK and endpoint.tells_new_etag):
        yield "ETag"
    if status in {201, 301, 302} or (status == HTTPStatus.ACCEPTED and not endpoint.access.is_public):
        # What a stranger is promised by mail can't be asked for.
        yield "Location"
    if status in {200, 201, 202} and endpoint.keeps_answer:
        yield "Idempotent-Replayed"
    if endpoint.limits:
        yield from LIMIT_HEADERS


def _add_example(content: _Part, components: _Part) -> None:
    if "schema" in content and "example" not in content and "examples" not in content:
        content["example"] = example_of(content["schema"], components["schemas"])
