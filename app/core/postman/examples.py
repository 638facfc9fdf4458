"""Examples and references of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def example_of(document: Mapping[str, Any], part: Mapping[str, Any], *, name: str = "") -> Any:
    """The example of a body's content, a parameter or a header: the one called `name`, else the first; None if none."""
    if "example" in part:
        return part["example"]
    examples = part.get("examples", {})
    chosen: Mapping[str, Any] = examples.get(name) or next(iter(examples.values()), {})
    return resolved(document, chosen).get("value")


def resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part itself, where it is a reference to one."""
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolved(document, found)


def required_headers(document: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The headers that a response always brings, by name."""
    headers = {name: resolved(document, each) for name, each in response.get("headers", {}).items()}
    return {name: each for name, each in headers.items() if each.get("required")}
