"""Following Open Library where two works became one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from app.catalog.service.works import RecordedWork
from app.openlibrary.records import NormalizedWork


def follow_merges(follow: Callable[[UUID, UUID], None]) -> Callable[[UUID, UUID], None]:
    """Register what a domain above does when two books become one: called with the ids of the loser and the survivor.

    It moves the domain's rows in the transaction of the merge, before the loser's row is removed.
    """
    return follow


def record_redirects(pairs: Sequence[tuple[str, NormalizedWork]]) -> list[RecordedWork]:
    """Move the tenant's books of merged works: each pair is the former bare key and the work it became.

    A book of the former key gets the new one, as a version with origin `redirect`. Where the tenant has the new work as
    well, the two become one: the new work's book stays, and everything that hangs on the other follows. A tenant
    that has neither gets the new work. The answers carry the former keys, in the order of the pairs.
    """
    raise NotImplementedError
