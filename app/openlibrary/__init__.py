"""Open Library as this service sees it: the only package that speaks to openlibrary.org.

`records` are what the rest of the service sees, `parsing` makes them of documents (pure), `client` fetches these,
`mirror` keeps our copy, and `lookup` is what the rest of the service uses: it asks the copy and the site in the right
order.

Tables: `open_library_records`, `open_library_queries`. They belong to no tenant: what one library fetched serves the
others.
"""
