"""Sealing: committed events get their position in their tenant's chain, and the hash that binds them to all before.

It happens after the commit, by one writer for each tenant, for two reasons. A chain that grew within the transactions
would make every write of a tenant wait for the one before; and a number taken before the commit would let who reads on
from a position step over a transaction that commits late.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from app.core.database import transaction
from app.core.queue import TaskName, enqueue
from app.core.sets import inserting, run, table_of, try_lock_name
from app.core.tenancy import tenant
from app.events import queries
from app.events.models import EventSeal, UnsealedEvent

log = logging.getLogger(__name__)

# Some fifty milliseconds' work: so long a killed sealer's is lost, and no longer.
BATCH: Final = 1000
# Another task goes on, after whatever else there is to do for the worker.
SEAL_SECONDS: Final = 5.0

_BEFORE_ALL: Final = UUID(int=0)
_SEALS: Final = table_of(EventSeal)
_UNSEALED: Final = table_of(UnsealedEvent)
_SEALED: Final = (
    inserting(_SEALS, "position", "event_id", "hash").returning(_SEALS.c.tenant_id, _SEALS.c.event_id).cte("sealed")
)
_SEAL: Final = delete(_UNSEALED).where(
    _UNSEALED.c.tenant_id == _SEALED.c.tenant_id, _UNSEALED.c.event_id == _SEALED.c.event_id
)


def link(previous: bytes, event: Mapping[str, Any]) -> bytes:
    """The hash of an event in the chain: SHA-256 of the hash before it and all that the event says.

    That is JSON with sorted keys; what is NULL is left out, so that a column that is added later changes no hash.
    """
    said = {name: event[name] for name in queries.SAID if event[name] is not None}
    return hashlib.sha256(previous + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def seal_events(*, seconds: float = SEAL_SECONDS) -> int:
    """Seal what has been committed in any tenant, tenants taking turns; returns how many events.

    Where `seconds` do not suffice, another task goes on.
    """
    until = time.monotonic() + seconds
    turns = deque((tenant_id, _BEFORE_ALL) for tenant_id in queries.tenants_with_unsealed_events())
    sealed = 0
    while turns:
        if time.monotonic() >= until:
            enqueue(TaskName.EVENTS_SEAL)
            break
        tenant_id, after = turns.popleft()
        with tenant(tenant_id):
            try:
                number, reached = _seal_some(after)
            except IntegrityError:
                # Somebody has queued what is sealed already; that keeps no other tenant from its turn.
                log.exception("events.seal_failed", extra={"tenant_id": str(tenant_id)})
                continue
        sealed += number
        if reached is not None:
            turns.append((tenant_id, reached))
    return sealed


def _seal_some(after: UUID) -> tuple[int, UUID | None]:
    """Seal the current tenant's next events in the queue, all of them or none.

    Returns how many, and how far in the queue it came, where there may be more.
    """
    with transaction():
        # Whoever holds it is sealing this tenant's events, and goes on with them.
        if not try_lock_name("chain", kind="events"):
            return 0, None
        position, previous = queries.newest_seal()
        queued = queries.unsealed_events(after=after, limit=BATCH)
        seals = []
        # What was removed in the meantime is left in the queue, for `verify` to find.
        for event in (each for each in queued if each["id"] is not None):
            position, previous = position + 1, link(previous, event)
            seals.append({"position": position, "event_id": event["id"], "hash": previous})
        if seals:
            run(_SEAL, seals)
    reached = max(each["event_id"] for each in queued) if len(queued) == BATCH else None
    return len(seals), reached and UUID(reached)
