"""What Open Library can be asked: searches, documents by key and editions by ISBN, as many as one request carries."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from redis import Redis

from app.core.isbn import isbn10_of
from app.openlibrary.errors import InvalidQuery, UpstreamUnavailable
from app.openlibrary.parsing import parse_document, parse_search_document
from app.openlibrary.query import SearchParameter, lucene_isbns, lucene_keys
from app.openlibrary.records import (
    MalformedRecord,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    RecordKind,
    key_of,
    kind_of,
)
from app.openlibrary.transport import DEFAULT_PATIENCE_SECONDS, Answer, Transport

log = logging.getLogger(__name__)

# Everything a book shows, in one request for a hundred works; without `fields` the site sends a short selection.
SEARCH_ANSWER_FIELDS: Final = (
    "key", "title", "subtitle", "author_key", "author_name", "contributor", "first_publish_year", "description",
    "subject", "language", "publisher", "isbn", "number_of_pages_median", "cover_i", "series_name",
    "editions", "editions.key", "editions.title", "editions.subtitle", "editions.isbn", "editions.publisher",
    "editions.publish_date", "editions.language", "editions.cover_i",
)  # fmt: skip
MOST_HITS: Final = 100
# A hundred keys, or eighty ISBNs in both their forms, make an address of under 4 kB; servers take 8.
MOST_KEYS: Final = 100
MOST_ISBNS_BY_EDITION: Final = 80
# What the site's maintainers advise for one search.
MOST_ISBNS_BY_SEARCH: Final = 25

_FOLDER: Final[Mapping[RecordKind, str]] = {"work": "works", "edition": "books", "author": "authors"}


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """One page of a search; a hit that could not be read is None, so that positions stay what they were."""

    total: int
    hits: tuple[NormalizedWork | None, ...]

    @property
    def works(self) -> tuple[NormalizedWork, ...]:
        """The hits that could be read."""
        return tuple(hit for hit in self.hits if hit is not None)

    @property
    def dropped(self) -> int:
        """How many hits could not be read."""
        return sum(hit is None for hit in self.hits)


class OpenLibraryClient:
    """Open Library, as this service asks it.

    Every method raises `UpstreamUnavailable` where the site gives no answer within `patience_seconds`, and
    `UpstreamRefused` where it refuses this service by its name.
    """

    def __init__(
        self,
        *,
        base_url: str,
        contact: str | None,
        version: str,
        redis: Redis | None,
        requests_per_second: float,
        timeout_seconds: float,
    ) -> None:
        """Take the site's address, how to reach whoever runs this service, and the manners to keep."""
        self._transport = Transport(
            base_url=base_url,
            contact=contact,
            version=version,
            redis=redis,
            requests_per_second=requests_per_second,
            timeout_seconds=timeout_seconds,
        )

    def search(
        self,
        query: str,
        *,
        parameter: SearchParameter = "q",
        limit: int = MOST_HITS,
        offset: int = 0,
        fields: Sequence[str] = SEARCH_ANSWER_FIELDS,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    ) -> SearchAnswer:
        """Search works by a query in the site's own language, up to 100 (`limit`) from `offset` on.

        Raises:
            InvalidQuery: the site does not take this query.
        """
        answer = self._transport.get(
            "search",
            "/search.json",
            parameters={
                parameter: query,
                "fields": ",".join(fields),
                "limit": str(min(limit, MOST_HITS)),
                "offset": str(offset),
            },
            patience_seconds=patience_seconds,
        )
        if answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise InvalidQuery("Open Library cannot be asked this; write more, or more particular, words.")
        return _search_answer(answer, fields=fields)

    def works_by_keys(
        self, keys: Iterable[str], *, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
    ) -> dict[str, NormalizedWork]:
        """Give what the search index knows of these works (bare keys), a hundred by request; others are absent."""
        found: dict[str, NormalizedWork] = {}
        for batch in _batches(keys, size=MOST_KEYS):
            answer = self.search(lucene_keys(batch), limit=len(batch), patience_seconds=patience_seconds)
            found.update({work.open_library_key: work for work in answer.works if work.open_library_key in batch})
        return found

    def works_by_isbns(
        self, isbns: Iterable[str], *, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
    ) -> dict[str, NormalizedWork]:
        """Give the works that the search index finds by these ISBN-13s; ISBNs without one are absent.

        A hit counts only where the ISBN asked for is among its own: the index also finds near misses.
        """
        found: dict[str, NormalizedWork] = {}
        for batch in _batches(isbns, size=MOST_ISBNS_BY_SEARCH):
            answer = self.search(lucene_isbns(batch), patience_seconds=patience_seconds)
            for work in answer.works:
                for isbn in set(work.isbns).intersection(batch):
                    found.setdefault(isbn, work)
        return found

    def editions_by_isbns(
        self, isbns: Iterable[str], *, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
    ) -> dict[str, NormalizedEdition]:
        """Give the editions that carry these ISBN-13s; ISBNs without one are absent.

        The site answers `{}` to an inner fault as well, so an absent ISBN is not proof that there is none.
        """
        found: dict[str, NormalizedEdition] = {}
        for batch in _batches(isbns, size=MOST_ISBNS_BY_EDITION):
            bibkeys = [f"ISBN:{form}" for isbn in batch for form in (isbn, isbn10_of(isbn)) if form is not None]
            answer = self._transport.get(
                "records",
                # Without the ending the site answers with a script, or not at all.
                "/api/books.json",
                parameters={"bibkeys": ",".join(bibkeys), "jscmd": "details", "format": "json"},
                patience_seconds=patience_seconds,
            )
            for edition in _detailed_editions(answer):
                for isbn in set(edition.isbns).intersection(batch):
                    found.setdefault(isbn, edition)
        return found

    def documents(
        self, keys: Iterable[str], *, patience_seconds: float = DEFAULT_PATIENCE_SECONDS
    ) -> dict[str, ParsedRecord]:
        """Give the documents under these bare keys, merged and deleted ones as such, unknown ones not at all.

        A document that cannot be read is left out, with a line in the log.
        """
        found: dict[str, ParsedRecord] = {}
        for batch in _batches(keys, size=MOST_KEYS):
            found.update(self._documents(batch, patience_seconds=patience_seconds))
        return found

    def _documents(self, keys: list[str], *, patience_seconds: float) -> dict[str, ParsedRecord]:
        answer = self._transport.get(
            "records",
            "/api/get_many",
            parameters={"keys": json.dumps([_path(key) for key in keys], separators=(",", ":"))},
            patience_seconds=patience_seconds,
        )
        if answer.status != HTTPStatus.OK:
            # The address is public but not documented: where it is missing, every record has one of its own.
            return self._documents_one_by_one(keys, patience_seconds=patience_seconds)
        documents = answer.body.get("result") if isinstance(answer.body, dict) else None
        if not isinstance(documents, dict):
            raise _strange("records")
        return {key: record for key in keys if (record := _record(key, documents.get(_path(key)))) is not None}

    def _documents_one_by_one(self, keys: list[str], *, patience_seconds: float) -> dict[str, ParsedRecord]:
        found: dict[str, ParsedRecord] = {}
        for key in keys:
            answer = self._transport.get(
                "records", f"{_path(key)}.json", patience_seconds=patience_seconds, follows_redirects=True
            )
            record = _record(key, answer.body) if answer.status == HTTPStatus.OK else None
            if record is not None:
                found[key] = record
        return found


def _search_answer(answer: Answer, *, fields: Sequence[str]) -> SearchAnswer:
    body = answer.body
    total = body.get("numFound", body.get("num_found")) if isinstance(body, dict) else None
    documents = body.get("docs") if isinstance(body, dict) else None
    if isinstance(total, bool) or not isinstance(total, int) or total < 0 or not isinstance(documents, list):
        raise _strange("search")
    return SearchAnswer(total=total, hits=tuple(_hit(document, fields=fields) for document in documents))


def _hit(document: object, *, fields: Sequence[str]) -> NormalizedWork | None:
    try:
        return parse_search_document(document, asked=fields)
    except MalformedRecord as error:
        log.info("openlibrary.hit_dropped", extra={"reason": str(error)})
        return None


def _detailed_editions(answer: Answer) -> Iterator[NormalizedEdition]:
    if answer.status != HTTPStatus.OK:
        return
    if not isinstance(answer.body, dict):
        raise _strange("editions")
    for entry in answer.body.values():
        record = _parsed(entry.get("details") if isinstance(entry, dict) else None)
        if isinstance(record, NormalizedEdition):
            yield record


def _record(key: str, document: object) -> ParsedRecord | None:
    """Read the document that came for `key`, if it is that key's: a wrong address leads to another record."""
    record = None if document is None else _parsed(document)
    if record is None:
        return None
    return record if key_of(record) == key else None


def _parsed(document: object) -> ParsedRecord | None:
    try:
        return parse_document(document)
    except MalformedRecord as error:
        log.warning("openlibrary.document_dropped", extra={"reason": str(error)})
        return None


def _path(key: str) -> str:
    return f"/{_FOLDER[kind_of(key)]}/{key}"


def _strange(what: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"Open Library's {what} answer has an unknown shape.", retry_after_seconds=60)


def _batches(values: Iterable[str], *, size: int) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]
