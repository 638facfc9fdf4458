"""The catalogue: books with their versions, editions and authors.

Owns `books`, `book_versions`, `editions`, `authors`, `book_authors`, `book_terms` and `book_aliases`, and the words of
the search, which only functions of the database reach: `book_search`, `search_words` and `search_deletions`. Ingestion
and everything that hangs on a book write through `catalog.service`; anybody above may read through `catalog.queries`.
"""
