"""The catalogue: books with their versions, editions and authors.

Owns `books`, `book_versions`, `editions`, `authors`, `book_authors`, `book_terms` and `book_aliases`, the words of the
search, which only functions of the database reach: `book_search`, `search_words` and `search_deletions`, and what is to
be looked up: `wanted_isbns` and `enrichment_schedule`. Ingestion and everything that hangs on a book write through
`catalog.service`; anybody above may read through `catalog.queries`.
"""
