"""The Postman collection, made from the OpenAPI document and the plan: a folder a domain, a request for every step.

The document says what each request looks like, what it answers and how an answer is told to be right; the plan (see
`plan.py`) says in which order they are sent, as whom, and what one remembers of an answer for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.core.postman.items import item_of
from app.core.postman.plan import Plan, PlanError, read_plan

__all__ = ["FILE_NAME", "Plan", "PlanError", "collection", "read_plan", "write"]

SCHEMA_URL = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
FILE_NAME = "Library API.postman_collection.json"
# What signs a request that the plan gives nobody else's credential.
CREDENTIAL = "access_token"


def collection(document: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The collection (v2.1) of an OpenAPI document, in the plan's order."""
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    return {
        "info": {
            "name": document["info"]["title"],
            "description": "\n".join(filter(None, [document["info"]["description"], plan.description])),
            "schema": SCHEMA_URL,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{" + CREDENTIAL + "}}", "type": "string"}]},
        "variable": [
            {"key": each.name, "value": each.value, "type": "string", "description": each.description}
            for each in plan.variables
        ],
        "item": [
            {
                "name": tag,
                "description": about.get(tag, ""),
                "item": [item_of(document, plan, step) for step in plan.steps if step.tag == tag],
            }
            for tag in dict.fromkeys(step.tag for step in plan.steps)
        ],
    }


def write(document: Mapping[str, Any], plan: Plan) -> bytes:
    """The collection as the file holds it."""
    return orjson.dumps(collection(document, plan), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
