"""Words for fields that mean the same wherever they stand, so that they are said once."""

from __future__ import annotations

from typing import Any

_OF_EVERY_SCHEMA = {
    "id": "Names it in addresses; never changes.",
    "name": "What people call it.",
    "items": "This page, in the order that was asked for.",
    "created_at": "When it was made.",
    "updated_at": "When it was last changed.",
}


def with_shared_words(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema, with descriptions for the fields that have the words of all; a field's own words come first."""
    if "properties" not in schema:
        return schema
    described = {
        name: {"description": _OF_EVERY_SCHEMA[name], **part} if name in _OF_EVERY_SCHEMA else part
        for name, part in schema["properties"].items()
    }
    return {**schema, "properties": described}
