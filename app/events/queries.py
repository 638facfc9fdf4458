"""Questions about the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Text, Uuid, and_, bindparam, column, func, select, table, true

from app.core.database import Question, Shape
from app.core.pagination import Listing
from app.core.tenancy import OWN_TENANT_ID, own, tenant
from app.events.models import Event, EventSeal, UnsealedEvent

# — the list ———————————————————————————————————————————————————————————————————————————————————————

_EVENT = Shape(Event, "id", "type", "level", "actor_kind", "actor_id", "subject_id", "data", "at", "request_id")


def _shown(flat: dict[str, Any]) -> dict[str, Any]:
    kind, subject_id = flat["type"].partition(".")[0], flat["subject_id"]
    return {
        "id": flat["id"],
        "type": flat["type"],
        "level": flat["level"],
        "actor": {"kind": flat["actor_kind"], "id": flat["actor_id"]},
        "subject": {"kind": kind, "id": subject_id} if subject_id else None,
        "data": flat["data"],
        "at": flat["at"],
        "request_id": flat["request_id"],
    }


EVENTS = Listing(
    "events",
    select(*_EVENT).where(own(Event)),
    tie=Event.id,
    sorts={"at": Event.at},
    default_sort="-at",
    filters={
        "type": Event.type == bindparam("type"),
        # Not LIKE: it is not leakproof, so behind row-level security no index would help it.
        "type_from": Event.type >= bindparam("type_from"),
        "type_before": Event.type < bindparam("type_before"),
        "level": Event.level == bindparam("level"),
        "actor_id": Event.actor_id == bindparam("actor_id"),
        "subject_id": Event.subject_id == bindparam("subject_id"),
        "since": Event.at >= bindparam("since"),
        "until": Event.at < bindparam("until"),
    },
    render=_shown,
)


def narrowed_by(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The list's arguments for what a client asked: `book.*` becomes the range of the types that begin so."""
    chosen = dict(arguments)
    beginning = chosen.get("type", "").removesuffix("*")
    if beginning != chosen.get("type", ""):
        del chosen["type"]
        chosen["type_from"], chosen["type_before"] = beginning, beginning[:-1] + chr(ord(beginning[-1]) + 1)
    return chosen


# — the chain ——————————————————————————————————————————————————————————————————————————————————————


# What an event says, which is all that is written down of it.
SAID: Final = tuple(each.name for each in Event.__table__.columns)


def _said(events: Any) -> list[ColumnElement[Any]]:
    """All that an event says, by names: ids and times as text, and `data` as PostgreSQL writes it.

    That is the same for the same content: keys in a fixed order, numbers to the last digit. Times are in UTC to the
    microsecond; as text, because PostgreSQL holds more of them than Python does.
    """
    return [_as_text(events.c[name]).label(name) for name in SAID]


def _as_text(each: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(each.type, DateTime):
        return func.to_char(func.timezone("UTC", each), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    return each


_NEXT_TENANT: Final = Question(
    select(UnsealedEvent.tenant_id)
    .where(UnsealedEvent.tenant_id > bindparam("after"))
    .order_by(UnsealedEvent.tenant_id)
    .limit(1)
)


def tenants_with_unsealed_events() -> list[UUID]:
    """The ids of all tenants that have some; it costs a look for each, however many events these have."""
    found: list[UUID] = []
    after: UUID | None = UUID(int=0)
    while after := _NEXT_TENANT.id(after=after):
        found.append(after)
    return found


# The position, and the hash, before the first.
CHAIN_BEGINS: Final = (0, bytes(32))


def newest_seal() -> tuple[int, bytes]:
    """The position and the hash of the current tenant's newest seal; without any, those before the first."""
    found = _NEWEST_SEAL.one()
    return (found[0], bytes(found[1])) if found else CHAIN_BEGINS


_NEWEST_SEAL: Final = Question(
    select(EventSeal.position, EventSeal.hash).where(own(EventSeal)).order_by(EventSeal.position.desc()).limit(1)
)


def unsealed_events(*, after: UUID, limit: int) -> list[dict[str, Any]]:
    """The current tenant's next events in the queue by id, in the order in which they happened, with what each says.

    Where the event is gone, its columns are None and `event_id` alone is left.
    """
    return _UNSEALED_EVENTS.records(after=after, limit=limit)


_QUEUE: Final = (
    select(UnsealedEvent.event_id)
    .where(UnsealedEvent.tenant_id == OWN_TENANT_ID, UnsealedEvent.event_id > bindparam("after"))
    .order_by(UnsealedEvent.event_id)
    .limit(bindparam("limit"))
    .subquery("queue")
)
# Looked up one by one: planned as a join, it might read through all events that were ever sealed.
_QUEUED: Final = select(Event).where(own(Event), Event.id == _QUEUE.c.event_id).limit(1).lateral("queued")
_UNSEALED_EVENTS: Final = Question(
    select(_QUEUE.c.event_id, *_said(_QUEUED)).outerjoin(_QUEUED, true()).order_by(_QUEUED.c.at, _QUEUED.c.id)
)


def sealed_events(*, after: int, until: int, limit: int) -> list[dict[str, Any]]:
    """The current tenant's seals from one position to another, in their order, each with what its event says.

    Where the event is gone, its columns are None.
    """
    return _SEALED_EVENTS.records(after=after, until=until, limit=limit)


_SEALS: Final = (
    select(EventSeal.position, EventSeal.event_id, EventSeal.hash)
    .where(own(EventSeal), EventSeal.position > bindparam("after"), EventSeal.position <= bindparam("until"))
    .order_by(EventSeal.position)
    .limit(bindparam("limit"))
    .subquery("seals")
)
_SEALED_EVENTS: Final = Question(
    select(*_SEALS.c, *_said(Event.__table__))
    .select_from(_SEALS)
    .outerjoin(Event, and_(own(Event), Event.id == _SEALS.c.event_id))
    .order_by(_SEALS.c.position)
)


def places_of_events(*, after: UUID, limit: int) -> list[tuple[UUID, bool, bool]]:
    """The current tenant's next events by id, and whether each has a seal, and a place in the queue."""
    found = _PLACES.all(after=after, limit=limit)
    return [(UUID(event_id), is_sealed, is_queued) for event_id, is_sealed, is_queued in found]


_SOME: Final = (
    select(Event.id)
    .where(own(Event), Event.id > bindparam("after"))
    .order_by(Event.id)
    .limit(bindparam("limit"))
    .subquery("some")
)
_PLACES: Final = Question(
    select(_SOME.c.id, EventSeal.event_id.is_not(None), UnsealedEvent.event_id.is_not(None))
    .select_from(_SOME)
    .outerjoin(EventSeal, and_(own(EventSeal), EventSeal.event_id == _SOME.c.id))
    .outerjoin(UnsealedEvent, and_(UnsealedEvent.tenant_id == OWN_TENANT_ID, UnsealedEvent.event_id == _SOME.c.id))
    .order_by(_SOME.c.id)
)


# — whose ——————————————————————————————————————————————————————————————————————————————————————————

# Of a table that belongs to a domain above this one, only what its rows are called by.
_TENANTS: Final = table("tenants", column("id", Uuid()), column("slug", Text()))
_ALL_TENANTS: Final = Question(select(_TENANTS.c.id, _TENANTS.c.slug).order_by(_TENANTS.c.slug))
_EVER_CREATED: Final = Question(
    select(Event.subject_id).where(own(Event), Event.type == "tenant.created").order_by(Event.at, Event.id)
)


def tenants_with_trails() -> dict[UUID, str]:
    """What every tenant is called: its slug, or, where it was purged and only its events are left, its id."""
    called = {UUID(tenant_id): slug for tenant_id, slug in _ALL_TENANTS.all()}
    platform_id = next(tenant_id for tenant_id, slug in called.items() if slug == "platform")
    with tenant(platform_id):
        created = [UUID(tenant_id) for (tenant_id,) in _EVER_CREATED.all()]
    return called | {tenant_id: str(tenant_id) for tenant_id in created if tenant_id not in called}
