"""What runs in Postman before a request and after its answer: JavaScript, made of the plan's words and the document's.

Every line stands alone, so that one fault does not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from app.core.postman.examples import required_headers, resolved
from app.core.postman.plan import CONDITIONS, Step

# A job of a few dozen works takes seconds; with Open Library out of reach some seconds of trying come before.
_MOST_TRIES = 120
_PAUSE_MS = 1000
_HEADER = "header:"
_WHOLE_BODY = "text"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


def script_before(step: Step) -> list[str]:
    """The lines that give variables their values before the request is sent."""
    return [f"pm.collectionVariables.set({_js(name)}, {_value(text)});" for name, text in step.set.items()]


def script_after(document: Mapping[str, Any], step: Step) -> list[str]:
    """The lines that hold the answer against what is expected, and remember what the next requests need."""
    lines = ["const body = () => pm.response.json();"] if _is_json(step) else []
    lines += _about_the_answer(document, step)
    lines += _about_the_problem(step) if step.code else _about_the_shape(document, step)
    if step.again_while:
        return [*lines, *_asking_again(step, [*_expected(step), *_remembered(step)])]
    return [*lines, *_expected(step), *_remembered(step)]


def _about_the_answer(document: Mapping[str, Any], step: Step) -> Iterator[str]:
    phrase = HTTPStatus(step.status).phrase
    yield _test(f"the status is {step.status} {phrase}", f"pm.expect(pm.response.code).to.eql({step.status})")
    kind = next(iter(step.response.get("content", {})), "")
    if kind:
        yield _test(f"the content is {kind}", f"pm.expect({_header('Content-Type')}).to.include({_js(kind)})")
    if step.status in _NO_BODY:
        yield _test("there is no body", "pm.expect(pm.response.text()).to.eql('')")
    yield _test("it has a request id", f"pm.expect({_header('X-Request-ID')}).to.match(/^[A-Za-z0-9._-]{{8,128}}$/)")
    headers = [name for name in required_headers(document, step.response) if name != "X-Request-ID"]
    if headers:
        there = f"{_js(headers)}.forEach((name) => pm.expect(pm.response.headers.has(name), name).to.be.true)"
        yield _test(f"it has the headers {', '.join(headers)}", there)


def _about_the_problem(step: Step) -> Iterator[str]:
    yield _test(f"the problem's code is {step.code}", f"pm.expect(body().code).to.eql({_js(step.code)})")
    yield _test("the problem repeats the status", f"pm.expect(body().status).to.eql({step.status})")
    yield _test("the problem's type leads to its explanation", f"pm.expect(body().type).to.include('#{step.code}')")
    yield _test("the problem carries the request id", f"pm.expect(body().request_id).to.eql({_header('X-Request-ID')})")
    if step.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        yield _test(
            "Retry-After says how many seconds to wait",
            f"pm.expect(Number({_header('Retry-After')})).to.be.at.least(1)",
        )


def _about_the_shape(document: Mapping[str, Any], step: Step) -> Iterator[str]:
    content = step.response.get("content", {}).get("application/json", {})
    schema = resolved(document, content.get("schema", {}))
    required = sorted(schema.get("required", ()))
    if required:
        yield _test("all its fields are there", f"pm.expect(body()).to.include.all.keys({_js(required)})")
    if {"items", "total", "next_cursor"} <= set(required):
        yield _test("it is a list", "pm.expect(body().items).to.be.an('array')")
        yield _test("the total is a number", "pm.expect(body().total).to.be.a('number')")


def _expected(step: Step) -> Iterator[str]:
    for path, wanted in step.expect.items():
        found = _reading(path)
        conditions = wanted if isinstance(wanted, dict) else {"": wanted}
        for condition, value in conditions.items():
            comparison = CONDITIONS.get(condition, "to.eql")
            words = f"{_spoken(path)} {condition.replace('_', ' ') or 'is'} {_spoken_value(value)}"
            yield _test(words, f"pm.expect({found}).{comparison}({_value(value)})")


def _remembered(step: Step) -> Iterator[str]:
    for name, path in step.remember.items():
        found = _reading(path)
        yield _test(f"{_spoken(path)} is there, and kept as {name}", f"pm.expect({found}).to.exist")
        yield f"pm.collectionVariables.set({_js(name)}, {found});"


def _asking_again(step: Step, at_last: list[str]) -> Iterator[str]:
    """Send the same request again after a pause, a bounded number of times, while fields have certain values."""
    waits = " && ".join(f"{_js(values)}.includes({_reading(path)})" for path, values in step.again_while.items())
    yield "// Counted in this run alone."
    yield "const tries = Number(pm.variables.get('tries') || 0) + 1;"
    yield f"if ({waits} && tries < {_MOST_TRIES}) {{"
    yield "    pm.variables.set('tries', tries);"
    yield "    pm.execution.setNextRequest(pm.info.requestName);"
    yield "    // The next request is sent when nothing is left to wait for here."
    yield f"    setTimeout(() => {{}}, {_PAUSE_MS});"
    yield "} else {"
    yield "    pm.variables.set('tries', 0);"
    yield from (f"    {line}" for line in at_last)
    yield "}"


def _is_json(step: Step) -> bool:
    return any(kind.endswith("json") for kind in step.response.get("content", {}))


def _test(name: str, check: str) -> str:
    return f"pm.test({_js(name)}, () => {check});"


def _header(name: str) -> str:
    return f"pm.response.headers.get({_js(name)})"


def _reading(path: str) -> str:
    """The expression that reads `items.0.id` of the body, `header:ETag`, or `text`, the whole body as it is."""
    if path.startswith(_HEADER):
        return _header(path.removeprefix(_HEADER))
    if path == _WHOLE_BODY:
        return "pm.response.text()"
    return "body()" + "".join(f".{part}" if _NAME.fullmatch(part) else f"[{_index(part)}]" for part in path.split("."))


def _index(part: str) -> str:
    return part if part.isdecimal() else _js(part)


def _spoken(path: str) -> str:
    return f"the header {path.removeprefix(_HEADER)}" if path.startswith(_HEADER) else path


def _spoken_value(value: Any) -> str:
    return value if isinstance(value, str) else _js(value)


def _value(value: Any) -> str:
    """A value as JavaScript; variables in a text are filled in when the script runs."""
    return f"pm.variables.replaceIn({_js(value)})" if isinstance(value, str) and "{{" in value else _js(value)


def _js(value: Any) -> str:
    if isinstance(value, str):
        # JSON's text is JavaScript's; single quotes read better inside of JSON files.
        inner = orjson.dumps(value).decode()[1:-1].replace('\\"', '"').replace("'", "\\'")
        return f"'{inner}'"
    if isinstance(value, list):
        return "[" + ", ".join(_js(each) for each in value) + "]"
    return orjson.dumps(value).decode()
