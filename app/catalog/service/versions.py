"""What a book said before: compared, and brought back."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def restore_version(book_id: UUID | None, number: int) -> None:
    """Give a book the content of one of its versions again, as a new version with origin `restore`.

    Where that content differs from what the source tells, it becomes an override.

    Raises:
        NotFound: this tenant has no such book, or the book no such version.
        IsbnTaken: another book has one of the version's ISBNs by now.
    """
    raise NotImplementedError


def version_diff(book_id: UUID | None, first: int, second: int) -> dict[str, Any]:
    """What changed from one version to another: `from`, `to` and `changes` by field, in the fields' order.

    Raises:
        NotFound: this tenant has no such book, or the book not both versions.
    """
    raise NotImplementedError
