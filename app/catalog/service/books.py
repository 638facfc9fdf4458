"""What librarians do with books by hand."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def create_book(**fields: Any) -> UUID:
    """Make a book from the fields a librarian gives, under the names of its columns; returns its id.

    Raises:
        IsbnTaken: another book of the tenant has one of the ISBNs.
    """
    raise NotImplementedError


def update_book(book_id: UUID | None, changes: dict[str, Any]) -> None:
    """Set fields by hand: each that changes becomes an override, and all together one version.

    `changes["overrides"]` maps fields to None whose override is to be lifted. Equal values change nothing.

    Raises:
        NotFound: this tenant has no such book.
        Invalid: a field is set and lifted at once.
        IsbnTaken: another book of the tenant has one of the ISBNs.
    """
    raise NotImplementedError


def delete_book(book_id: UUID | None) -> None:
    """Remove a book with its versions and editions.

    Raises:
        NotFound: this tenant has no such book.
        BookInUse: copies of it are on loan.
    """
    raise NotImplementedError
