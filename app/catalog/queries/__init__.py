"""Questions about the catalogue.

`books` answers for one book and lists them, `authors` lists who wrote them, `search` finds books by words, `words` says
what a word is, and `filters` what lists and search can be narrowed by.
"""

from __future__ import annotations

from app.catalog.queries.books import BOOK_COLUMNS, book, cover_urls, render_book, survivor_of

__all__ = ["BOOK_COLUMNS", "book", "cover_urls", "render_book", "survivor_of"]
