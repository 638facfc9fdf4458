"""Open Library's records, tidied: what the rest of the service sees of a work, an edition or an author.

Sources tell different parts of a work: a search hit has its ISBNs, its document has the revision, its editions have the
rest. The functions here put such tellings together; `parsing` makes them out of documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeVar

RecordKind = Literal["work", "edition", "author"]
_T = TypeVar("_T")

# A supplied title stands in brackets, as cataloguers do.
UNTITLED: Final = "[Untitled]"
UNKNOWN_ROLE: Final = "contributor"
# Far above what real works have, so that one vandalised record cannot fill a page or a database row.
MOST_NAMES: Final = 200
MOST_ISBNS: Final = 2_000
MOST_EDITIONS: Final = 1_000
_KIND_BY_LETTER: Final[Mapping[str, RecordKind]] = {"W": "work", "M": "edition", "A": "author"}


class MalformedRecord(ValueError):
    """A document that cannot be read as what it claims to be; the message says why."""


@dataclass(frozen=True, slots=True)
class AuthorRef:
    """An author as a work names them; the key is missing where the source gave a name only."""

    name: str
    open_library_key: str | None = None


@dataclass(frozen=True, slots=True)
class Contributor:
    """Somebody who took part without being an author; the role is in lower case, `contributor` if not told."""

    name: str
    role: str = UNKNOWN_ROLE


@dataclass(frozen=True, slots=True)
class NormalizedEdition:
    """One printing of a work. `isbn` is the first of `isbns`; `publish_date` is the text as given."""

    open_library_key: str | None
    isbn: str | None = None
    title: str = UNTITLED
    subtitle: str | None = None
    publishers: tuple[str, ...] = ()
    publish_date: str | None = None
    publish_year: int | None = None
    languages: tuple[str, ...] = ()
    page_count: int | None = None
    physical_format: str | None = None
    cover_id: int | None = None
    isbns: tuple[str, ...] = ()
    work_keys: tuple[str, ...] = ()
    author_keys: tuple[str, ...] = ()
    contributors: tuple[Contributor, ...] = ()
    series: tuple[str, ...] = ()
    description: str | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class NormalizedWork:
    """A work as one source told it.

    `unasked` names the fields the source does not carry, so that "this work has none" stays apart from "nobody
    asked": an empty unasked field is silence, and a filled one holds a part of the truth, not all of it.
    `author_keys` are all authors by key; `authors` are those whose names are known as well.
    """

    open_library_key: str
    title: str = UNTITLED
    subtitle: str | None = None
    authors: tuple[AuthorRef, ...] = ()
    contributors: tuple[Contributor, ...] = ()
    first_publish_year: int | None = None
    description: str | None = None
    subjects: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    isbns: tuple[str, ...] = ()
    page_count: int | None = None
    cover_id: int | None = None
    series: tuple[str, ...] = ()
    editions: tuple[NormalizedEdition, ...] = ()
    author_keys: tuple[str, ...] = ()
    revision: int | None = None
    unasked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NormalizedAuthor:
    """A person or body that writes; dates are the text as given."""

    open_library_key: str
    name: str
    alternate_names: tuple[str, ...] = ()
    birth_date: str | None = None
    death_date: str | None = None
    bio: str | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """A record that was merged into another; `location` is the bare key of the other."""

    key: str
    location: str
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A record that Open Library withdrew."""

    key: str
    revision: int | None = None


ParsedRecord = NormalizedWork | NormalizedEdition | NormalizedAuthor | Redirect | Deleted

# The fields of a work that tell of the book itself, and so can be asked for or not.
WORK_FIELDS: Final = frozenset(
    field.name for field in fields(NormalizedWork) if field.name not in {"open_library_key", "revision", "unasked"}
)


def merge_work(base: NormalizedWork, other: NormalizedWork) -> NormalizedWork:
    """Fill what `base` was not asked for, or has nothing in, from another telling of the same work.

    Raises:
        ValueError: the two are different works.
    """
    if base.open_library_key != other.open_library_key:
        raise ValueError(f"{other.open_library_key} cannot complete {base.open_library_key}.")
    filled: dict[str, Any] = {}
    for name in WORK_FIELDS - {"editions", "title"}:
        if not getattr(base, name) and getattr(other, name):
            filled[name] = getattr(other, name)
    return replace(
        base,
        title=base.title if base.title != UNTITLED else other.title,
        editions=_merged_editions(base.editions, other.editions),
        revision=_newest(base.revision, other.revision),
        unasked=base.unasked & other.unasked,
        **filled,
    )


def retell_work(old: NormalizedWork, new: NormalizedWork) -> NormalizedWork:
    """Give what is known of a work after a new telling: its answers stand, also empty ones; silence changes nothing.

    Raises:
        ValueError: the two are different works.
    """
    if old.open_library_key != new.open_library_key:
        raise ValueError(f"{new.open_library_key} says nothing of {old.open_library_key}.")
    kept: dict[str, Any] = {
        name: getattr(old, name)
        for name in new.unasked - {"editions"}
        if name not in old.unasked or not getattr(new, name)
    }
    retold = replace(new, **kept, revision=_newest(old.revision, new.revision), unasked=old.unasked & new.unasked)
    # An edition that went over to another work is no longer among the ISBNs.
    still_there = tuple(edition for edition in old.editions if not set(edition.isbns).isdisjoint(retold.isbns))
    return replace(retold, editions=_merged_editions(still_there, new.editions))


def add_editions(
    work: NormalizedWork, editions: Sequence[NormalizedEdition], *, complete: bool = False
) -> NormalizedWork:
    """Hang editions beneath a work and take from them what the work itself does not tell.

    `complete` says that these are all editions of the work: then nothing that editions tell is unasked any more.
    """
    merged = _merged_editions(work.editions, tuple(editions))
    years = [edition.publish_year for edition in merged if edition.publish_year]
    telling = NormalizedWork(
        open_library_key=work.open_library_key,
        title=next((edition.title for edition in merged if edition.title != UNTITLED), UNTITLED),
        contributors=unique(person for edition in merged for person in edition.contributors),
        first_publish_year=min(years, default=None),
        languages=unique(code for edition in merged for code in edition.languages),
        publishers=unique(name for edition in merged for name in edition.publishers)[:MOST_NAMES],
        page_count=next((edition.page_count for edition in merged if edition.page_count), None),
        cover_id=next((edition.cover_id for edition in merged if edition.cover_id), None),
        series=unique(name for edition in merged for name in edition.series)[:MOST_NAMES],
        author_keys=unique(key for edition in merged for key in edition.author_keys)[:MOST_NAMES],
        editions=merged,
        unasked=frozenset({"authors", "author_keys", "title", "subtitle", "description", "subjects"})
        if complete
        else WORK_FIELDS,
    )
    isbns = unique([*work.isbns, *(isbn for edition in merged for isbn in edition.isbns)])[:MOST_ISBNS]
    return replace(merge_work(work, telling), isbns=isbns)


def name_authors(work: NormalizedWork, names: Mapping[str, str]) -> NormalizedWork:
    """Put names to the authors a work knows by key; keys without a name here stay in `author_keys` only."""
    if "authors" not in work.unasked:
        return work
    authors = tuple(AuthorRef(name=names[key], open_library_key=key) for key in work.author_keys if key in names)
    is_complete = len(authors) == len(work.author_keys)
    return replace(work, authors=authors, unasked=work.unasked - {"authors"} if is_complete else work.unasked)


def kind_of(key: str) -> RecordKind:
    """Tell from a bare key which kind of record it names."""
    return _KIND_BY_LETTER[key[-1]]


def key_of(record: ParsedRecord) -> str | None:
    """Give a record's own bare key; an edition made from a search hit may have none."""
    return record.key if isinstance(record, Redirect | Deleted) else record.open_library_key


def unique(values: Iterable[_T]) -> tuple[_T, ...]:
    """Give the values in their order, each once."""
    return tuple(dict.fromkeys(values))


def _merged_editions(
    first: tuple[NormalizedEdition, ...], second: tuple[NormalizedEdition, ...]
) -> tuple[NormalizedEdition, ...]:
    """Put two lists of editions together; of an edition told twice, documents tell more than search hits do."""
    merged: dict[object, NormalizedEdition] = {}
    for edition in (*first, *second):
        name = edition.open_library_key or edition
        if name not in merged or (edition.revision or 0) >= (merged[name].revision or 0):
            merged[name] = edition
    return tuple(merged.values())[:MOST_EDITIONS]


def _newest(*revisions: int | None) -> int | None:
    return max((revision for revision in revisions if revision is not None), default=None)
