"""One page of a job, fetched: what is asked next, and what became of every item of it. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.ingestion import queries
from app.ingestion.models import Job, Source
from app.openlibrary import lookup
from app.openlibrary.lookup import Merged
from app.openlibrary.records import Deleted, NormalizedWork

# One request's worth at Open Library, and one transaction's worth in the catalogue.
PAGE_ITEMS = 100
# Short of the time limit of a task, which may begin a page when its own time is nearly over.
PATIENCE_SECONDS = 60.0
WITHDRAWN = "Open Library has withdrawn this work."


@dataclass(frozen=True, slots=True)
class Order:
    """What a job needs next: the search from `offset` on, or else these items."""

    query: str | None
    offset: int
    limit: int
    items: tuple[str, ...]
    are_isbns: bool
    refresh: bool
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """What was fetched: distinct items, and for each the work, the work it was merged into, or that it is no more.

    `hits` counts what the search was asked for, `total` all it has, `unreadable` the hits that were none. A part that
    is not the last leaves the job's position where it is.
    """

    items: tuple[str, ...]
    works: Mapping[str, NormalizedWork]
    source: Source
    redirects: Mapping[str, NormalizedWork] = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()
    refusal: str | None = None
    hits: int = 0
    total: int = 0
    unreadable: int = 0
    is_last: bool = True

    def part(self, items: Sequence[str], *, is_last: bool) -> Page:
        """The same page with some of its items only."""
        return replace(self, items=tuple(items), is_last=is_last)

    def refused(self, reason: str) -> Page:
        """The same page with nothing to record for its items."""
        return replace(self, works={}, redirects={}, deleted=frozenset(), refusal=reason)

    def why_not(self, item: str) -> str:
        """Why an item failed, for the log."""
        if self.refusal:
            return self.refusal
        if item in self.deleted:
            return WITHDRAWN
        kind = "work of this key" if item.startswith("OL") else f"work with the ISBN {item}"
        return f"Open Library has no {kind}."


def order_of(job: Job) -> Order:
    """What a job needs next: its search first, then the items that wait."""
    searches = not job.is_search_over
    items = [] if searches else queries.pending_items(job.id, limit=PAGE_ITEMS)
    return Order(
        query=job.query if searches else None,
        offset=job.search_position,
        limit=min(PAGE_ITEMS, job.max_works - job.search_position),
        items=tuple(items),
        are_isbns=job.isbns is not None,
        refresh=job.refresh or job.is_retry,
        request_id=job.request_id,
    )


def fetch(order: Order) -> Page:
    """Ask Open Library, or our copy of it.

    Raises:
        UpstreamUnavailable, UpstreamRefused: it does not answer, and our copy does not hold what is asked.
        InvalidQuery: the query can't be asked.
    """
    if order.query is not None:
        return _search(order, order.query)
    if not order.items:
        return Page(items=(), works={}, source=Source.OPEN_LIBRARY)
    return _by_isbns(order) if order.are_isbns else _by_keys(order)


def _search(order: Order, query: str) -> Page:
    found = lookup.find_by_query(
        query, offset=order.offset, limit=order.limit, refresh=order.refresh, patience_seconds=PATIENCE_SECONDS
    )
    works = {work.open_library_key: work for work in found.works}
    hits = max(0, min(order.limit, found.total - order.offset))
    return Page(
        items=tuple(works),
        works=works,
        source=Source(found.source),
        hits=hits,
        total=found.total,
        unreadable=max(0, hits - len(found.works)),
    )


def _by_keys(order: Order) -> Page:
    answer = lookup.find_by_keys(order.items, refresh=order.refresh, patience_seconds=PATIENCE_SECONDS)
    found = answer.found
    return Page(
        items=order.items,
        works={key: work for key, work in found.items() if isinstance(work, NormalizedWork)},
        redirects={key: merged.work for key, merged in found.items() if isinstance(merged, Merged)},
        deleted=frozenset(key for key, record in found.items() if isinstance(record, Deleted)),
        source=Source(answer.source),
    )


def _by_isbns(order: Order) -> Page:
    answer = lookup.find_by_isbns(order.items, refresh=order.refresh, patience_seconds=PATIENCE_SECONDS)
    works = {isbn: work for isbn, work in answer.found.items() if work is not None}
    return Page(items=order.items, works=works, source=Source(answer.source))
