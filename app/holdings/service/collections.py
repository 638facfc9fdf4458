"""Making, changing and removing collections."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction, violated_constraint
from app.core.errors import Invalid, NotFound
from app.events import service as events
from app.extensions import db
from app.holdings import queries
from app.holdings.models import Collection
from app.holdings.service.items import remove_items
from app.members import service as members

members.personal("collections")(queries.collections_of)
members.personal("collection_items")(queries.items_of)


@members.lets_go
def _let_go(user_id: UUID) -> None:
    """Empty the collections of somebody who is about to be erased: what only they had is not looked up any more."""
    # All of them before the counts, as whoever synchronises one does; circulation, which follows, may hold these.
    for collection in queries.locked_collections_of(user_id):
        remove_items(collection, queries.surplus_isbns(collection.id, beside=()))


def create_collection(*, name: str, description: str | None = None, owner_id: UUID | None = None) -> UUID:
    """Make a collection, the library's or somebody's own; answers its id.

    Raises:
        Invalid: the owner is nobody of this tenant.
    """
    collection = Collection(id=new_id(), name=name, description=description, owner_id=owner_id)
    with transaction() as session:
        session.add(collection)
        _flush_owned()
        events.record("collection.created", subject_id=collection.id)
    return collection.id


def update_collection(collection_id: UUID | None, changes: dict[str, Any]) -> None:
    """Change name, description or owner; books count the copies of a collection only while it has no owner.

    Raises:
        NotFound: there is no such collection.
        Invalid: the new owner is nobody of this tenant.
    """
    with transaction():
        collection = existing_collection(collection_id)
        for field, value in changes.items():
            setattr(collection, field, value)
        collection.updated_at = utc_now()
        _flush_owned()
        events.record("collection.updated", subject_id=collection.id, fields=sorted(changes))
        touch(Generation.CATALOGUE)


def delete_collection(collection_id: UUID | None) -> None:
    """Remove a collection with all that is in it; the books stay.

    Raises:
        NotFound: there is no such collection.
    """
    with transaction() as session:
        collection = existing_collection(collection_id)
        remove_items(collection, queries.surplus_isbns(collection.id, beside=()))
        session.delete(collection)
        session.flush()
        events.record("collection.deleted", subject_id=collection.id)
        touch(Generation.CATALOGUE)


def existing_collection(collection_id: UUID | None) -> Collection:
    """One collection, locked, for somebody who may change all.

    Raises:
        NotFound: there is no such collection.
    """
    found = queries.locked_collection(collection_id)
    if found is None:
        raise NotFound("There is no such collection.")
    return found


def visible_collection(collection_id: UUID | None) -> dict[str, Any]:
    """One collection as clients see it.

    Raises:
        NotFound: there is none, or none that the caller may see.
    """
    found = queries.visible_collection(collection_id)
    if found is None:
        raise NotFound("There is no such collection.")
    return found


def _flush_owned() -> None:
    try:
        db.session.flush()
    except IntegrityError as error:
        if violated_constraint(error) != "fk_collections_owner":
            raise
        raise Invalid.field("owner_id", "Must be a user of this tenant.") from error
