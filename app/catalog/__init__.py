"""The catalogue: books with their versions, editions and authors.

Owns `books`, `book_versions`, `editions`, `authors`, `book_authors`, `book_terms` and `book_aliases`. Ingestion and
everything that hangs on a book write through `catalog.service`; anybody above may read through `catalog.queries`.
"""
