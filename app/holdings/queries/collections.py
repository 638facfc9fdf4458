"""Which collections there are, and who sees them.

The library's are everybody's to see. One that is somebody's own tells what they have at home: it is seen by them, by
whoever sees them (`members.queries.people_seen_by`), and by those who look after people or holdings.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, or_, select, union_all

from app.core.database import Question, Shape
from app.core.pagination import Listing
from app.core.security import Actor, Permission, current_actor
from app.core.sets import one_id
from app.core.tenancy import own
from app.extensions import db
from app.holdings.models import Collection
from app.members.queries import people_seen_by

COLLECTION: Final = Shape(
    Collection, "id", "name", "description", "owner_id", "synced_at", "created_at", "updated_at"
)  # fmt: skip
_IS_SEEN: Final = or_(
    bindparam("sees_all"), Collection.owner_id.is_(None), Collection.owner_id.in_(people_seen_by(one_id("actor_id")))
)
_COLLECTION: Final = Question(select(*COLLECTION).where(own(Collection), Collection.id == one_id("id"), _IS_SEEN))
# Found by two indexes: among very many people's own collections, the few that somebody sees are not searched for.
_SEEN_IDS: Final = union_all(
    select(Collection.id).where(own(Collection), Collection.owner_id.is_(None)),
    select(Collection.id).where(own(Collection), Collection.owner_id.in_(people_seen_by(one_id("seen_by")))),
)
COLLECTIONS: Final = Listing(
    "collections",
    select(*COLLECTION).where(own(Collection)),
    tie=Collection.id,
    sorts={"created_at": Collection.created_at, "name": Collection.name},
    default_sort="-created_at",
    filters={"owner_id": Collection.owner_id == one_id("owner_id"), "seen_by": Collection.id.in_(_SEEN_IDS)},
)


def visible_collections(**asked: Any) -> dict[str, Any]:
    """A page of the collections that the caller may see."""
    actor = current_actor()
    return COLLECTIONS.page(**asked, seen_by=None if _sees_all(actor) else _id_of(actor))


def visible_collection(collection_id: UUID | None) -> dict[str, Any] | None:
    """One collection; none where the caller may not see it."""
    actor = current_actor()
    return _COLLECTION.record(id=collection_id, actor_id=actor.id, sees_all=_sees_all(actor))


def locked_collection(collection_id: UUID | None) -> Collection | None:
    """One as a row to be changed, by somebody who sees all: nobody else changes it, or what is in it, meanwhile."""
    statement = select(Collection).where(own(Collection), Collection.id == collection_id).with_for_update()
    return db.session.scalar(statement)


def locked_collections_of(user_id: UUID) -> list[Collection]:
    """What somebody has at home, all of it held: nobody else changes it meanwhile."""
    mine = select(Collection).where(own(Collection), Collection.owner_id == user_id)
    return list(db.session.scalars(mine.order_by(Collection.id).with_for_update()))


def _sees_all(actor: Actor) -> bool:
    return actor.may(Permission.HOLDINGS_WRITE) or actor.may(Permission.USERS_READ)


def _id_of(actor: Actor) -> UUID:
    # Whoever does not see all is somebody, or a program.
    assert actor.id is not None  # noqa: S101 - for the type checker
    return actor.id


_COLLECTIONS_OF: Final = Question(
    select(*COLLECTION).where(own(Collection), Collection.owner_id == one_id("user_id")).order_by(Collection.created_at)
)


def collections_of(user_id: UUID) -> list[dict[str, Any]]:
    """Those that are somebody's own."""
    return _COLLECTIONS_OF.records(user_id=user_id)
