"""Examples: those of fields come from the metadata of marshmallow's schemas, those of bodies are put together here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXAMPLE_ID = "0199d2f4-7c1a-7e3b-9a64-3f1f2b8c5d10"
# What needs no example of its own: any value of this format is as good as another.
_BY_FORMAT = {"uuid": EXAMPLE_ID, "date-time": "2026-01-31T09:30:00Z"}


def in_this_standards_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    r"""A schema of ours as JSON Schema has it, with an example at every value that can have one by itself.

    JSON Schema has `examples`, a list, and patterns of ECMAScript: Python's `$` would let a newline pass, so the code
    has `\Z`.
    """
    told = dict(schema)
    if "example" in told:
        told["examples"] = [told.pop("example")]
    if told.get("default", ...) is None:
        # Absent and null are the same there, and generators of clients take what has a default for always present.
        del told["default"]
    if "pattern" in told:
        told["pattern"] = told["pattern"].replace("\\Z", "$")
    for part in ("items", "additionalProperties"):
        if isinstance(told.get(part), dict):
            told[part] = in_this_standards_words(told[part])
    if "properties" in told:
        told["properties"] = {name: in_this_standards_words(part) for name, part in told["properties"].items()}
    if "examples" not in told and ("enum" in told or told.get("format") in _BY_FORMAT):
        told["examples"] = [told["enum"][0] if "enum" in told else _BY_FORMAT[told["format"]]]
    return told


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that a schema describes, put together of the examples in it; None where it has none."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "properties" in schema:
        return {name: example_of(part, schemas) for name, part in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    return schema.get("default")
