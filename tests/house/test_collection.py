"""The Postman collection is what the code writes and holds every operation; its plan is read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from openapi_schema_validator import OAS31Validator

from app.core import openapi, postman
from app.health.cli import PLAN

ROOT = Path(__file__).parent.parent.parent
VARIABLE = re.compile(r"{{([^{}$][^{}]*)}}")
Json = dict[str, Any]

# What version 2.1 of the format asks of the parts that this collection has, in short.
_TEXT: Json = {"type": "string"}
_PAIRS: Json = {
    "type": "array",
    "items": {
        "required": ["key", "value"],
        "additionalProperties": False,
        "properties": {"key": _TEXT, "value": _TEXT, "description": _TEXT, "disabled": {"type": "boolean"}},
    },
}
_REQUEST: Json = {
    "required": ["method", "header", "url"],
    "additionalProperties": False,
    "properties": {
        "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]},
        "header": _PAIRS,
        "url": {
            "required": ["raw", "host", "path"],
            "properties": {
                "raw": {"type": "string", "pattern": "^{{base_url}}/"},
                "host": {"type": "array", "items": _TEXT},
                "path": {"type": "array", "items": _TEXT},
                "query": _PAIRS,
            },
        },
        "description": _TEXT,
        "auth": {"required": ["type"], "properties": {"type": {"enum": ["bearer", "noauth"]}}},
        "body": {"required": ["mode"], "properties": {"mode": {"const": "raw"}, "raw": _TEXT}},
    },
}
FORMAT: Json = {
    "type": "object",
    "required": ["info", "item"],
    "additionalProperties": False,
    "properties": {
        "info": {
            "required": ["name", "schema"],
            "properties": {"schema": {"const": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}},
        },
        "auth": _REQUEST["properties"]["auth"],
        "variable": {
            "type": "array",
            "items": {"required": ["key"], "properties": {"key": _TEXT, "value": _TEXT, "type": {"const": "string"}}},
        },
        "item": {
            "type": "array",
            "items": {
                "required": ["name", "item"],
                "properties": {"name": _TEXT, "description": _TEXT, "item": {"items": {"$ref": "#/$defs/item"}}},
            },
        },
    },
    "$defs": {
        "item": {
            "required": ["name", "event", "request", "response"],
            "additionalProperties": False,
            "properties": {
                "name": _TEXT,
                "event": {
                    "items": {
                        "required": ["listen", "script"],
                        "properties": {
                            "listen": {"enum": ["prerequest", "test"]},
                            "script": {"properties": {"exec": {"type": "array", "items": _TEXT}}},
                        },
                    }
                },
                "request": _REQUEST,
                "response": {
                    "type": "array",
                    "items": {
                        "required": ["name", "originalRequest", "status", "code", "header", "body"],
                        "properties": {
                            "originalRequest": _REQUEST,
                            "status": _TEXT,
                            "code": {"type": "integer"},
                            "header": _PAIRS,
                            "body": _TEXT,
                        },
                    },
                },
                "protocolProfileBehavior": {"type": "object"},
            },
        }
    },
}
DOCUMENT: Json = {
    "info": {"title": "Library", "description": "Books."},
    "tags": [{"name": "catalog", "description": "Books."}],
    "paths": {
        "/books": {
            "post": {
                "operationId": "create_book",
                "tags": ["catalog"],
                "summary": "Create a book",
                "requestBody": {"content": {"application/json": {"example": {"title": "Dune"}}}},
                "responses": {
                    "201": {"content": {"application/json": {"example": {"id": "b1"}}}},
                    "409": {"content": {"application/problem+json": {"examples": {"isbn_taken": {"value": {}}}}}},
                },
            }
        },
        "/books/{book_id}": {
            "get": {
                "operationId": "show_book",
                "tags": ["catalog"],
                "summary": "Show a book",
                "parameters": [{"name": "book_id", "in": "path"}],
                "responses": {"200": {"content": {"application/json": {"example": {"id": "b1"}}}}},
            }
        },
    },
}
CREATE = '[[catalog]]\ncall = "create_book"\nremember = { book_id = "id" }\n'
SHOW = '[[catalog]]\ncall = "show_book"\n'


@pytest.fixture
def document(in_app: Flask) -> Json:
    return openapi.document(in_app)


@pytest.fixture
def plan(document: Json) -> postman.Plan:
    return postman.read_plan(PLAN.read_text(encoding="utf-8"), document)


@pytest.fixture
def collection(document: Json, plan: postman.Plan) -> Json:
    return postman.collection(document, plan)


def items(collection: Json) -> Iterator[Json]:
    for folder in collection["item"]:
        yield from folder["item"]


def script(item: Json, listen: str) -> str:
    return "\n".join(line for each in item["event"] if each["listen"] == listen for line in each["script"]["exec"])


# — the collection ——————————————————————————————————————————————————————————————————————————————————————————————————


def test_the_committed_collection_is_as_the_code_writes_it(document: Json, plan: postman.Plan) -> None:
    committed = (ROOT / postman.FILE_NAME).read_bytes()

    assert committed == postman.write(document, plan), "The collection is stale: run `flask postman write`."


def test_every_operation_is_in_the_collection_and_nothing_else(document: Json, collection: Json) -> None:
    requests = [(item["request"]["method"], "/".join(item["request"]["url"]["path"])) for item in items(collection)]
    operations = [
        (method.upper(), re.sub(r"{\w+}", "[^/]+", path).strip("/"))
        for path, found in document["paths"].items()
        for method in found
    ]

    for method, pattern in operations:
        assert any(each == method and re.fullmatch(pattern, path) for each, path in requests), pattern
    for method, path in requests:
        assert any(each == method and re.fullmatch(pattern, path) for each, pattern in operations), path
    assert {folder["name"] for folder in collection["item"]} == {tag["name"] for tag in document["tags"]}


def test_the_collection_is_of_the_format_that_postman_reads(document: Json, plan: postman.Plan) -> None:
    written = orjson.loads(postman.write(document, plan))

    faults = [f"{fault.json_path}: {fault.message}" for fault in OAS31Validator(FORMAT).iter_errors(written)]

    assert not faults


def test_every_request_is_held_against_what_is_expected(collection: Json) -> None:
    for item in items(collection):
        tests = script(item, "test")
        assert "the status is " in tests, item["name"]
        assert "it has a request id" in tests, item["name"]
        expected = item["response"][0]["code"]
        assert f"pm.expect(pm.response.code).to.eql({expected})" in tests, item["name"]
        assert ("the content is " in tests) is (expected // 100 != 3 and expected != 204), item["name"]
        assert ("pm.expect(body().code)" in tests) is (expected >= 400), item["name"]


def test_every_request_has_an_example_answer(collection: Json) -> None:
    for item in items(collection):
        for answer in item["response"]:
            assert answer["originalRequest"]["method"] == item["request"]["method"]
            has_body = answer["code"] // 100 != 3 and answer["code"] != 204
            assert bool(answer["body"]) is has_body, f"{item['name']}: {answer['name']}"
            assert answer["body"] != "null", f"{item['name']}: the document has no example of {answer['name']}."


def test_every_request_is_described_and_called_by_a_name_of_its_own(collection: Json) -> None:
    names = [item["name"] for item in items(collection)]

    assert len(set(names)) == len(names)
    assert all(item["request"]["description"] for item in items(collection))


def test_every_variable_that_is_used_is_defined(collection: Json) -> None:
    defined = {each["key"] for each in collection["variable"]}

    used = set(VARIABLE.findall(orjson.dumps(collection).decode()))

    assert used <= defined
    assert {"base_url", "tenant_slug", "api_key", "access_token", "platform_key", "book_id", "job_id"} <= used


def test_no_environment_hides_what_the_chain_sets(plan: postman.Plan) -> None:
    # An environment's variables win over the collection's; the demo's has these.
    given = {"base_url", "platform_key", "librarian_key", "read_only_key"}

    assert not given & {name for step in plan.steps for name in (*step.set, *step.remember)}
    assert given <= {each.name for each in plan.variables}


def test_what_is_deleted_was_made_before_in_the_same_folder(plan: postman.Plan) -> None:
    # A folder sent alone, to the demo library, must delete nothing that it has not made.
    made: set[tuple[str, str]] = set()
    deleted = []
    for step in plan.steps:
        if step.operation.method == "POST":
            made |= {(step.tag, name) for name in (*step.set, *step.remember)}
        if step.operation.method == "DELETE":
            [*_, (_, text)] = plan.variables_in_path(step)
            deleted.append(text)
            assert (step.tag, text.strip("{}")) in made, step.name

    assert deleted
    assert "{{tenant_slug}}" not in deleted, "It is the demo library's when a folder is sent alone."


def test_every_book_that_is_made_is_deleted_again(plan: postman.Plan) -> None:
    made = {f"{{{{{name}}}}}" for step in plan.steps if step.call == "create_book" for name in step.remember}
    deleted = {text for step in plan.steps if step.call == "delete_book" for _, text in plan.variables_in_path(step)}

    assert made
    assert made <= deleted


def test_the_errors_that_a_client_must_handle_are_shown(collection: Json) -> None:
    statuses = {item["response"][0]["code"] for item in items(collection)}

    assert statuses >= {304, 400, 401, 403, 404, 409, 412, 415, 422, 429}


def test_only_what_the_chain_waits_for_is_asked_again_and_not_for_ever(collection: Json) -> None:
    [waiting] = [item for item in items(collection) if "setNextRequest" in script(item, "test")]

    assert waiting["name"] == "Show a job and how far it is"
    assert "tries < 120" in script(waiting, "test")


def test_redirects_are_not_followed_out_of_the_service(collection: Json) -> None:
    for item in items(collection):
        redirects = item["response"][0]["code"] in (301, 302)
        if redirects:
            assert item["protocolProfileBehavior"] == {"followRedirects": False}, item["name"]


# — the plan ————————————————————————————————————————————————————————————————————————————————————————————————————————


def test_a_plan_becomes_requests_in_its_order() -> None:
    made = postman.collection(DOCUMENT, postman.read_plan(CREATE + SHOW, DOCUMENT))

    [folder] = made["item"]
    assert [item["name"] for item in folder["item"]] == ["Create a book", "Show a book"]
    create, show = folder["item"]
    assert create["request"]["body"]["raw"] == '{\n  "title": "Dune"\n}'
    assert "pm.collectionVariables.set('book_id', body().id);" in script(create, "test")
    assert show["request"]["url"]["raw"] == "{{base_url}}/books/{{book_id}}"
    assert made["variable"] == [
        {"key": "book_id", "value": "", "type": "string", "description": "Set by “Create a book”."}
    ]


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ('{ id = "b1" }', "pm.expect(body().id).to.eql('b1')"),
        ('{ "authors.0.name" = "Eve" }', "pm.expect(body().authors[0].name).to.eql('Eve')"),
        ('{ id = "{{book_id}}" }', "pm.expect(body().id).to.eql(pm.variables.replaceIn('{{book_id}}'))"),
        ("{ total = { at_least = 3 } }", "pm.expect(body().total).to.be.at.least(3)"),
        ("{ items = { length = 2 } }", "pm.expect(body().items).to.have.lengthOf(2)"),
        ('{ source = { one_of = ["a", "b"] } }', "pm.expect(body().source).to.be.oneOf(['a', 'b'])"),
        ('{ cover = { kind = "null" } }', "pm.expect(body().cover).to.be.a('null')"),
        ('{ text = { includes = "it\'s" } }', "pm.expect(pm.response.text()).to.include('it\\'s')"),
        ('{ "header:ETag" = "\\"1\\"" }', "pm.expect(pm.response.headers.get('ETag')).to.eql('\"1\"')"),
    ],
)
def test_what_an_answer_must_hold_is_said_without_javascript(words: str, check: str) -> None:
    made = postman.collection(DOCUMENT, postman.read_plan(f"{CREATE}{SHOW}expect = {words}\n", DOCUMENT))

    assert check in script(made["item"][0]["item"][1], "test")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[catalog]", "It is not TOML"),
        (CREATE, "The operation 'show_book' has no step: add `[[catalog]]` with `call = \"show_book\"`."),
        (f'{CREATE}{SHOW}[[catalog]]\ncall = "show_bok"\n', "no operation 'show_bok'; is 'show_book' meant?"),
        (f"{CREATE}{SHOW}expects = 1\n", "the words expects mean nothing"),
        (CREATE.replace("catalog", "auth") + SHOW, "the operation belongs under [[catalog]]"),
        (f"{CREATE}{SHOW}status = 418\n", "the document knows no answer 418 of it"),
        (f"{CREATE}status = 409\n{SHOW}", "an answer of 400 and above needs its `code`"),
        (f'{CREATE}status = 409\ncode = "taken"\n{SHOW}', "no 'taken' among its answers 409: isbn_taken"),
        (f"{CREATE}{SHOW}body = {{}}\n", "it takes no body"),
        (f'{CREATE}{SHOW}path = {{ bok_id = "1" }}\n', "no parameter 'bok_id' in its path; is 'book_id' meant?"),
        (f'{CREATE}{SHOW}query = {{ q = "1" }}\n', "no parameter 'q' in its query"),
        (f'{CREATE}{SHOW}expect = {{ id = {{ like = "b" }} }}\n', "`expect` knows no 'like'"),
        (SHOW + CREATE, "'Show a book' uses {{book_id}}, which no step before it sets or remembers"),
        (f'{CREATE}{SHOW}as = "somebody"\n', "'Show a book' uses {{somebody}}"),
        (CREATE + SHOW + SHOW, "Several requests are called 'Show a book'"),
    ],
)
def test_a_plan_that_does_not_fit_the_document_is_refused(text: str, fault: str) -> None:
    with pytest.raises(postman.PlanError) as refused:
        postman.read_plan(text, DOCUMENT)

    assert fault in str(refused.value)


def test_a_stale_collection_is_told_from_a_fresh_one(
    in_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = in_app.test_cli_runner()

    missing = runner.invoke(args=["postman", "write", "--check"])
    written = runner.invoke(args=["postman", "write"])
    fresh = runner.invoke(args=["postman", "write", "--check"])

    assert (missing.exit_code, written.exit_code, fresh.exit_code) == (1, 0, 0)
    assert "is stale: run `flask postman write`" in missing.output
