"""What a book says, worked out without a database: from source, overrides and what a work tells."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import orjson

from app.catalog.models import TERM_LENGTH, TermKind
from app.core.text import folded
from app.openlibrary.records import NormalizedWork

Fields = dict[str, Any]

# What a book says, in the order in which it is shown; each is a column of `books`.
CONTENT_FIELDS: Final = (
    "title", "subtitle", "authors", "contributors", "first_publish_year", "description", "subjects", "languages",
    "publishers", "isbns", "page_count", "cover_id", "series",
)  # fmt: skip
# What else a version keeps: which work it is, and what became of it.
IDENTITY_FIELDS: Final = ("open_library_key", "upstream_status")
VERSIONED_FIELDS: Final = (*CONTENT_FIELDS, *IDENTITY_FIELDS)
LIST_FIELDS: Final = frozenset({
    "authors", "contributors", "subjects", "languages", "publishers", "isbns", "series",
})  # fmt: skip

# Far beyond any real work; bounds what many partial tellings can pile up.
_MOST_ENTRIES: Final = 2_000
_HASH_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class BookState:
    """A book as far as its writing goes; `stored_hash` and `version` are None and 0 before it is written."""

    id: UUID
    source: str
    source_fields: Fields
    overrides: Fields
    open_library_key: str | None = None
    upstream_status: str | None = None
    version: int = 0
    stored_hash: bytes | None = None
    editions_hash: bytes | None = None

    @cached_property
    def content(self) -> Fields:
        """What the book says: the source's fields, overlaid by hand."""
        told = {**self.source_fields, **self.overrides}
        return {name: told.get(name, [] if name in LIST_FIELDS else None) for name in CONTENT_FIELDS}

    @cached_property
    def snapshot(self) -> Fields:
        """What a version of this state keeps."""
        return {
            **self.content,
            "open_library_key": self.open_library_key,
            "upstream_status": self.upstream_status,
        }

    @cached_property
    def content_hash(self) -> bytes:
        """The hash of the snapshot, for telling whether anything changed."""
        return _hash(self.snapshot)


def told_by(work: NormalizedWork) -> Fields:
    """The content of a work, in the form in which books keep it."""
    return {
        "title": work.title,
        "subtitle": work.subtitle,
        "authors": [{"name": one.name, "open_library_key": one.open_library_key} for one in work.authors],
        "contributors": [{"name": one.name, "role": one.role} for one in work.contributors],
        "first_publish_year": work.first_publish_year,
        "description": work.description,
        "subjects": list(work.subjects),
        "languages": list(work.languages),
        "publishers": list(work.publishers),
        "isbns": list(work.isbns),
        "page_count": work.page_count,
        "cover_id": work.cover_id,
        "series": list(work.series),
    }


def learned(known: Fields, work: NormalizedWork) -> Fields:
    """The source's fields after `work` was told.

    A field the work was not asked for keeps what is known: silence is no answer, and a part of the truth only adds.
    """
    told = told_by(work)
    return {
        name: _added(known[name], told[name]) if name in work.unasked and known.get(name) else told[name]
        for name in CONTENT_FIELDS
    }


def _added(known: Any, told: Any) -> Any:
    if not isinstance(known, list):
        return known
    return [*known, *(entry for entry in told if entry not in known)][:_MOST_ENTRIES] if told else known


def editions_hash_of(work: NormalizedWork) -> bytes:
    """The hash of the editions and ISBNs that a work tells."""
    return _hash([work.editions, work.isbns])


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The versioned fields in which two snapshots differ, in their order."""
    return [name for name in VERSIONED_FIELDS if before.get(name) != after.get(name)]


def sort_title_of(content: Fields) -> str:
    """The title as lists sort it; leading articles count, for they differ by language."""
    return folded_key(content["title"])


def folded_key(text: str) -> str:
    """Folded text of a length that any index takes."""
    return folded(text)[:TERM_LENGTH].rstrip()


Term = tuple[str, str, str]


def terms_of(content: Fields) -> set[Term]:
    """What lists find and count the book by: kind, folded term, and the term as shown; one for each kind and term."""
    found: dict[tuple[str, str], str] = {}
    for kind, display in _named_terms(content):
        term = folded_key(display)
        if term:
            found.setdefault((kind.value, term), display)
    return {(kind, term, display) for (kind, term), display in found.items()}


def _named_terms(content: Fields) -> Iterator[tuple[TermKind, str]]:
    for author in content["authors"]:
        yield TermKind.AUTHOR, author["name"]
        yield from ((TermKind.AUTHOR_WORD, word) for word in _WORD.findall(author["name"]))
        if author["open_library_key"]:
            yield TermKind.AUTHOR_KEY, author["open_library_key"]
    for contributor in content["contributors"]:
        yield TermKind.CONTRIBUTOR, contributor["name"]
    for kind, field in _TERM_FIELDS:
        yield from ((kind, text) for text in content[field])


# Letters and apostrophes; initials would find half of the catalogue.
_WORD: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['’])+")
_TERM_FIELDS: Final[Iterable[tuple[TermKind, str]]] = (
    (TermKind.SERIES, "series"),
    (TermKind.SUBJECT, "subjects"),
    (TermKind.LANGUAGE, "languages"),
    (TermKind.ISBN, "isbns"),
    (TermKind.PUBLISHER, "publishers"),
)


def _hash(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=_HASH_BYTES).digest()
