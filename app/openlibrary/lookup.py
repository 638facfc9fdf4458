"""Works by query, by key and by ISBN: from our copy while it is fresh, else from Open Library, else from our copy.

The network comes first and outside of any transaction; what it told is then kept in a transaction of its own. Where the
site cannot be reached and the copy holds all that is asked, whatever its age, the copy answers, and `source` says so.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from flask import Flask, current_app

from app.core.clock import utc_now
from app.openlibrary import mirror
from app.openlibrary.client import MOST_HITS, OpenLibraryClient
from app.openlibrary.errors import UpstreamRefused, UpstreamUnavailable
from app.openlibrary.query import Query, parse_query
from app.openlibrary.records import (
    Deleted,
    NormalizedAuthor,
    NormalizedWork,
    ParsedRecord,
    Redirect,
    add_editions,
    kind_of,
    merge_work,
    name_authors,
)
from app.openlibrary.transport import DEFAULT_PATIENCE_SECONDS
from app.settings import Settings

log = logging.getLogger(__name__)

Source = Literal["open_library", "mirror"]

VERSION: Final = "1.0"
# Three are the longest chain of merged records that was ever seen.
MOST_HOPS: Final = 4


@dataclass(frozen=True, slots=True)
class WorksPage:
    """Works `offset` to `offset + limit` of an answer; fewer where some could not be read. `total` counts them all."""

    works: tuple[NormalizedWork, ...]
    total: int
    source: Source


@dataclass(frozen=True, slots=True)
class Merged:
    """A work that was merged away, and the one that survived."""

    work: NormalizedWork


KeyOutcome = NormalizedWork | Merged | Deleted | None


@dataclass(frozen=True, slots=True)
class KeysFound:
    """For every bare key asked: the work, the work it was merged into, its deletion, or None where there is none."""

    found: Mapping[str, KeyOutcome]
    source: Source


@dataclass(frozen=True, slots=True)
class IsbnsFound:
    """For every ISBN-13 asked: a work with that very ISBN, or None."""

    found: Mapping[str, NormalizedWork | None]
    source: Source


def init_app(app: Flask, settings: Settings) -> None:
    """Make the one client of the process."""
    app.extensions["open_library"] = OpenLibraryClient(
        base_url=settings.open_library_url,
        contact=settings.open_library_contact,
        version=VERSION,
        redis=app.extensions["redis"],
        requests_per_second=settings.open_library_requests_per_second,
        timeout_seconds=settings.open_library_timeout_seconds,
    )
    app.extensions["open_library_cache"] = timedelta(hours=settings.open_library_cache_hours)


def warn_without_contact(settings: Settings) -> None:
    """Warn where the operator gives no contact; for the start of processes that ask the site."""
    if settings.open_library_contact is None:
        log.warning("openlibrary.no_contact", extra={"advice": "Set OPEN_LIBRARY_CONTACT; the site refuses strangers."})


def find_by_query(
    query: str,
    *,
    offset: int = 0,
    limit: int = MOST_HITS,
    refresh: bool = False,
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
) -> WorksPage:
    """Give a page of up to 100 works for a query such as `author:Tolkien`, by one request.

    Raises:
        InvalidQuery: the query cannot be asked.
        UpstreamUnavailable, UpstreamRefused: the site does not answer and the copy holds no such works.
    """
    asked = parse_query(query)
    limit = min(limit, MOST_HITS)
    if not refresh:
        page = mirror.remembered_page(asked, offset=offset, limit=limit, fetched_after=_fresh_after())
        if page is not None:
            return WorksPage(works=page.works, total=page.total, source="mirror")
    try:
        answer = _client().search(
            asked.lucene, parameter=asked.parameter, limit=limit, offset=offset, patience_seconds=patience_seconds
        )
    except (UpstreamUnavailable, UpstreamRefused):
        page = _page_kept(asked, offset=offset, limit=limit)
        if page is None:
            raise
        return WorksPage(works=page.works, total=page.total, source="mirror")
    now = utc_now()
    mirror.store(answer.works, fetched_at=now)
    keys = ["" if hit is None else hit.open_library_key for hit in answer.hits]
    mirror.remember_page(asked, offset=offset, keys=keys, total=answer.total, fetched_at=now)
    return WorksPage(works=answer.works, total=answer.total, source="open_library")


def find_in_mirror(query: str, *, offset: int = 0, limit: int = MOST_HITS) -> WorksPage:
    """Search the copy alone; nothing found is an answer.

    Raises:
        InvalidQuery: the query cannot be asked.
    """
    page = mirror.search(parse_query(query), offset=offset, limit=limit)
    return WorksPage(works=page.works, total=page.total, source="mirror")


def find_by_keys(
    keys: Iterable[str], *, refresh: bool = False, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
) -> KeysFound:
    """Say what became of these works (bare keys): a hundred by each request, merged ones followed to the survivor.

    With `refresh` the documents are asked as well as the search index, which lags behind merges and deletions.

    Raises:
        UpstreamUnavailable, UpstreamRefused: the site does not answer and the copy does not hold every one of them.
    """
    distinct = list(dict.fromkeys(keys))
    kept = {} if refresh else _settled(distinct, fetched_after=_fresh_after())
    lacking = [key for key in distinct if key not in kept]
    if not lacking:
        return KeysFound(found=kept, source="mirror")
    try:
        fetched = _Fetch(patience_seconds).works(lacking, asks_documents=refresh)
    except (UpstreamUnavailable, UpstreamRefused):
        old = _settled(distinct, fetched_after=mirror.ANY_AGE)
        if len(old) < len(distinct):
            raise
        return KeysFound(found=old, source="mirror")
    return KeysFound(found={key: kept.get(key, fetched.get(key)) for key in distinct}, source="open_library")


def find_by_isbns(
    isbns: Iterable[str], *, refresh: bool = False, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
) -> IsbnsFound:
    """Give the works that have these ISBN-13s, with the edition that carries each among their editions.

    An ISBN is resolved to its edition first and to the edition's work then; the search index is asked for those that
    have none, and its hits count only where the ISBN is among their own.

    Raises:
        UpstreamUnavailable, UpstreamRefused: the site does not answer and the copy does not hold every one of them.
    """
    distinct = list(dict.fromkeys(isbns))
    kept = {} if refresh else mirror.works_by_isbns(distinct, fetched_after=_fresh_after())
    lacking = [isbn for isbn in distinct if isbn not in kept]
    if not lacking:
        return IsbnsFound(found=kept, source="mirror")
    try:
        fetched = _Fetch(patience_seconds).works_by_isbns(lacking, asks_documents=refresh)
    except (UpstreamUnavailable, UpstreamRefused):
        old = mirror.works_by_isbns(distinct)
        if len(old) < len(distinct):
            raise
        return IsbnsFound(found=old, source="mirror")
    return IsbnsFound(found={isbn: kept.get(isbn, fetched.get(isbn)) for isbn in distinct}, source="open_library")


class _Fetch:
    """One look-up at the site: what it asks, and what it keeps of the answers."""

    def __init__(self, patience_seconds: float) -> None:
        self._client = _client()
        self._deadline = time.monotonic() + patience_seconds

    def works(self, keys: Sequence[str], *, asks_documents: bool) -> dict[str, KeyOutcome]:
        """Find works by key and keep them."""
        hits = self._hits(keys)
        documents = self._documents([key for key in keys if asks_documents or key not in hits])
        ends = self._followed(documents)
        survivors = {end.open_library_key for end in ends.values() if isinstance(end, NormalizedWork)}
        hits |= self._hits(sorted(survivors - set(keys)))
        found = self._named({key: _outcome(key, ends=ends, hits=hits) for key in keys})
        works = [work for outcome in found.values() if (work := _work_of(outcome)) is not None]
        gone = [record for record in documents.values() if isinstance(record, Redirect | Deleted)]
        mirror.store([*works, *gone], fetched_at=utc_now())
        return found

    def works_by_isbns(self, isbns: Sequence[str], *, asks_documents: bool) -> dict[str, NormalizedWork]:
        """Find works by ISBN and keep them and their editions."""
        editions = self._client.editions_by_isbns(isbns, patience_seconds=self._patience_seconds)
        work_key = {isbn: edition.work_keys[0] for isbn, edition in editions.items() if edition.work_keys}
        outcomes = self.works(list(dict.fromkeys(work_key.values())), asks_documents=asks_documents)
        found: dict[str, NormalizedWork] = {}
        for key, outcome in outcomes.items():
            carried = {isbn: editions[isbn] for isbn in work_key if work_key[isbn] == key}
            work = _work_of(outcome)
            if work is not None:
                found |= dict.fromkeys(carried, add_editions(work, list(carried.values())))
        lacking = [isbn for isbn in isbns if isbn not in found]
        found |= self._client.works_by_isbns(lacking, patience_seconds=self._patience_seconds) if lacking else {}
        mirror.store([*found.values(), *editions.values()], fetched_at=utc_now())
        return found

    @property
    def _patience_seconds(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _hits(self, keys: Sequence[str]) -> dict[str, NormalizedWork]:
        """Ask the search index; while it is out the documents have to do, so its failure is not the end."""
        if not keys:
            return {}
        try:
            return self._client.works_by_keys(keys, patience_seconds=self._patience_seconds)
        except UpstreamUnavailable:
            log.warning("openlibrary.search_missing", extra={"works": len(keys)})
            return {}

    def _documents(self, keys: Sequence[str]) -> dict[str, ParsedRecord]:
        return self._client.documents(keys, patience_seconds=self._patience_seconds) if keys else {}

    def _followed(self, documents: dict[str, ParsedRecord]) -> dict[str, ParsedRecord | None]:
        """Follow redirects to where they end; None for those that end nowhere, in a circle or in another kind.

        The documents met on the way are added to `documents`.
        """
        asked = list(documents)
        for _ in range(MOST_HOPS):
            targets = {record.location for record in documents.values() if isinstance(record, Redirect)}
            fetched = self._documents(sorted(targets - documents.keys()))
            if not fetched:
                break
            documents.update(fetched)
        return {key: _end_of_chain(key, documents) for key in asked}

    def _named(self, found: dict[str, KeyOutcome]) -> dict[str, KeyOutcome]:
        """Put names to the authors of works that only their documents told of."""
        works = [work for outcome in found.values() if (work := _work_of(outcome)) and "authors" in work.unasked]
        keys = list(dict.fromkeys(key for work in works for key in work.author_keys))
        known = mirror.records(keys, fetched_after=_fresh_after()) if keys else {}
        documents = self._documents([key for key in keys if key not in known])
        mirror.store(documents.values(), fetched_at=utc_now())
        documents |= known
        ends = self._followed(documents)
        authors = {key: end for key, end in ends.items() if isinstance(end, NormalizedAuthor)}
        return {key: _with_authors(outcome, authors) for key, outcome in found.items()}


def _client() -> OpenLibraryClient:
    client: OpenLibraryClient = current_app.extensions["open_library"]
    return client


def _fresh_after() -> datetime:
    """The moment after which a record must have been fetched to be given without asking; now where none may be."""
    cache: timedelta = current_app.extensions["open_library_cache"]
    return utc_now() - cache


def _page_kept(query: Query, *, offset: int, limit: int) -> mirror.Page | None:
    """Give a page from the copy, unless it knows nothing of this or less than the site once told of."""
    page = mirror.remembered_page(query, offset=offset, limit=limit)
    if page is not None:
        return page
    page = mirror.search(query, offset=offset, limit=limit)
    return page if page.total >= max(1, mirror.remembered_total(query)) else None


def _settled(keys: Collection[str], *, fetched_after: datetime) -> dict[str, KeyOutcome]:
    """Give what the copy can say for certain of these keys, redirects followed; other keys are absent.

    While freshness matters, so does completeness: a work that only its document told of lacks its ISBNs.
    """
    known = mirror.records(keys, fetched_after=fetched_after)
    for _ in range(MOST_HOPS):
        targets = {record.location for record in known.values() if isinstance(record, Redirect)} - known.keys()
        if not targets:
            break
        known |= mirror.records(targets, fetched_after=fetched_after)
    settled: dict[str, KeyOutcome] = {}
    for key in keys:
        outcome = _outcome(key, ends={key: _end_of_chain(key, known)}, hits={})
        work = _work_of(outcome)
        is_complete = work is None or "isbns" not in work.unasked or fetched_after == mirror.ANY_AGE
        if outcome is not None and is_complete:
            settled[key] = outcome
    return settled


def _end_of_chain(key: str, documents: Mapping[str, ParsedRecord]) -> ParsedRecord | None:
    """Give the record that a key leads to within `MOST_HOPS` redirects, if it is of the key's own kind."""
    record = documents.get(key)
    for _ in range(MOST_HOPS):
        if not isinstance(record, Redirect) or kind_of(record.location) != kind_of(key):
            break
        record = documents.get(record.location)
    return None if isinstance(record, Redirect) else record


def _outcome(key: str, *, ends: Mapping[str, ParsedRecord | None], hits: Mapping[str, NormalizedWork]) -> KeyOutcome:
    """Decide what became of a key; the documents know better than the search index, which lags."""
    if key not in ends:
        return hits.get(key)
    end = ends[key]
    if isinstance(end, Deleted):
        return Deleted(key=key, revision=end.revision)
    if not isinstance(end, NormalizedWork):
        return None
    hit = hits.get(end.open_library_key)
    work = end if hit is None else merge_work(hit, end)
    return work if work.open_library_key == key else Merged(work)


def _work_of(outcome: KeyOutcome) -> NormalizedWork | None:
    if isinstance(outcome, Merged):
        return outcome.work
    return outcome if isinstance(outcome, NormalizedWork) else None


def _with_authors(outcome: KeyOutcome, authors: Mapping[str, NormalizedAuthor]) -> KeyOutcome:
    work = _work_of(outcome)
    if work is None or "authors" not in work.unasked:
        return outcome
    # Works may point at authors who were merged away.
    keys = tuple(dict.fromkeys(authors[key].open_library_key if key in authors else key for key in work.author_keys))
    names = {author.open_library_key: author.name for author in authors.values()}
    named = name_authors(replace(work, author_keys=keys), names)
    return Merged(named) if isinstance(outcome, Merged) else named
