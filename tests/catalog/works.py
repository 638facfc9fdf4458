"""Works as Open Library tells them, made up for tests."""

from __future__ import annotations

from typing import Any

from app.openlibrary.records import WORK_FIELDS, AuthorRef, Contributor, NormalizedEdition, NormalizedWork

HERBERT = AuthorRef("Frank Herbert", "OL79034A")
ISBNS = ("9780441172719", "9780340960196", "9780450011849")
SEARCHED = frozenset(WORK_FIELDS - {"description", "editions"})


def a_work(key: str = "OL893415W", **told: Any) -> NormalizedWork:
    """A work told by a search answer that was asked for everything but the description."""
    fields: dict[str, Any] = {
        "title": "Dune",
        "authors": (HERBERT,),
        "author_keys": ("OL79034A",),
        "contributors": (Contributor("John Schoenherr", "illustrator"),),
        "first_publish_year": 1965,
        "subjects": ("Science fiction", "Dune (Imaginary place)"),
        "languages": ("eng", "fre"),
        "publishers": ("Chilton", "Ace"),
        "isbns": ISBNS[:1],
        "page_count": 541,
        "cover_id": 11481354,
        "series": ("Dune",),
        "unasked": WORK_FIELDS - SEARCHED,
    }
    return NormalizedWork(open_library_key=key, **{**fields, **told})


def an_edition(key: str | None = "OL9526377M", *isbns: str, **told: Any) -> NormalizedEdition:
    """An edition told by its own document."""
    fields: dict[str, Any] = {"title": "Dune", "publishers": ("Ace",), "publish_year": 1990, "revision": 3}
    return NormalizedEdition(open_library_key=key, isbn=isbns[0] if isbns else None, isbns=isbns, **{**fields, **told})
