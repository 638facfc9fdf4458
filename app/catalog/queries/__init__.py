"""Questions about the catalogue.

`books` answers for one book and lists them, `authors` lists who wrote them, `search` finds books by words, `words` says
what a word is, and `filters` what list and search can be narrowed by.
"""

from __future__ import annotations

from app.catalog.queries.authors import AUTHORS, author
from app.catalog.queries.books import (
    BOOKS,
    COVER_SIZES,
    NoCover,
    book,
    cover_address,
    cover_urls,
    holder_of,
    survivor_of,
)
from app.catalog.queries.filters import narrowed_by
from app.catalog.queries.search import Facet, search

__all__ = [
    "AUTHORS",
    "BOOKS",
    "COVER_SIZES",
    "Facet",
    "NoCover",
    "author",
    "book",
    "cover_address",
    "cover_urls",
    "holder_of",
    "narrowed_by",
    "search",
    "survivor_of",
]
