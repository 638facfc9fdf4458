"""Every endpoint is marked, named, documented and safe to repeat."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flask import Flask
from marshmallow import Schema, ValidationError, fields
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict
from werkzeug.routing import Rule

from app import DOMAINS
from app.core import errors, openapi
from app.core.errors import DomainError
from app.core.schemas import Flag, Moment, StrictSchema, Text, WholeNumber, read_query
from tests.conftest import Library
from tests.house import contract
from tests.house.test_nonsense import QUERY_VALUES

ROOT = Path(__file__).parents[2]
VERBS = ("list", "show", "create", "update", "delete")
# What an input field may be: our own, which repair nothing, and what holds them together.
INPUTS = (Text, WholeNumber, Flag, Moment, fields.UUID)


def endpoints(app: Flask) -> Iterator[tuple[Rule, Callable[..., Any]]]:
    for rule in app.url_map.iter_rules():
        yield rule, app.view_functions[rule.endpoint]


def operations(app: Flask) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in openapi.document(app)["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_endpoint_says_who_may_call_it(app: Flask) -> None:
    unmarked = [rule.endpoint for rule, view in endpoints(app) if not hasattr(view, "access")]

    assert not unmarked, f"Mark these with @requires, @signed_in or @public: {unmarked}"


def test_package_blueprint_tag_and_folder_of_tests_have_one_name(app: Flask) -> None:
    prefixes = {rule.endpoint.partition(".")[0] for rule, _ in endpoints(app)}
    tags = {tag for _, operation in operations(app) for tag in operation["tags"]}
    documented = {tag["name"] for tag in openapi.document(app)["tags"]}

    assert prefixes <= set(DOMAINS), f"Name these blueprints like their packages: {prefixes - set(DOMAINS)}"
    assert tags == documented == prefixes, f"Let tags be the blueprints' names: {tags ^ documented | tags ^ prefixes}"
    untested = [name for name in DOMAINS if not (ROOT / "tests" / name).is_dir()]
    assert not untested, f"Give these a folder under tests/: {untested}"


def test_every_domain_stands_in_the_list_of_domains() -> None:
    packages = {path.parent.name for path in (ROOT / "app").glob("*/routes.py")}

    assert packages <= set(DOMAINS), f"Add these to DOMAINS in app/__init__.py: {packages - set(DOMAINS)}"


def test_every_post_may_be_repeated_safely(app: Flask) -> None:
    unsafe = [
        rule.endpoint
        for rule, view in endpoints(app)
        if "POST" in (rule.methods or ()) and not getattr(view, "is_idempotent", False)
    ]

    assert not unsafe, f"Put @idempotent on these: {unsafe}"


def test_what_is_changed_under_a_condition_has_an_etag_of_its_own(app: Flask) -> None:
    gets = {rule.rule: view for rule, view in endpoints(app) if "GET" in (rule.methods or ())}
    wrong = [
        rule.endpoint
        for rule, view in endpoints(app)
        if getattr(view, "is_conditional", False) and hasattr(gets.get(rule.rule), "cached")
    ]

    assert not wrong, f"The ETag of a @cached GET changes with every write of the tenant; take @cached off for {wrong}"


def test_a_change_of_one_object_honours_if_match(app: Flask) -> None:
    gets = {rule.rule for rule, _ in endpoints(app) if "GET" in (rule.methods or ())}
    without = [
        rule.endpoint
        for rule, view in endpoints(app)
        if {"PATCH", "PUT", "DELETE"} & set(rule.methods or ()) and rule.rule in gets
        if not getattr(view, "is_conditional", False)
    ]

    assert not without, f"Put @if_match(show_…) on these: {without}"


def test_a_change_tells_the_etag_that_its_get_then_gives(app: Flask, library: Library) -> None:
    things, changed = contract.things_of(library), list[str]()
    for operation in contract.operations(app):
        if operation.method == "PATCH" and "ETag" in operation.description["responses"]["200"]["headers"]:
            changed.append(operation.name)
            path = operation.address(library.slug, things).removeprefix(f"/api/v1/tenants/{library.slug}")
            for body in operation.bodies:
                etag = library.get(path, role="admin").headers["ETag"]
                answer = library.patch(path, body, role="admin", headers={"If-Match": etag})
                assert answer.status_code == 200, answer.text
                assert answer.headers["ETag"] == library.get(path, role="admin").headers["ETag"], operation.name

    assert len(changed) >= 3


def wrappers(view: Callable[..., Any]) -> Iterator[Any]:
    while hasattr(view, "__wrapped__"):
        yield view
        view = view.__wrapped__


def test_a_list_that_is_asked_before_flask_has_no_wrapper_but_those_of_its_schemas(app: Flask) -> None:
    # `FastLane` goes round them: it reads the query itself, and the answer's schema is for the document alone.
    needless = {"webargs.core", "flask_smorest.arguments", "flask_smorest.response"}
    wrong = {
        f"{rule.endpoint}: {wrapper.__code__.co_filename}:{wrapper.__code__.co_firstlineno}"
        for rule, view in endpoints(app)
        if hasattr(view, "cached") and view.cached.arguments is not None
        for wrapper in wrappers(view)
        if not any(wrapper.__code__.co_filename == sys.modules[name].__file__ for name in needless)
    }

    assert not wrong, f"Take these off: they would not run: {sorted(wrong)}"


# — input ——————————————————————————————————————————————————————————————————————————————————————————


def raw_fields(schema: Schema, path: str) -> Iterator[str]:
    for name, field in schema.fields.items():
        yield from raw_parts(field, f"{path}.{name}")


def raw_parts(field: Any, path: str) -> Iterator[str]:
    if isinstance(field, fields.Nested):
        yield from raw_fields(field.schema, path)
    elif isinstance(field, fields.List):
        yield from raw_parts(field.inner, path)
    elif isinstance(field, fields.Dict):
        for part in (field.key_field, field.value_field):
            yield from [path] if part is None else raw_parts(part, path)
    elif not isinstance(field, INPUTS) and not takes_only_null(field):
        yield f"{path} ({type(field).__name__})"


def takes_only_null(field: Any) -> bool:
    return [getattr(each, "choices", None) for each in field.validators] == [[None]]


def input_schemas(app: Flask) -> Iterator[tuple[str, Schema]]:
    for rule, view in endpoints(app):
        for parameter in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", []):
            schema = parameter["schema"]
            yield rule.endpoint, schema() if isinstance(schema, type) else schema


def test_every_input_field_is_of_a_kind_that_repairs_nothing(app: Flask) -> None:
    raw = sorted({fault for name, schema in input_schemas(app) for fault in raw_fields(schema, name)})

    assert not raw, f"Make these Text, WholeNumber, Flag or Moment of core/schemas.py: {raw}"


def test_every_input_schema_refuses_what_it_does_not_know(app: Flask) -> None:
    def nested(schema: Schema) -> Iterator[Schema]:
        yield schema
        for field in schema.fields.values():
            inner = field.inner if isinstance(field, fields.List) else field
            if isinstance(inner, fields.Nested):
                yield from nested(inner.schema)

    lax = {
        f"{name}: {type(part).__name__}"
        for name, schema in input_schemas(app)
        for part in nested(schema)
        if not isinstance(part, StrictSchema)
    }
    assert not lax, f"Make these StrictSchemas: {sorted(lax)}"


def query_schemas(app: Flask) -> Iterator[tuple[str, Callable[..., Any], type[Schema]]]:
    for rule, view in endpoints(app):
        for parameter in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", []):
            if parameter["in"] == "query":
                schema = parameter["schema"]
                yield rule.endpoint, view, schema if isinstance(schema, type) else type(schema)


def test_a_list_that_is_asked_before_flask_reads_what_it_documents(app: Flask) -> None:
    wrong = [
        name
        for name, view, schema in query_schemas(app)
        if hasattr(view, "cached") and view.cached.arguments is not None and type(view.cached.arguments) is not schema
    ]

    assert not wrong, f"Give @cached and @blp.arguments of these the same schema: {wrong}"


def test_a_query_is_read_as_its_schema_would_read_it(app: Flask) -> None:
    def outcome(read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except ValidationError as refusal:
            return refusal.messages_dict

    for name, _, kind in query_schemas(app):
        schema = kind()
        for field in [*schema.fields, "unknown"]:
            for value in [unquote(each, errors="replace") for each in QUERY_VALUES] + ["1", "true", "author", "title"]:
                given = MultiDict({field: value})
                short = outcome(read_query, schema, given)
                whole = outcome(schema.load, MultiDictProxy(given, schema))
                assert short == whole, f"{name}?{field}={value}"


# — documents ——————————————————————————————————————————————————————————————————————————————————————


def test_every_operation_is_documented(app: Flask) -> None:
    documented = {operation["operationId"] for _, operation in operations(app)}
    hidden = {"show_docs_part"}

    assert {rule.endpoint.partition(".")[2] for rule, _ in endpoints(app)} == documented | hidden


def test_every_operation_has_a_summary_and_a_name_of_its_own(app: Flask) -> None:
    found = list(operations(app))
    ids = [operation["operationId"] for _, operation in found]

    assert len(ids) == len(set(ids)), f"Give these names of their own: {sorted({i for i in ids if ids.count(i) > 1})}"
    for name, operation in found:
        summary = operation.get("summary", "")
        assert re.fullmatch(r"[A-Z].{3,100}[^.]", summary), (
            f"Begin the docstring of {name} with one line, no full stop."
        )


def test_every_operation_says_what_it_answers(app: Flask) -> None:
    for name, operation in operations(app):
        successes = {status: answer for status, answer in operation["responses"].items() if status[0] in "23"}
        assert set(successes) - {"304"}, f"Document a success of {name}."
        for status, answer in successes.items():
            if status in {"200", "201", "202"}:
                content = answer.get("content", {})
                assert content, f"Give the {status} of {name} a schema or a content type."
                if "application/json" in content:
                    assert content["application/json"].get("schema"), f"Give the {status} of {name} a schema."


def test_every_operation_says_what_it_refuses(app: Flask) -> None:
    for name, operation in operations(app):
        refusals = {status for status in operation["responses"] if status[0] in "45"}
        if operation["security"] and {} not in operation["security"]:
            assert {"401", "422", "503"} <= refusals, name
        for status in refusals:
            content = operation["responses"][status]["content"]
            is_problem = set(content) == {"application/problem+json"}
            assert is_problem or name.startswith("GET /health"), f"Answer the {status} of {name} as a problem."


def test_every_path_parameter_is_documented(app: Flask) -> None:
    for name, operation in operations(app):
        wanted = re.findall(r"{(\w+)}", name)
        given = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert given == wanted, f"Document {set(wanted) ^ set(given)} of {name}."


def test_the_example_of_every_body_is_accepted(app: Flask) -> None:
    bodies = {
        rule.endpoint.partition(".")[2]: parameter["schema"]
        for rule, view in endpoints(app)
        for parameter in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
        if parameter["in"] == "json"
    }
    for operation in contract.operations(app):
        for body in operation.bodies:
            schema = bodies[operation.description["operationId"]]
            faults = schema.validate(body)
            assert not faults, f"Mend the examples of {operation.name}, or of {type(schema).__name__}: {faults}"


def test_the_versions_agree() -> None:
    project = (ROOT / "pyproject.toml").read_text()

    assert f'version = "{openapi.VERSION}"' in project, "Set openapi.VERSION to the project's version."


# — errors —————————————————————————————————————————————————————————————————————————————————————————


def error_codes() -> set[str]:
    """Every code a problem can carry: those of the errors' classes, and those that HTTP itself brings."""
    families, found = [DomainError], set()
    while families:
        family = families.pop()
        families += family.__subclasses__()
        if family.__module__.startswith("app."):
            found.add(family.code)
    return found | set(errors._CODES.values()) | {"http_error"}


def test_every_error_code_is_explained_and_nothing_else() -> None:
    explained = re.findall(r"^## (\w+)$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)

    assert len(explained) == len(set(explained)), "Explain each code once in docs/errors.md."
    assert set(explained) == error_codes(), (
        f"Explain in docs/errors.md: {sorted(error_codes() - set(explained))};"
        f" take out: {sorted(set(explained) - error_codes())}"
    )


def test_every_explanation_begins_with_the_status(app: Flask) -> None:
    entries = re.findall(r"^## (\w+)\n\n(\d{3})", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    families, statuses = [DomainError], {}
    while families:
        family = families.pop()
        families += family.__subclasses__()
        statuses[family.code] = int(family.status)

    wrong = [code for code, status in entries if statuses.get(code, int(status)) != int(status)]
    assert not wrong, f"Begin these entries of docs/errors.md with their status: {wrong}"
