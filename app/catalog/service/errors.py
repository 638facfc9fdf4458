"""What the catalogue refuses, beside what everybody refuses."""

from __future__ import annotations

from app.core.errors import Conflict


class IsbnTaken(Conflict):
    """Another book of the tenant has this ISBN."""

    code = "isbn_taken"


class BookInUse(Conflict):
    """Copies of the book are on loan."""

    code = "book_in_use"
