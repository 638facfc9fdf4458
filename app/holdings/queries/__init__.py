"""Questions about holdings.

`collections` says which there are and who sees them, `items` what is in one, and what is held of given books; `copies`
is about single ones.
"""

from __future__ import annotations

from app.holdings.queries.collections import (
    COLLECTIONS,
    collections_of,
    locked_collection,
    locked_collections_of,
    visible_collection,
    visible_collections,
)
from app.holdings.queries.copies import COPIES, copy, copy_of_barcode, has_book, lock_book, lock_book_of, locked_copy
from app.holdings.queries.items import (
    ITEMS,
    held,
    held_anywhere,
    items_of,
    narrowed_by,
    present_items,
    statistics,
    surplus_isbns,
)

__all__ = [
    "COLLECTIONS",
    "COPIES",
    "ITEMS",
    "collections_of",
    "copy",
    "copy_of_barcode",
    "has_book",
    "held",
    "held_anywhere",
    "items_of",
    "lock_book",
    "lock_book_of",
    "locked_collection",
    "locked_collections_of",
    "locked_copy",
    "narrowed_by",
    "present_items",
    "statistics",
    "surplus_isbns",
    "visible_collection",
    "visible_collections",
]
