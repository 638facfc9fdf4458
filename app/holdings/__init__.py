"""What a library holds: collections with the editions in them and their numbers of copies.

Owns `collections` and `collection_items`. An item names an ISBN and not an edition, so that it stays what it is
whatever becomes of the catalogue; the counts of `books` follow by triggers of the database, for whoever writes these
tables. Domains above may ask what is held, and of which book.
"""
