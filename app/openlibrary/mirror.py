"""Our copy of what Open Library told: kept for all tenants, asked before the site and instead of it.

Writes are one statement for any number of records, each in a transaction of its own; nothing here uses the network.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from flask_sqlalchemy.session import Session
from sqlalchemy import any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm.scoping import scoped_session

from app.core.clock import utc_now
from app.core.database import transaction
from app.openlibrary import stored
from app.openlibrary.models import OpenLibraryRecord
from app.openlibrary.parsing import parse_document, parse_search_document
from app.openlibrary.query import Query
from app.openlibrary.records import (
    NormalizedAuthor,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    add_editions,
    key_of,
    merge_work,
    name_authors,
    retell_work,
)

# Before this moment nothing was fetched: "of any age".
ANY_AGE: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What readers once typed is not kept for ever; the words of the works answer older questions.
ANSWER_LIFE: Final = timedelta(days=90)

_READ = select(OpenLibraryRecord.key, OpenLibraryRecord.kind, OpenLibraryRecord.document).where(
    OpenLibraryRecord.key == any_(bindparam("keys", type_=ARRAY(TEXT))),
    OpenLibraryRecord.fetched_at > bindparam("fetched_after"),
)
_READ_FOR_UPDATE = text(
    "SELECT key, kind, fetched_at <= :now, document FROM open_library_records WHERE key = ANY(:keys)"
    # All of them, and in one order for all writers, so that two of them never wait for each other.
    " ORDER BY key FOR UPDATE"
)
_WRITE = text(
    """
    INSERT INTO open_library_records AS old (key, kind, revision, document, location, words, fetched_at)
    SELECT key, kind, revision, document::jsonb, location, array_to_tsvector(string_to_array(words, ' ')), :now
    FROM unnest(CAST(:keys AS text[]), CAST(:kinds AS text[]), CAST(:revisions AS int[]), CAST(:documents AS text[]),
                CAST(:locations AS text[]), CAST(:words AS text[]))
         AS new (key, kind, revision, document, location, words)
    ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
        kind = EXCLUDED.kind, revision = EXCLUDED.revision, document = EXCLUDED.document,
        location = EXCLUDED.location, words = EXCLUDED.words, fetched_at = EXCLUDED.fetched_at
    -- What was fetched later stands, whoever writes last.
    WHERE old.fetched_at <= EXCLUDED.fetched_at
    """
)
_BY_ISBN = text(
    "SELECT kind, document FROM open_library_records"
    " WHERE words @@ CAST(:wanted AS tsquery) AND fetched_at > :fetched_after ORDER BY key"
)
_COUNT = text("SELECT count(*) FROM open_library_records WHERE words @@ CAST(:wanted AS tsquery) AND kind = 'work'")
_SEARCH = text(
    "SELECT document FROM open_library_records WHERE words @@ CAST(:wanted AS tsquery) AND kind = 'work'"
    # Works with many editions first: the site's own order rests on that as well.
    " ORDER BY jsonb_array_length(document -> 'isbns') DESC, key OFFSET :offset LIMIT :limit"
)
_REMEMBER = text(
    """
    INSERT INTO open_library_queries AS old (query, page_offset, keys, total, fetched_at)
    VALUES (:query, :page_offset, :keys, :total, :now)
    ON CONFLICT (query, page_offset) DO UPDATE
    SET keys = EXCLUDED.keys, total = EXCLUDED.total, fetched_at = EXCLUDED.fetched_at
    WHERE old.fetched_at <= EXCLUDED.fetched_at
    """
).bindparams(bindparam("keys", type_=ARRAY(TEXT)))
_REMEMBERED = text(
    """
    SELECT page_offset, keys, total FROM open_library_queries
    WHERE query = :query AND fetched_at > :fetched_after AND page_offset <= :offset
      AND page_offset + cardinality(keys) >= least(:offset + :limit, total)
    ORDER BY page_offset DESC LIMIT 1
    """
)
_REMEMBERED_TOTAL = text("SELECT total FROM open_library_queries WHERE query = :query ORDER BY fetched_at DESC LIMIT 1")
_FORGET = text("DELETE FROM open_library_queries WHERE fetched_at < :fetched_before")


@dataclass(frozen=True, slots=True)
class Page:
    """Part of an answer: works in their order, and how many there are in all."""

    total: int
    works: tuple[NormalizedWork, ...]


def records(keys: Collection[str], *, fetched_after: datetime = ANY_AGE) -> dict[str, ParsedRecord]:
    """Give the records kept under these bare keys, if fetched after a moment; others are absent."""
    with transaction() as session:
        found = session.execute(_READ, {"keys": list(keys), "fetched_after": fetched_after}).all()
    return {key: stored.from_json(kind, document) for key, kind, document in found}


def works_by_isbns(isbns: Collection[str], *, fetched_after: datetime = ANY_AGE) -> dict[str, NormalizedWork]:
    """Give the works kept that have these ISBN-13s, by their own list or by an edition kept; others are absent."""
    wanted = set(isbns)
    with transaction() as session:
        parameters = {"wanted": stored.isbn_search(wanted), "fetched_after": fetched_after}
        found = [stored.from_json(*row) for row in session.execute(_BY_ISBN, parameters)] if wanted else []
    works: dict[str, NormalizedWork] = {}
    for work in found:
        if isinstance(work, NormalizedWork):
            for isbn in wanted.intersection(work.isbns):
                works.setdefault(isbn, work)
    editions = [record for record in found if isinstance(record, NormalizedEdition)]
    return _works_of_editions(editions, wanted - works.keys(), fetched_after=fetched_after) | works


def search(query: Query, *, offset: int, limit: int) -> Page:
    """Search the works kept, whatever their age: every word must be in the field asked, accents and case apart."""
    wanted = stored.text_search(query)
    with transaction() as session:
        total = session.execute(_COUNT, {"wanted": wanted}).scalar_one()
        found = session.execute(_SEARCH, {"wanted": wanted, "offset": offset, "limit": limit}).scalars().all()
    return Page(total=total, works=tuple(_work(document) for document in found))


def remembered_page(query: Query, *, offset: int, limit: int, fetched_after: datetime = ANY_AGE) -> Page | None:
    """Give what the site answered to this query before, if all of it is still here and was fetched after a moment."""
    parameters = {"query": query.text, "offset": offset, "limit": limit, "fetched_after": fetched_after}
    with transaction() as session:
        row = session.execute(_REMEMBERED, parameters).one_or_none()
    if row is None:
        return None
    start = offset - row.page_offset
    keys = [key for key in row.keys[start : start + limit] if key]
    kept = records(keys, fetched_after=fetched_after)
    works = tuple(work for key in keys if isinstance(work := kept.get(key), NormalizedWork))
    return Page(total=row.total, works=works) if len(works) == len(keys) else None


def remembered_total(query: Query) -> int:
    """Give how many works the site last said there are for this query; 0 if it was never asked."""
    with transaction() as session:
        return session.execute(_REMEMBERED_TOTAL, {"query": query.text}).scalar_one_or_none() or 0


def store(told: Iterable[ParsedRecord], *, fetched_at: datetime) -> None:
    """Keep these records; what a work's new telling is silent on stays as it was."""
    by_key = {key: record for record in told if (key := key_of(record)) is not None}
    if not by_key:
        return
    with transaction() as session:
        known = _retold(session, by_key, now=fetched_at)
        session.execute(_WRITE, _columns(known) | {"now": fetched_at})


def remember_page(query: Query, *, offset: int, keys: Sequence[str], total: int, fetched_at: datetime) -> None:
    """Keep which works the site named, in which order, '' for one that could not be read."""
    parameters = {"query": query.text, "page_offset": offset, "keys": keys, "total": total, "now": fetched_at}
    with transaction() as session:
        session.execute(_REMEMBER, parameters)


def forget_old_answers() -> None:
    """Delete answers to queries that are too old to be of use even without the site; the works in them stay."""
    with transaction() as session:
        session.execute(_FORGET, {"fetched_before": utc_now() - ANSWER_LIFE})


def load_shipped(path: Path) -> tuple[NormalizedWork, ...]:
    """Keep the records of a file shipped with the service, with the dates at which they were fetched.

    Each line is `{"fetched_at", "document"}`, or `{"fetched_at", "hit", "asked"}` for a search hit and its fields.
    The file is taken to tell all there is on its works. Gives these works.
    """
    told: list[ParsedRecord] = []
    fetched_at: dict[str | None, datetime] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        shipped = json.loads(line)
        record = _shipped_record(shipped)
        told.append(record)
        moment = datetime.fromisoformat(shipped["fetched_at"])
        fetched_at[key_of(record)] = max(moment, fetched_at.get(key_of(record), ANY_AGE))
    works = _put_together(told)
    others = [record for record in told if not isinstance(record, NormalizedWork)]
    for moment in sorted(set(fetched_at.values())):
        store([record for record in (*works, *others) if fetched_at[key_of(record)] == moment], fetched_at=moment)
    return tuple(works)


def _shipped_record(shipped: Mapping[str, Any]) -> ParsedRecord:
    if "hit" in shipped:
        return parse_search_document(shipped["hit"], asked=shipped["asked"])
    return parse_document(shipped["document"])


def _put_together(told: Sequence[ParsedRecord]) -> list[NormalizedWork]:
    """Make whole works of hits, work documents, editions and authors."""
    names = {author.open_library_key: author.name for author in told if isinstance(author, NormalizedAuthor)}
    editions: dict[str, list[NormalizedEdition]] = {}
    works: dict[str, NormalizedWork] = {}
    for record in told:
        if isinstance(record, NormalizedEdition):
            for key in record.work_keys:
                editions.setdefault(key, []).append(record)
        elif isinstance(record, NormalizedWork):
            known = works.get(record.open_library_key)
            works[record.open_library_key] = record if known is None else merge_work(known, record)
    whole = (add_editions(work, editions.get(key, []), complete=True) for key, work in works.items())
    return [name_authors(work, names) for work in whole]


def _works_of_editions(
    editions: Sequence[NormalizedEdition], wanted: Collection[str], *, fetched_after: datetime
) -> dict[str, NormalizedWork]:
    by_isbn = {isbn: edition for edition in editions for isbn in edition.isbns if isbn in wanted and edition.work_keys}
    kept = records([edition.work_keys[0] for edition in by_isbn.values()], fetched_after=fetched_after)
    works = {isbn: kept.get(edition.work_keys[0]) for isbn, edition in by_isbn.items()}
    return {
        isbn: add_editions(work, [by_isbn[isbn]]) for isbn, work in works.items() if isinstance(work, NormalizedWork)
    }


def _retold(
    session: scoped_session[Session], told: Mapping[str, ParsedRecord], *, now: datetime
) -> dict[str, ParsedRecord]:
    """Lock what is kept under these keys, and complete works by it where they are silent."""
    known = dict(told)
    for key, kind, is_older, document in session.execute(_READ_FOR_UPDATE, {"keys": list(told), "now": now}):
        work = told[key]
        if kind == "work" and is_older and isinstance(work, NormalizedWork) and work.unasked:
            known[key] = retell_work(_work(document), work)
    return known


def _columns(known: Mapping[str, ParsedRecord]) -> dict[str, Any]:
    return {
        "keys": list(known),
        "kinds": [stored.kind_name(record) for record in known.values()],
        "revisions": [record.revision for record in known.values()],
        "documents": [stored.to_json(record) for record in known.values()],
        "locations": [getattr(record, "location", None) for record in known.values()],
        "words": [stored.words_to_find(record) for record in known.values()],
    }


def _work(document: Mapping[str, Any]) -> NormalizedWork:
    work = stored.from_json("work", document)
    assert isinstance(work, NormalizedWork)  # noqa: S101 - the kind says so
    return work
