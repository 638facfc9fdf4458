"""What is in a collection, and what a collection has of given books.

Items name ISBNs: their books are found by the editions that the catalogue has at the moment.
"""

from __future__ import annotations

from collections.abc import Collection as SomeOf
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, and_, bindparam, func, select

from app.catalog import queries as catalog
from app.catalog.models import Book, Edition
from app.core.cache import Generation, remembered
from app.core.database import Question
from app.core.pagination import Listing
from app.core.sets import one_id, run, table_of, text_list, uuid_list
from app.core.tenancy import own
from app.holdings.models import Collection, CollectionItem

_IS_OF_ITEM: Final = and_(Edition.tenant_id == CollectionItem.tenant_id, Edition.isbn == CollectionItem.isbn)
_IS_BOOK: Final = and_(Book.tenant_id == Edition.tenant_id, Book.id == Edition.book_id)
_IN_COLLECTION: Final = CollectionItem.collection_id == one_id("collection_id")

# — lists ——————————————————————————————————————————————————————————————————————————————————————————


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    cover_id = item.pop("cover_id")
    return {**item, "cover": catalog.cover_urls(cover_id)}


ITEMS: Final = Listing(
    "collection_items",
    select(
        CollectionItem.isbn,
        Edition.book_id,
        Book.title,
        Book.subtitle,
        Book.authors,
        Book.cover_id,
        CollectionItem.copies_total,
        CollectionItem.copies_available,
        CollectionItem.info,
        CollectionItem.updated_at,
    )
    .outerjoin(Edition, _IS_OF_ITEM)
    .outerjoin(Book, _IS_BOOK)
    .where(own(CollectionItem)),
    tie=CollectionItem.isbn,
    sorts={"isbn": CollectionItem.isbn},
    default_sort="isbn",
    filters={
        "collection_id": _IN_COLLECTION,
        "isbn": CollectionItem.isbn == bindparam("isbn"),
        "book_id": Edition.book_id == one_id("book_id"),
        "words": catalog.has_words(Edition.book_id.expression, "words"),
        "available": CollectionItem.copies_available > 0,
        "unavailable": CollectionItem.copies_available == 0,
    },
    # Titles are the catalogue's, and every change of items moves its generation as well.
    generation=Generation.CATALOGUE,
    render=_shown,
)


def narrowed_by(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The filters of `ITEMS` for what a client asks."""
    narrowed = {name: asked[name] for name in ("isbn", "book_id") if name in asked}
    if "available" in asked:
        narrowed["available" if asked["available"] else "unavailable"] = True
    if "q" in asked:
        narrowed["words"] = list(dict.fromkeys(catalog.words_of(asked["q"])))
    return narrowed


_STATISTICS: Final = Question(
    select(
        func.count().label("editions"),
        func.coalesce(func.sum(CollectionItem.copies_total), 0).label("copies_total"),
        func.coalesce(func.sum(CollectionItem.copies_available), 0).label("copies_available"),
        func.count(Edition.id).label("known"),
        func.count(Book.id).label("labelled"),
    )
    .select_from(CollectionItem)
    .outerjoin(Edition, _IS_OF_ITEM)
    .outerjoin(Book, _IS_BOOK & Book.labels.is_not(None))
    .where(own(CollectionItem), _IN_COLLECTION)
)


def statistics(collection_id: UUID) -> dict[str, Any]:
    """How many editions and copies there are, and of how many editions the catalogue has a book, a labelled one too."""

    def count() -> dict[str, Any] | None:
        return _STATISTICS.record(collection_id=collection_id)

    found: dict[str, Any] = remembered(f"collection_statistics:{collection_id}", Generation.CATALOGUE, count)
    return found


_GIVEN: Final = (
    func.unnest(uuid_list("book_ids")).table_valued("id", with_ordinality="place", name="given").render_derived()
)
_COPIES: Final = func.coalesce(func.sum(CollectionItem.copies_total), 0)
_HELD: Final = Question(
    select(
        _GIVEN.c.id.label("book_id"),
        (_COPIES > 0).label("held"),
        func.count(CollectionItem.isbn).label("editions"),
        _COPIES.label("copies_total"),
        func.coalesce(func.sum(CollectionItem.copies_available), 0).label("copies_available"),
    )
    .select_from(_GIVEN)
    .outerjoin(Edition, and_(own(Edition), Edition.book_id == _GIVEN.c.id))
    .outerjoin(CollectionItem, and_(own(CollectionItem), _IN_COLLECTION, CollectionItem.isbn == Edition.isbn))
    .group_by(_GIVEN.c.id, _GIVEN.c.place)
    .order_by(_GIVEN.c.place)
)


def held(collection_id: UUID, book_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """What a collection has of each of these books, in their order: `editions` that it lists, and their copies.

    A book of which it lists editions without a copy is not `held`. Whether the caller sees the collection is for
    whoever asks to find out.
    """
    return _HELD.records(collection_id=collection_id, book_ids=book_ids)


# — for the synchronisation ————————————————————————————————————————————————————————————————————————————

_ITEMS: Final = table_of(CollectionItem)
_MINE: Final = own(_ITEMS.c) & (_ITEMS.c.collection_id == one_id("collection_id"))
_NAMED: Final = _ITEMS.c.isbn == func.any(text_list("isbns"))
_PRESENT: Final = select(_ITEMS.c.isbn, _ITEMS.c.copies_total, _ITEMS.c.copies_available, _ITEMS.c.info).where(
    _MINE, _NAMED
)
_SURPLUS: Final = select(_ITEMS.c.isbn).where(_MINE, _ITEMS.c.isbn != func.all(text_list("isbns")))
_HELD_ANYWHERE: Final = select(_ITEMS.c.isbn).distinct().where(own(_ITEMS.c), _NAMED)


def present_items(collection_id: UUID, isbns: SomeOf[str]) -> Sequence[Row[Any]]:
    """What a collection has of these ISBNs."""
    return run(_PRESENT, collection_id=collection_id, isbns=list(isbns))


def surplus_isbns(collection_id: UUID, *, beside: SomeOf[str]) -> list[str]:
    """The ISBNs that a collection has beside these."""
    return [row.isbn for row in run(_SURPLUS, collection_id=collection_id, isbns=list(beside))]


def held_anywhere(isbns: SomeOf[str]) -> set[str]:
    """Which of these ISBNs any collection of the tenant has."""
    return {row.isbn for row in run(_HELD_ANYWHERE, isbns=list(isbns))}


_ITEMS_OF: Final = Question(
    select(
        CollectionItem.collection_id,
        CollectionItem.isbn,
        CollectionItem.copies_total,
        CollectionItem.copies_available,
        CollectionItem.info,
        CollectionItem.updated_at,
    )
    .join(
        Collection,
        (Collection.tenant_id == CollectionItem.tenant_id) & (Collection.id == CollectionItem.collection_id),
    )
    .where(own(CollectionItem), Collection.owner_id == one_id("user_id"))
    .order_by(CollectionItem.collection_id, CollectionItem.isbn)
)


def items_of(user_id: UUID) -> list[dict[str, Any]]:
    """What is in somebody's own collections."""
    return _ITEMS_OF.records(user_id=user_id)
