"""The OpenAPI document leaves no question open, and its examples are as it says itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.core import openapi
from app.core.limits import Limit
from app.core.security import Permission
from tests.conftest import Library
from tests.documented import Document, document_of
from tests.house.contract import Json, Operation, all_operations, examples_in
from tests.house.test_endpoints import error_codes

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
# Codes that belong to no operation, with the reason.
OF_NO_OPERATION = {
    "http_error": "HTTP's own, before there is an operation",
    "method_not_allowed": "there is no such operation",
    "conflict": "stands for its whole family; each operation has more particular ones",
    "unavailable": "stands for its whole family; each operation has more particular ones",
    "upstream_refused": "the error of a job, which nobody waits for",
    "upstream_unavailable": "the error of a job, which nobody waits for",
}


@pytest.fixture
def content(app: Flask) -> Json:
    """The document."""
    return openapi.document(app)


@pytest.fixture
def document(app: Flask) -> Document:
    """The same, with validators."""
    return document_of(app)


# — words ——————————————————————————————————————————————————————————————————————————————————————————


def test_every_operation_is_described_in_words_of_its_own(app: Flask) -> None:
    for operation in all_operations(app):
        told = operation.description["description"]
        own = re.split(r"\n*(?:Takes the permission|Counts against)", told)[0]
        assert re.fullmatch(r"(?s)[A-Z`\d].{30,}\.", own), (
            f"Describe {operation.name} below its docstring's first line."
        )
        assert not re.search(r"(?i)\b(orm|sqlalchemy|marshmallow|celery|todo)\b", told), (
            f"Say {operation.name} plainer."
        )


def test_every_tag_is_described_and_used(app: Flask, content: Json) -> None:
    used = {tag for operation in all_operations(app) for tag in operation.description["tags"]}

    assert {tag["name"] for tag in content["tags"]} == used
    assert all(len(tag["description"]) > 30 for tag in content["tags"])
    assert all(len(operation.description["tags"]) == 1 for operation in all_operations(app))


def test_every_answer_and_every_schema_is_described(app: Flask, content: Json) -> None:
    bare = [name for name, schema in content["components"]["schemas"].items() if not schema.get("description")]
    bare += [
        f"{operation.name} {status}"
        for operation in all_operations(app)
        for status, answer in operation.description["responses"].items()
        if len(answer["description"]) < 8 or answer["description"] == HTTPStatus(int(status)).phrase
    ]

    assert not bare, f"Describe these: {bare}"


def test_every_field_is_described(content: Json) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in content["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        # What a reference leads to is described by itself.
        if not part.get("description") and "$ref" not in part
    ]

    assert not bare, f'Give these fields metadata={{"description": …}}: {bare}'


def test_no_default_is_null(content: Json) -> None:
    assert "'default': None" not in str(content), (
        "Generators of clients take such a field for one that is always there."
    )


def test_a_refusal_that_may_come_before_the_limits_are_counted_may_come_without_their_headers(
    app: Flask, content: Json
) -> None:
    known = {f"#/components/headers/{name}": header for name, header in content["components"]["headers"].items()}
    for operation in all_operations(app):
        for status, answer in operation.description["responses"].items():
            header = answer["headers"].get("RateLimit")
            assert (header is not None) is bool(operation.description["x-rate-limits"]), (operation.name, status)
            is_certain = status not in {"400", "401", "403", "404", "408", "413", "500", "503"}
            assert header is None or known[header["$ref"]]["required"] is is_certain, (operation.name, status)


def test_the_document_says_where_it_is_served_and_how_to_begin(content: Json) -> None:
    # Relative to the document: true whatever stands in front of the service.
    assert [server["url"] for server in content["servers"]] == ["."]
    for word in (
        "Authorization: Bearer",
        "next_cursor",
        "problem+json",
        "RateLimit",
        "Idempotency-Key",
        "If-None-Match",
    ):
        assert word in content["info"]["description"]


def test_the_document_says_what_is_ignored_and_that_is_ignored(app: Flask, library: Library, content: Json) -> None:
    told = " ".join(content["info"]["description"].split())
    headers = {"Authorization": f"Bearer {library.key('librarian')}", "Content-Type": "application/json"}
    client = app.test_client()

    assert "Ignored on purpose are only the body of a `GET`, and queries of addresses outside `/api/v1`." in told
    assert client.get(f"/api/v1/tenants/{library.slug}/books", data=b"{", headers=headers).status_code == 200
    for path in ("/openapi.json", "/docs", "/docs/errors", "/health/live"):
        assert client.get(f"{path}?nonsense=1").status_code == 200, path


def test_the_document_says_of_all_texts_what_no_schema_says_of_one(content: Json) -> None:
    # The fuzzer is told that it stands there.
    told = " ".join(content["info"]["description"].split())

    assert (
        "A text must not be blank or hold control characters, among them those that turn the direction of writing; a"
        " description may have line ends and tabs." in told
    )


# — rules ——————————————————————————————————————————————————————————————————————————————————————————


def test_every_operation_names_its_credentials_and_permission(app: Flask, content: Json) -> None:
    known = content["components"]["securitySchemes"]
    for operation in all_operations(app):
        for alternative in operation.description["security"]:
            for scheme, permissions in alternative.items():
                assert scheme in known, operation.name
                assert set(permissions) <= set(Permission), operation.name
        permission = operation.permission
        assert permission is None or f"`{permission}`" in operation.description["description"], operation.name


def test_every_operation_names_its_limits(app: Flask, content: Json) -> None:
    assert set(content["x-rate-limit-policies"]) == {limit.value for limit in Limit}
    for operation in all_operations(app):
        limits = operation.description["x-rate-limits"]
        told = operation.description["description"]
        assert all(f"`{limit}` (per " in told for limit in limits), operation.name
        assert ("429" in operation.description["responses"]) is bool(limits), operation.name
        assert set(limits) <= set(content["x-rate-limit-policies"]), operation.name
        if operation.path.startswith("/api/"):
            assert limits or "Counts against no limit." in told, operation.name


def test_every_answer_names_its_headers(app: Flask, content: Json) -> None:
    known = {f"#/components/headers/{name}": header for name, header in content["components"]["headers"].items()}
    assert all(header["description"] and "example" in header for header in known.values())
    for operation in all_operations(app):
        for status, answer in operation.description["responses"].items():
            named = answer["headers"]
            assert all(header["$ref"] in known for header in named.values()), (operation.name, status)
            wanted = {"X-Request-ID"}
            followed = {"201", "301", "302"} if operation.is_public else {"201", "202", "301", "302"}
            wanted |= {"Location"} if status in followed else set()
            wanted |= {"WWW-Authenticate"} if status == "401" else set()
            is_problem = "application/problem+json" in answer.get("content", {})
            wanted |= {"Retry-After"} if status in {"429", "503"} and is_problem else set()
            wanted |= (
                {"RateLimit", "X-RateLimit-Limit"} if operation.description["x-rate-limits"] and status < "4" else set()
            )
            assert wanted <= set(named), (operation.name, status)


# — errors —————————————————————————————————————————————————————————————————————————————————————————


def problems(operation: Operation) -> Iterator[tuple[str, Json]]:
    """The refusals of an operation: status, and the description of its body."""
    for status, answer in operation.description["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            if media_type == "application/problem+json":
                yield status, content


def codes(operation: Operation) -> set[str]:
    return {code for _, content in problems(operation) for code in content["schema"]["properties"]["code"]["enum"]}


def test_every_refusal_shows_each_of_its_codes(app: Flask, content: Json, document: Document) -> None:
    examples = {f"#/components/examples/{name}": each for name, each in content["components"]["examples"].items()}
    for operation in all_operations(app):
        for status, refusal in problems(operation):
            schema = refusal["schema"]
            assert list(refusal["examples"]) == schema["properties"]["code"]["enum"], (operation.name, status)
            for code, reference in refusal["examples"].items():
                shown = examples[reference["$ref"]]["value"]
                assert (shown["code"], shown["status"]) == (code, int(status)), operation.name
                assert not document.faults(schema, shown), (operation.name, code)


def test_every_code_is_documented_with_an_operation(app: Flask) -> None:
    shown = {code for operation in all_operations(app) for code in codes(operation)}

    assert shown.isdisjoint(OF_NO_OPERATION), "An operation has these: take them out of OF_NO_OPERATION."
    assert shown | set(OF_NO_OPERATION) == error_codes(), "Declare these with @raises at the operations that give them."


def test_every_type_leads_to_its_explanation(app: Flask, content: Json) -> None:
    page = app.test_client().get("/docs/errors").text
    types = {code: each["value"]["type"] for code, each in content["components"]["examples"].items()}
    types |= {code: f"/docs/errors#{code}" for code in error_codes()}

    for code, address in types.items():
        path, _, anchor = address.partition("#")
        assert (path, anchor) == ("/docs/errors", code)
        assert page.count(f'id="{anchor}"') == 1, f"{address} leads nowhere."


def test_every_explanation_says_when_and_what_to_do() -> None:
    entries = re.split(r"^## ", ERRORS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]

    for entry in entries:
        code, _, text = entry.partition("\n")
        when, _, advice = text.partition("**What to do:**")
        assert len(when.strip()) > 30, f"Say in docs/errors.md when {code} happens."
        assert len(advice.strip()) > 10, f"Say in docs/errors.md what to do about {code}."


# — examples ———————————————————————————————————————————————————————————————————————————————————————


def without_example(schema: Json, path: str) -> Iterator[str]:
    """The parts of a schema that no example speaks of."""
    if "examples" in schema or "$ref" in schema:
        return
    if "properties" in schema:
        for name, part in schema["properties"].items():
            yield from without_example(part, f"{path}.{name}")
    elif "items" in schema:
        yield from without_example(schema["items"], f"{path}[]")
    elif "anyOf" in schema:
        yield from (fault for part in schema["anyOf"][:1] for fault in without_example(part, path))
    else:
        yield path


def test_every_field_has_an_example(content: Json) -> None:
    schemas = content["components"]["schemas"].items()
    bare = [fault for name, schema in schemas for fault in without_example(schema, name)]

    assert not bare, f'Give these fields metadata={{"example": …}}: {bare}'


def test_every_example_of_a_field_is_as_its_schema_says(content: Json, document: Document) -> None:
    def faults(schema: Any, path: str) -> Iterator[str]:
        if isinstance(schema, dict):
            for example in schema.get("examples", []):
                yield from (f"{path}: {fault}" for fault in document.faults(schema, example))
            for name, part in {**schema.get("properties", {}), "[]": schema.get("items")}.items():
                yield from faults(part, f"{path}.{name}")

    found = [fault for name, schema in content["components"]["schemas"].items() for fault in faults(schema, name)]

    assert not found, f"Mend these examples: {found}"


def test_every_parameter_has_an_example_that_is_as_its_schema_says(app: Flask, document: Document) -> None:
    for operation in all_operations(app):
        for parameter in operation.description["parameters"]:
            where = f"{parameter['name']} of {operation.name}"
            assert parameter.get("description"), f"Describe {where}."
            assert parameter.get("example") is not None, f"Give {where} an example."
            assert not document.faults(parameter["schema"], parameter["example"]), where


def test_every_body_has_examples_that_are_as_its_schema_says(app: Flask, document: Document) -> None:
    for operation in all_operations(app):
        bodies = [("the request", operation.description.get("requestBody", {}))]
        bodies += [(f"the {status}", answer) for status, answer in operation.description["responses"].items()]
        for name, body in bodies:
            for media_type, content in body.get("content", {}).items():
                if media_type == "application/problem+json":
                    continue
                where = f"{name} of {operation.name}"
                shown = examples_in(content)
                assert shown, f"Give {where} an example."
                assert all(example not in (None, "", [], {}) for example in shown), f"Give {where} an example."
                faults = [fault for example in shown for fault in document.faults(content["schema"], example)]
                assert not faults, f"Mend the example of {where}: {faults}"


def test_every_part_that_stands_apart_is_referred_to(content: Json) -> None:
    text = str(content)
    unused = [
        f"{kind}/{name}"
        for kind in ("schemas", "headers", "examples")
        for name in content["components"][kind]
        if f"'#/components/{kind}/{name}'" not in text
    ]

    assert not unused, f"Nothing refers to these: {unused}"


def test_that_fields_exclude_each_other_is_said_in_the_document(content: Json, document: Document) -> None:
    schema = content["components"]["schemas"]["JobRequest"]
    wishes = {"query": "author:Tolkien", "open_library_keys": ["OL45804W"], "isbns": ["9780261103573"]}

    for name, value in wishes.items():
        assert not document.faults(schema, {name: value, "max_works": 10})
    assert document.faults(schema, {"max_works": 10})
    assert document.faults(schema, wishes)


def test_only_what_is_sent_may_be_left_open(content: Json) -> None:
    lax = [
        name
        for name, schema in content["components"]["schemas"].items()
        if name != "Problem" and schema.get("additionalProperties") is not False
    ]

    assert not lax, f"Make these StrictSchemas: {lax}"
