"""The OpenAPI document: what flask-smorest reads off the endpoints, completed from their marks.

The marks that the pipeline goes by (permission, limits, errors, idempotency, conditional writes) are the source of what
the document says of security, headers and refusals, so the two can't differ.

- `overview.py` is what a newcomer reads first.
- `operations.py` completes an operation: parameters, body, answers, from what `marks.py` reads off its view.
- `problems.py` describes what an operation refuses, `headers.py` the headers of answers.
- `words.py` describes the fields that many schemas have in one way.
- `examples.py` puts examples of whole bodies together from those of their fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from inspect import cleandoc
from typing import Any

from flask import Flask
from marshmallow import Schema

from app.core.limits import TENANT_LIMITS, limits
from app.core.openapi import examples, headers, operations, problems
from app.core.openapi.marks import Endpoint
from app.core.openapi.overview import OVERVIEW
from app.core.openapi.words import with_shared_words
from app.core.schemas import StrictSchema
from app.extensions import api

VERSION = "0.1.0"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer <key>`: the key of a service account (`lib_…`).",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key in a header of its own, for clients that can't set `Authorization`.",
    },
    "metricsToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that whoever runs the service has set as `METRICS_TOKEN`.",
    },
}


def init_app(app: Flask) -> None:
    """Bind flask-smorest; the document itself is served by the `health` domain, outside of `/api/v1`."""
    app.config.update(
        API_TITLE="Library API",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
        API_SPEC_OPTIONS={
            "info": {
                "summary": "Catalogues that fill themselves from Open Library, for many libraries in one service.",
                "description": OVERVIEW,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": ".", "description": "The server that this document was fetched from."}],
        },
    )
    api.ERROR_SCHEMA = None
    api.init_app(app)


def document(app: Flask) -> dict[str, Any]:
    """The whole document; made once, for the endpoints do not change while the app runs."""
    if "openapi" not in app.extensions:
        with app.app_context():
            app.extensions["openapi"] = _complete(app, deepcopy(api.spec.to_dict()))
    made: dict[str, Any] = app.extensions["openapi"]
    return made


def _complete(app: Flask, found: dict[str, Any]) -> dict[str, Any]:
    found["info"]["version"] = VERSION
    found["x-rate-limit-policies"] = _policies()
    found["components"] = components = {
        "schemas": {**_described(found["components"]["schemas"]), "Problem": problems.PROBLEM},
        "headers": headers.HEADERS,
        "examples": {},
        "securitySchemes": _SECURITY_SCHEMES,
    }
    for rule in app.url_map.iter_rules():
        path = found["paths"].get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for method in sorted(_METHODS & set(rule.methods or ())):
            if path and method.lower() in path:
                endpoint = Endpoint(method, rule, app.view_functions[rule.endpoint])
                operations.complete(path[method.lower()], endpoint, components, in_path=path.get("parameters", ()))
    found["paths"] = {
        path: operations
        for path, operations in found["paths"].items()
        if not any("hidden" in operation for operation in operations.values() if isinstance(operation, dict))
    }
    for path in found["paths"].values():
        # They stand at each operation, where generators of clients look for them.
        path.pop("parameters", None)
    return found


def _described(schemas: dict[str, Any]) -> dict[str, Any]:
    """Our schemas in the words of their classes; without what flask-smorest has for its own way of paging."""
    kinds = {name: key[0] for key, name in api.ma_plugin.converter.refs.items()}
    described = {}
    for name, schema in schemas.items():
        if issubclass(kinds[name], StrictSchema):
            told = with_shared_words(examples.in_this_standards_words(schema))
            described[name] = {**_description(kinds[name]), **told, **_one_of(kinds[name].exactly_one_of)}
    return described


def _description(kind: type[Schema]) -> dict[str, str]:
    return {"description": cleandoc(kind.__doc__)} if kind.__doc__ else {}


def _one_of(names: Iterable[str]) -> dict[str, Any]:
    alternatives = [{"required": [name]} for name in names]
    return {"oneOf": alternatives} if alternatives else {}


def _policies() -> dict[str, Any]:
    """The limits as this server has them; a tenant may have its own numbers for `api` and `ingestion`."""
    return {
        limit.value: {
            "limit": rate.limit,
            "window_seconds": rate.window_seconds,
            "counted_per": "tenant" if limit in TENANT_LIMITS else "caller",
        }
        for limit, rate in limits().rates.items()
    }
