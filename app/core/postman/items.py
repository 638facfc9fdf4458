"""One request of the collection: its address, headers and body, what is said of it, and the answer it brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from app.core.postman.examples import example_of, required_headers
from app.core.postman.plan import NOBODY, Plan, Step
from app.core.postman.scripts import script_after, script_before

_JSON = "application/json"


def item_of(document: Mapping[str, Any], plan: Plan, step: Step) -> dict[str, Any]:
    """The request of a step, with its scripts and its example answers."""
    request = _request(document, plan, step)
    before = script_before(step)
    item: dict[str, Any] = {
        "name": step.name,
        "event": [
            *([_event("prerequest", before)] if before else []),
            _event("test", script_after(document, step)),
        ],
        "request": request,
        "response": [_saved(document, request, step, status, code) for status, code in _answers(plan, step)],
    }
    if HTTPStatus.MULTIPLE_CHOICES <= step.status < HTTPStatus.BAD_REQUEST:
        # The redirect itself is what the client is to see.
        item["protocolProfileBehavior"] = {"followRedirects": False}
    return item


def _event(listen: str, lines: list[str]) -> dict[str, Any]:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": lines}}


def _request(document: Mapping[str, Any], plan: Plan, step: Step) -> dict[str, Any]:
    operation = step.operation
    request: dict[str, Any] = {
        "method": operation.method,
        "header": list(_headers(step)),
        "url": _url(document, plan, step),
        "description": operation.described.get("description", ""),
    }
    if step.caller == NOBODY or (not step.caller and operation.described.get("security") == []):
        request["auth"] = {"type": "noauth"}
    elif step.caller:
        token = {"key": "token", "value": "{{" + step.caller + "}}", "type": "string"}
        request["auth"] = {"type": "bearer", "bearer": [token]}
    if "requestBody" in operation.described:
        request["body"] = {
            "mode": "raw",
            "raw": _body(document, step),
            "options": {"raw": {"language": "json"}},
        }
    return request


def _url(document: Mapping[str, Any], plan: Plan, step: Step) -> dict[str, Any]:
    path = step.operation.path.strip("/")
    for name, text in plan.variables_in_path(step):
        path = path.replace("{" + name + "}", text)
    query = [pair for each in step.operation.parameters("query") for pair in _pairs(document, step, each)]
    asked = "&".join(f"{pair['key']}={pair['value']}" for pair in query if not pair.get("disabled"))
    return {
        "raw": "{{base_url}}/" + path + (f"?{asked}" if asked else ""),
        "host": ["{{base_url}}"],
        "path": path.split("/"),
        **({"query": query} if query else {}),
    }


def _pairs(document: Mapping[str, Any], step: Step, parameter: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A parameter of the query as often as it is given; one that is not given waits, switched off, to be tried."""
    name = parameter["name"]
    about = {"description": parameter.get("description", "")}
    if name not in step.query:
        example = example_of(document, parameter)
        yield {"key": name, "value": "" if example is None else _written(example), **about, "disabled": True}
        return
    given = step.query[name]
    for value in given if isinstance(given, list) else [given]:
        yield {"key": name, "value": _written(value), **about}


def _written(value: Any) -> str:
    """A value as a query spells it."""
    if isinstance(value, list):
        return _written(value[0]) if value else ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _headers(step: Step) -> Iterator[dict[str, Any]]:
    given = dict(step.headers)
    if "requestBody" in step.operation.described:
        given.setdefault("Content-Type", _JSON)
    for name, value in given.items():
        yield {"key": name, "value": value}
    for each in step.operation.parameters("header"):
        if each["name"] not in given:
            yield {"key": each["name"], "value": "", "description": each.get("description", ""), "disabled": True}


def _body(document: Mapping[str, Any], step: Step) -> str:
    """The body as it is sent: what the plan says, as it is where that is a text, else the document's example."""
    if isinstance(step.body, str):
        return step.body
    if step.body is not None:
        return _pretty(step.body)
    return _pretty(example_of(document, step.operation.described["requestBody"]["content"][_JSON]))


def _answers(plan: Plan, step: Step) -> Iterator[tuple[int, str]]:
    """The answers saved with a request: the one it brings and, where no request brings it, the one when all is well."""
    yield step.status, step.code
    success = step.operation.success
    if not any(each.status == success for each in plan.steps if each.call == step.call):
        yield success, ""


def _saved(
    document: Mapping[str, Any], request: Mapping[str, Any], step: Step, status: int, code: str
) -> dict[str, Any]:
    response = step.operation.described["responses"][str(status)]
    kind, content = next(iter(response.get("content", {}).items()), ("", {}))
    body = example_of(document, content, name=code)
    headers = {"Content-Type": kind} if kind else {}
    for name, header in required_headers(document, response).items():
        headers[name] = str(example_of(document, header))
    return {
        "name": f"{status} {code or HTTPStatus(status).phrase}",
        "originalRequest": {name: value for name, value in request.items() if name != "description"},
        "status": HTTPStatus(status).phrase,
        "code": status,
        "_postman_previewlanguage": "json" if kind.endswith("json") else "text",
        "header": [{"key": name, "value": value} for name, value in headers.items()],
        "body": body if isinstance(body, str) else _pretty(body) if kind else "",
    }


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
