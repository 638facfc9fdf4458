"""What holdings refuse, beside what everybody refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from app.core.errors import Conflict


class AlreadyInCollection(Conflict):
    """Rows of a delta are to be added and are there already; nothing was changed."""

    code = "already_in_collection"
    member_schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "isbns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Those that are there, in the order of their rows.",
            "examples": [["9780441172719"]],
        }
    }


class TooManyRemovals(Conflict):
    """The feed would remove more than `max_removals`; nothing was changed."""

    code = "too_many_removals"
    member_schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "removals": {"type": "integer", "description": "As many as it would remove.", "examples": [4800]}
    }
