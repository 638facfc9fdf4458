"""What the catalogue refuses, beside what everybody refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from app.core.errors import Conflict


class IsbnTaken(Conflict):
    """Another book of the tenant has this ISBN."""

    code = "isbn_taken"
    member_schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "isbns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Those that are taken.",
            "examples": [["9780441172719"]],
        }
    }


class BookInUse(Conflict):
    """Copies of the book are on loan."""

    code = "book_in_use"
