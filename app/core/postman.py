"""The Postman collection, made from the OpenAPI document: a folder a domain, every operation and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

SCHEMA_URL = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
FILE_NAME = "Library API.postman_collection.json"
# What a path's parameter is called in the collection, where the parameter's own name says too little.
_VARIABLES = {"slug": "tenant_slug"}
_DEFAULTS = {"base_url": "http://127.0.0.1:5000", "tenant_slug": "demo", "api_key": ""}
_METHODS = ("get", "post", "put", "patch", "delete")
# Every answer of the service is JSON, a redirect, or empty; a client that sees a 5xx has found a defect.
_TEST = [
    "pm.test('answers without a fault of the server', () => pm.expect(pm.response.code).to.be.below(500));",
    "pm.test('carries a request id', () => pm.expect(pm.response.headers.has('X-Request-ID')).to.be.true);",
]


def collection(document: Mapping[str, Any]) -> dict[str, Any]:
    """The collection (v2.1) of an OpenAPI document."""
    folders: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document.get("tags", [])}
    variables = dict(_DEFAULTS)
    for path, operations in document["paths"].items():
        for name in re.findall(r"{(\w+)}", path):
            variables.setdefault(_VARIABLES.get(name, name), "")
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                folders[operation["tags"][0]].append(_item(document, path, method, operation))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": SCHEMA_URL,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{api_key}}", "type": "string"}]},
        "variable": [{"key": key, "value": value} for key, value in variables.items()],
        "item": [{"name": name, "item": items} for name, items in folders.items() if items],
    }


def write(document: Mapping[str, Any]) -> bytes:
    """The collection as the file holds it."""
    return orjson.dumps(collection(document), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _item(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    parts = re.sub(r"{(\w+)}", lambda found: "{{" + _VARIABLES.get(found[1], found[1]) + "}}", path).strip("/")
    query = [
        {"key": each["name"], "value": "", "description": each.get("description", ""), "disabled": True}
        for each in operation.get("parameters", [])
        if each["in"] == "query"
    ]
    request: dict[str, Any] = {
        "method": method.upper(),
        "header": [],
        "url": {
            "raw": "{{base_url}}/" + parts,
            "host": ["{{base_url}}"],
            "path": parts.split("/"),
            **({"query": query} if query else {}),
        },
        "description": operation.get("description", ""),
    }
    if operation.get("security") == []:
        request["auth"] = {"type": "noauth"}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        example = _example(document, body["schema"])
        request["body"] = {"mode": "raw", "raw": orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()}
    return {
        "name": operation.get("summary", operation["operationId"]),
        "request": request,
        "response": [],
        "event": [
            {"listen": "test", "script": {"type": "text/javascript", "exec": [*_TEST, *_remember(document, path)]}}
        ],
    }


def _remember(document: Mapping[str, Any], path: str) -> list[str]:
    """After a list, or a creation in it, keep an id for the requests on one of its objects."""
    child = re.compile(re.escape(path) + r"/{(\w+_id)}")
    names = {found[1] for each in document["paths"] if (found := child.fullmatch(each))}
    return (
        [
            "const told = pm.response.headers.get('Content-Type') === 'application/json' ? pm.response.json() : {};",
            "const one = told.items ? told.items[0] : told;",
            *(f"if (one && one.id) pm.collectionVariables.set('{name}', one.id);" for name in sorted(names)),
        ]
        if names
        else []
    )


def _example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """A value that a schema describes: its example, or one put together of its required parts."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _example(document, found)
    for given in ("example", "default"):
        if given in schema:
            return schema[given]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        required = schema.get("required", [])
        shown = {
            name: each for name, each in schema.get("properties", {}).items() if name in required or "example" in each
        }
        return {name: _example(document, each) for name, each in shown.items()}
    if kind == "array":
        return [_example(document, schema["items"])]
    return {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": False}.get(str(kind), "text")
