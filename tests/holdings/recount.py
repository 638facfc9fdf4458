"""What books should count, reckoned from the rows alone, and what they do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine

_WRONG = """
SELECT books.title, books.listed_total, books.listed_available, counted.total, counted.available
FROM books
CROSS JOIN LATERAL (
    SELECT coalesce(sum(item.copies_total), 0) AS total, coalesce(sum(item.copies_available), 0) AS available
    FROM editions AS edition
    JOIN collection_items AS item ON item.tenant_id = edition.tenant_id AND item.isbn = edition.isbn
    JOIN collections AS one ON one.tenant_id = item.tenant_id AND one.id = item.collection_id
    WHERE edition.tenant_id = books.tenant_id AND edition.book_id = books.id AND one.owner_id IS NULL
) AS counted
WHERE (books.listed_total, books.listed_available) IS DISTINCT FROM (counted.total, counted.available)
"""
# Wanted is what nothing has an edition of; only what is held is wanted.
_WRONGLY_WANTED = """
SELECT isbn FROM wanted_isbns AS wanted
WHERE EXISTS (SELECT FROM editions WHERE tenant_id = wanted.tenant_id AND isbn = wanted.isbn)
    OR NOT EXISTS (SELECT FROM collection_items WHERE tenant_id = wanted.tenant_id AND isbn = wanted.isbn)
"""


def wrong_counts(owner: Engine) -> list[dict[str, Any]]:
    """Books that count something else than there is."""
    with owner.connect() as connection:
        return [dict(row) for row in connection.execute(text(_WRONG)).mappings()]


def wrongly_wanted(owner: Engine) -> list[str]:
    """ISBNs that are to be looked up although they need not be."""
    with owner.connect() as connection:
        return list(connection.scalars(text(_WRONGLY_WANTED)))


def wanted(owner: Engine) -> list[str]:
    """The ISBNs that are to be looked up."""
    with owner.connect() as connection:
        return list(connection.scalars(text("SELECT isbn FROM wanted_isbns ORDER BY isbn")))
