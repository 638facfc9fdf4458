"""Verifying: whether what is stored is what was sealed.

It shows what was altered or removed by somebody who can write to the database but leaves the rest of the chain alone.
Who computes the chain anew from there on, or cuts off its end with the events, is found out by a hash that was noted
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from app.events import queries
from app.events.service.sealing import link

_BATCH: Final = 1000
_BEFORE_ALL: Final = UUID(int=0)


def verify(*, report: Callable[[str], object], advance: Callable[[int], object]) -> tuple[int, bytes]:
    """Compute the current tenant's chain anew, up to its present end; returns the newest position and its hash.

    `report` is told of each fault, in a line; `advance` how many seals and how many events have been looked at.
    """
    position, newest = queries.newest_seal()
    _verify_seals(position, report, advance)
    _verify_events(report, advance)
    _verify_queue(report)
    return position, newest


def _verify_seals(until: int, report: Callable[[str], object], advance: Callable[[int], object]) -> None:
    position, previous = queries.CHAIN_BEGINS
    is_known = True
    while found := queries.sealed_events(after=position, until=until, limit=_BATCH):
        for seal in found:
            if seal["position"] != position + 1:
                # The hash before is gone with them, so that of the next event can't be computed.
                report(f"the seals from position {position + 1} to {seal['position'] - 1} were removed.")
                is_known = False
            position, expected = seal["position"], bytes(seal["hash"])
            if seal["id"] is None:
                report(f"event {seal['event_id']} was removed: its seal is at position {position}.")
            elif is_known and link(previous, seal) != expected:
                report(f"event {seal['id']} is not what was sealed at position {position}: it or its seal was altered.")
            previous, is_known = expected, True
        advance(len(found))


def _verify_events(report: Callable[[str], object], advance: Callable[[int], object]) -> None:
    after = _BEFORE_ALL
    while found := queries.places_of_events(after=after, limit=_BATCH):
        for event_id, is_sealed, is_queued in found:
            if not is_sealed and not is_queued:
                report(f"event {event_id} has no seal and does not wait for one: either was removed.")
            elif is_sealed and is_queued:
                report(f"event {event_id} has a seal and waits for another, which keeps the events after it waiting.")
        after = found[-1][0]
        advance(len(found))


def _verify_queue(report: Callable[[str], object]) -> None:
    after = _BEFORE_ALL
    while found := queries.unsealed_events(after=after, limit=_BATCH):
        for queued in found:
            if queued["id"] is None:
                report(f"event {queued['event_id']} was removed before it was sealed.")
        after = max(UUID(queued["event_id"]) for queued in found)
