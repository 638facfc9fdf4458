"""Writing the items of a locked collection, set by set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import Insert

from app.catalog import service as catalog
from app.core.sets import inserting, one_id, run, table_of, text_list
from app.core.tenancy import own
from app.holdings import queries
from app.holdings.models import Collection, CollectionItem

_ITEMS: Final = table_of(CollectionItem)
_CONTENT: Final = ("copies_total", "copies_available", "info")


def write_items(collection: Collection, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Let a collection have these copies and this info of each ISBN, whether or not it is there already."""
    same = {"collection_id": collection.id, "is_owned": collection.owner_id is not None}
    rows = [{**same, "isbn": isbn, **content} for isbn, content in contents.items()]
    if rows:
        run(_upsert(), rows)


def remove_items(collection: Collection, isbns: Sequence[str]) -> None:
    """Take items out of a collection; what the library then holds nowhere is not looked up any more."""
    if isbns:
        # Whoever adds one elsewhere comes before or after.
        catalog.hold_counts()
        mine = own(_ITEMS.c) & (_ITEMS.c.collection_id == one_id("collection_id"))
        named = _ITEMS.c.isbn == func.any(text_list("isbns"))
        run(delete(_ITEMS).where(mine, named), collection_id=collection.id, isbns=list(isbns))
        catalog.want_no_more(set(isbns) - queries.held_anywhere(isbns))


@cache
def _upsert() -> Insert:
    """Of all orders the one that everybody takes; and by the key, not by a plan that was made for fewer rows."""
    items = inserting(_ITEMS, "collection_id", "isbn", "is_owned", *_CONTENT, order_by=("isbn",))
    changed = {**{name: items.excluded[name] for name in _CONTENT}, "updated_at": func.now()}
    return items.on_conflict_do_update(constraint=_ITEMS.primary_key, set_=changed)
