"""Recording what Open Library tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.catalog.models import VersionOrigin
from app.openlibrary.records import NormalizedWork


class RecordedAction(StrEnum):
    """What recording a work did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REDIRECTED = "redirected"


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """What became of one work: the bare key it was given under, the tenant's book, and a line for the log."""

    open_library_key: str
    book_id: UUID
    action: RecordedAction
    message: str


def record_works(
    works: Sequence[NormalizedWork], *, origin: VersionOrigin = VersionOrigin.OPEN_LIBRARY
) -> list[RecordedWork]:
    """Bring the tenant's books up to what these works tell; at most some hundreds at a time.

    Locks the works' keys in one order, whatever order they are given in, so that two callers never wait for each
    other; call it once in a transaction. The answers stand in the order of the works; of a work given twice, the two
    tellings are put together, and both get the same answer. A key that was merged away answers `redirected` with the
    surviving book, unless the work comes from its own document.
    """
    raise NotImplementedError


def mark_deleted_upstream(keys: Iterable[str]) -> list[RecordedWork]:
    """Note that Open Library withdrew these works; the books stay. Keys that the tenant has no book of are left out."""
    raise NotImplementedError
