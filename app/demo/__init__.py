"""The demo library: a tenant full of real Open Library records, and keys to try everything with.

Owns no table. The records are shipped in `records/` and go into the mirror as well, so that ingestion can be tried
without the internet.
"""
