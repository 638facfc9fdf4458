"""The Postman collection is what the code writes, and holds every operation and nothing else."""

from __future__ import annotations

from pathlib import Path

import orjson
from flask import Flask

from app.core import openapi, postman

ROOT = Path(__file__).parent.parent.parent


def test_the_committed_collection_is_as_the_code_writes_it(in_app: Flask) -> None:
    committed = (ROOT / postman.FILE_NAME).read_bytes()

    assert committed == postman.write(openapi.document(in_app)), "The collection is stale: run `make postman`."


def test_every_operation_is_in_the_collection_and_nothing_else(in_app: Flask) -> None:
    document = openapi.document(in_app)
    operations = {
        (method.upper(), "/" + path.strip("/").replace("{slug}", "{tenant_slug}"))
        for path, found in document["paths"].items()
        for method in found
    }

    collection = orjson.loads(postman.write(document))

    requests = [item["request"] for folder in collection["item"] for item in folder["item"]]
    named = [
        (each["method"], each["url"]["raw"].removeprefix("{{base_url}}").replace("{{", "{").replace("}}", "}"))
        for each in requests
    ]
    assert sorted(named) == sorted(operations)
    assert {folder["name"] for folder in collection["item"]} == {"tenants", "auth", "catalog", "ingestion", "health"}


def test_the_collection_has_a_variable_for_every_parameter(in_app: Flask) -> None:
    collection = postman.collection(openapi.document(in_app))

    assert {each["key"] for each in collection["variable"]} >= {
        "base_url",
        "tenant_slug",
        "api_key",
        "book_id",
        "job_id",
    }
