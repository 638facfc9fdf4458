"""Questions about the catalogue.

`books` answers for one book and lists them, `authors` lists who wrote them, `search` finds books by words, `words` says
what a word is, and `filters` what list and search can be narrowed by. `wanted` says who has ISBNs to be looked up.
"""

from __future__ import annotations

from app.catalog.queries.authors import AUTHORS, author
from app.catalog.queries.books import (
    BOOK,
    BOOKS,
    COVER_SIZES,
    NoCover,
    book,
    cover_address,
    cover_urls,
    holder_of,
    survivor_of,
    with_covers,
)
from app.catalog.queries.filters import narrowed_by
from app.catalog.queries.search import Facet, has_words, search
from app.catalog.queries.wanted import tenants_with_due_isbns
from app.catalog.queries.words import words_of

__all__ = [
    "AUTHORS",
    "BOOK",
    "BOOKS",
    "COVER_SIZES",
    "Facet",
    "NoCover",
    "author",
    "book",
    "cover_address",
    "cover_urls",
    "has_words",
    "holder_of",
    "narrowed_by",
    "search",
    "survivor_of",
    "tenants_with_due_isbns",
    "with_covers",
    "words_of",
]
