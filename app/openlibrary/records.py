"""Open Library documents read into records: pure functions, no network, no database.

Open Library is a wiki, so a field can be missing, null, of another type, padded, doubled or full of control
characters. All of that ends here: a document becomes a tidy record, or `MalformedRecord` says why it cannot.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from app.core.isbn import valid_isbns

RecordKind = Literal["work", "edition", "author"]
_T = TypeVar("_T")

UNTITLED: Final = "[Untitled]"
# What the search index writes where neither the work nor any of its editions has a title.
_NO_TITLE: Final = "__None__"

# Lengths far above anything a catalogue shows, so that one vandalised record cannot fill a page or a database row.
TITLE_LENGTH: Final = 1_000
NAME_LENGTH: Final = 300
SUBJECT_LENGTH: Final = 200
DESCRIPTION_LENGTH: Final = 10_000
MOST_SUBJECTS: Final = 100
MOST_NAMES: Final = 200
MOST_ISBNS: Final = 2_000
MOST_EDITIONS: Final = 1_000
MOST_PAGES: Final = 100_000
EARLIEST_YEAR: Final = 1000
_LARGEST_INTEGER: Final = 2_147_483_647

_KIND_BY_LETTER: Final[Mapping[str, RecordKind]] = {"W": "work", "M": "edition", "A": "author"}
# /a/ and /b/ are the folders of before 2010; old documents still point at them.
_KEY = re.compile(r"(?:/(?:works|books|authors|a|b)/)?(OL[0-9]{1,12}([WMA]))")
_LANGUAGE = re.compile(r"(?:/languages/|/l/)?([a-z]{3})")
_YEAR = re.compile(r"(?<![0-9])[0-9]{4}(?![0-9])")

# Control characters (tab and newline apart), lone halves of surrogate pairs, byte-order marks and noncharacters:
# PostgreSQL refuses some of them, readers can use none.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_SPACES = re.compile(r"\s+")
_TRAILING_SPACE = re.compile(r"[ \t]+\n")
_MANY_NEWLINES = re.compile(r"\n{3,}")
# Below such a rule of dashes descriptions list other works and their links.
_RULE = re.compile(r"\n[ \t]*-{5,}")
_FOOTNOTE = re.compile(r"^[ \t]{0,8}\[[^\]\n]{1,20}\]:[^\n]*$", re.MULTILINE)
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\](?:\[[^\[\]\n]{0,20}\]|\([^()\s]{1,500}\))")

# Subjects written by programs for programs: "nyt:hardcover-fiction=2011-11-27", "award:hugo_award=1966".
_MACHINE_SUBJECT = re.compile(r"[a-z][a-z0-9_\-]*:\S.*")
_MACHINE_SUBJECTS: Final = frozenset({
    "accessible book", "in library", "internet archive wishlist", "lending library", "open library staff picks",
    "overdrive", "popular print disabled books", "protected daisy", "browsing collection",
    "long now manual for civilization",
})  # fmt: skip
_READING_LEVEL: Final = "reading level-"

_ROLE_IN_BRACKETS = re.compile(r"(.{1,300}?)\s*\(([^()]{1,60})\)\s*")
_ROLE_ABBREVIATION = re.compile(r"(.{1,300}?),?\s+(ill|illus|ed|tr|trans|comp)\.\s*")
_ROLE_BY_ABBREVIATION: Final[Mapping[str, str]] = {
    "ill": "illustrator", "illus": "illustrator", "ed": "editor", "tr": "translator", "trans": "translator",
    "comp": "compiler",
}  # fmt: skip
_ROLE_UNKNOWN: Final = "contributor"


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
    role: str = _ROLE_UNKNOWN


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
# Which fields of a search answer give which field of a work.
SEARCH_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title",),
    "subtitle": ("subtitle",),
    "authors": ("author_name",),
    "author_keys": ("author_key",),
    "contributors": ("contributor",),
    "first_publish_year": ("first_publish_year",),
    "description": ("description",),
    "subjects": ("subject",),
    "languages": ("language",),
    "publishers": ("publisher",),
    "isbns": ("isbn",),
    "page_count": ("number_of_pages_median",),
    "cover_id": ("cover_i",),
    "series": ("series_name",),
}
# A work document says nothing of its editions, and of its authors only the keys.
_WORK_DOCUMENT_LACKS: Final = frozenset({
    "authors", "contributors", "languages", "publishers", "isbns", "page_count", "editions",
})  # fmt: skip
# These the site derives from the editions where the work document is silent, so silence is no answer.
_WORK_DOCUMENT_MAY_LACK: Final = ("first_publish_year", "cover_id", "series")


def parse_document(document: object, *, latest_year: int | None = None) -> ParsedRecord:
    """Read a work, edition, author, redirect or deletion document, told apart by `type.key` alone.

    Only the type decides: live works can carry a stale `location`, and a merged record answers with status 200.
    `latest_year` is the last year believed in a publication date, by default next year.

    Raises:
        MalformedRecord: no object, no known type, or a key that does not fit it.
    """
    source = _object(document, what="document")
    type_key = _type_key(source)
    parser = _PARSER_BY_TYPE.get(type_key)
    if parser is None:
        raise MalformedRecord(f"Unknown document type {type_key[:60]!r}.")
    return parser(source, latest_year or _next_year())


def parse_search_document(document: object, *, asked: Iterable[str], latest_year: int | None = None) -> NormalizedWork:
    """Read one hit of a search answer, of any age; `asked` are the search fields that were requested.

    `*` among them stands for all of them but the description, which the site gives by name only.

    Raises:
        MalformedRecord: no object, or no work's key (very old answers hold scans without a work).
    """
    source = _object(document, what="search hit")
    year = latest_year or _next_year()
    editions = _edition_hits(source.get("editions"), year)
    return NormalizedWork(
        open_library_key=_key_of(source.get("key"), kind="work"),
        title=_title(source.get("title")),
        subtitle=_line(source.get("subtitle"), limit=TITLE_LENGTH),
        authors=_named_authors(source.get("author_name"), source.get("author_key")),
        contributors=_contributors(source.get("contributor")),
        first_publish_year=_year_number(source.get("first_publish_year"), year),
        description=_prose(source.get("description")),
        subjects=tidy_subjects(_strings(source.get("subject"))),
        languages=_languages(source.get("language")),
        publishers=_lines(source.get("publisher"), limit=NAME_LENGTH, most=MOST_NAMES),
        isbns=valid_isbns(_strings(source.get("isbn")))[:MOST_ISBNS],
        page_count=_count(source.get("number_of_pages_median"), most=MOST_PAGES),
        cover_id=_count(source.get("cover_i")),
        series=_lines(source.get("series_name"), limit=NAME_LENGTH, most=MOST_NAMES),
        editions=editions,
        author_keys=_keys(source.get("author_key"), kind="author"),
        unasked=_fields_not_searched(source, asked=frozenset(asked)),
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
        contributors=_unique(person for edition in merged for person in edition.contributors),
        first_publish_year=min(years, default=None),
        languages=_unique(code for edition in merged for code in edition.languages),
        publishers=_unique(name for edition in merged for name in edition.publishers)[:MOST_NAMES],
        page_count=next((edition.page_count for edition in merged if edition.page_count), None),
        cover_id=next((edition.cover_id for edition in merged if edition.cover_id), None),
        series=_unique(name for edition in merged for name in edition.series)[:MOST_NAMES],
        author_keys=_unique(key for edition in merged for key in edition.author_keys)[:MOST_NAMES],
        editions=merged,
        unasked=frozenset({"authors", "author_keys", "title", "subtitle", "description", "subjects"})
        if complete
        else WORK_FIELDS,
    )
    isbns = _unique([*work.isbns, *(isbn for edition in merged for isbn in edition.isbns)])[:MOST_ISBNS]
    return replace(merge_work(work, telling), isbns=isbns)


def name_authors(work: NormalizedWork, names: Mapping[str, str]) -> NormalizedWork:
    """Put names to the authors a work knows by key; keys without a name here stay in `author_keys` only."""
    if "authors" not in work.unasked:
        return work
    authors = tuple(AuthorRef(name=names[key], open_library_key=key) for key in work.author_keys if key in names)
    is_complete = len(authors) == len(work.author_keys)
    return replace(work, authors=authors, unasked=work.unasked - {"authors"} if is_complete else work.unasked)


def bare_key(text: object, *, kind: RecordKind) -> str:
    """Give the bare key (`OL45804W`) of a path or bare key.

    Raises:
        MalformedRecord: it is no key, or one of another kind of record.
    """
    return _key_of(text, kind=kind)


def kind_of(key: str) -> RecordKind:
    """Tell from a bare key which kind of record it names."""
    return _KIND_BY_LETTER[key[-1]]


def key_of(record: ParsedRecord) -> str | None:
    """Give a record's own bare key; an edition made from a search hit may have none."""
    return record.key if isinstance(record, Redirect | Deleted) else record.open_library_key


def year_in(text: str | None, *, latest_year: int) -> int | None:
    """Give the year of a free-form date: the only run of exactly four digits, between 1000 and `latest_year`.

    Two years ("2005-2010"), gaps ("195X", "[18--?]") and fillers ("0000", "9999") give none.
    """
    runs = _YEAR.findall(text or "")
    if len(runs) != 1 or not EARLIEST_YEAR <= int(runs[0]) <= latest_year:
        return None
    return int(runs[0])


def tidy_subjects(subjects: Iterable[str]) -> tuple[str, ...]:
    """Drop machine tags and blanks, and keep one of those that differ only by case: the first spelling."""
    kept: dict[str, str] = {}
    for subject in subjects:
        line = _line(subject, limit=SUBJECT_LENGTH)
        if line is not None and not _is_machine_subject(line):
            kept.setdefault(line.casefold(), line)
        if len(kept) == MOST_SUBJECTS:
            break
    return tuple(kept.values())


def _work(source: Mapping[str, object], latest_year: int) -> NormalizedWork:
    keys = _keys((_inner(entry, "author") for entry in _list(source.get("authors"))), kind="author")
    work = NormalizedWork(
        open_library_key=_key_of(source.get("key"), kind="work"),
        title=_title(source.get("title")),
        subtitle=_line(source.get("subtitle"), limit=TITLE_LENGTH),
        first_publish_year=year_in(_line(source.get("first_publish_date"), limit=NAME_LENGTH), latest_year=latest_year),
        description=_prose(source.get("description")),
        subjects=tidy_subjects(_strings(source.get("subjects"))),
        cover_id=_first_cover(source.get("covers")),
        series=_lines(source.get("series"), limit=NAME_LENGTH, most=MOST_NAMES),
        author_keys=keys,
        revision=_revision(source),
    )
    silent = {name for name in _WORK_DOCUMENT_MAY_LACK if not getattr(work, name)}
    return replace(work, unasked=_WORK_DOCUMENT_LACKS | silent)


def _edition(source: Mapping[str, object], latest_year: int) -> NormalizedEdition:
    isbns = valid_isbns([*_strings(source.get("isbn_13")), *_strings(source.get("isbn_10"))])[:MOST_ISBNS]
    publish_date = _line(source.get("publish_date"), limit=NAME_LENGTH)
    return NormalizedEdition(
        open_library_key=_key_of(source.get("key"), kind="edition"),
        isbn=isbns[0] if isbns else None,
        title=_prefixed_title(source),
        subtitle=_line(source.get("subtitle"), limit=TITLE_LENGTH),
        publishers=_lines(source.get("publishers"), limit=NAME_LENGTH, most=MOST_NAMES),
        publish_date=publish_date,
        publish_year=year_in(publish_date, latest_year=latest_year),
        languages=_languages(source.get("languages")),
        page_count=_count(source.get("number_of_pages"), most=MOST_PAGES),
        physical_format=_line(source.get("physical_format"), limit=NAME_LENGTH),
        cover_id=_first_cover(source.get("covers")),
        isbns=isbns,
        work_keys=_keys(source.get("works"), kind="work"),
        author_keys=_keys(source.get("authors"), kind="author"),
        contributors=_unique([*_contributors(source.get("contributors")), *_contributors(source.get("contributions"))]),
        series=_lines(source.get("series"), limit=NAME_LENGTH, most=MOST_NAMES),
        description=_prose(source.get("description")),
        revision=_revision(source),
    )


def _author(source: Mapping[str, object], _latest_year: int) -> NormalizedAuthor:
    name = _line(source.get("name"), limit=NAME_LENGTH) or _line(source.get("personal_name"), limit=NAME_LENGTH)
    if name is None:
        raise MalformedRecord("An author document without a name.")
    return NormalizedAuthor(
        open_library_key=_key_of(source.get("key"), kind="author"),
        name=name,
        alternate_names=_lines(source.get("alternate_names"), limit=NAME_LENGTH, most=MOST_NAMES),
        birth_date=_line(source.get("birth_date"), limit=NAME_LENGTH),
        death_date=_line(source.get("death_date"), limit=NAME_LENGTH),
        bio=_prose(source.get("bio")),
        revision=_revision(source),
    )


def _redirect(source: Mapping[str, object], _latest_year: int) -> Redirect:
    return Redirect(
        key=_key_of(source.get("key")), location=_key_of(source.get("location")), revision=_revision(source)
    )


def _deleted(source: Mapping[str, object], _latest_year: int) -> Deleted:
    return Deleted(key=_key_of(source.get("key")), revision=_revision(source))


_PARSER_BY_TYPE: Final[Mapping[str, Callable[[Mapping[str, object], int], ParsedRecord]]] = {
    "/type/work": _work,
    "/type/edition": _edition,
    "/type/author": _author,
    "/type/redirect": _redirect,
    "/type/delete": _deleted,
}


def _next_year() -> int:
    return datetime.now(UTC).year + 1


def _object(value: object, *, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedRecord(f"The {what} is no JSON object.")
    return value


def _type_key(source: Mapping[str, object]) -> str:
    key = _inner(source, "type")
    if not isinstance(key, str):
        raise MalformedRecord("The document does not tell its type.")
    return key


def _inner(value: object, name: str) -> object:
    """Give `value[name]["key"]`, where some documents hold the string itself instead of the object around it."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner.get("key") if isinstance(inner, dict) else inner


def _key_of(value: object, *, kind: RecordKind | None = None) -> str:
    match = _KEY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise MalformedRecord(f"{str(value)[:60]!r} is no Open Library key." if isinstance(value, str) else "No key.")
    if kind is not None and _KIND_BY_LETTER[match[2]] != kind:
        raise MalformedRecord(f"{match[1]} is not the key of a record of kind {kind}.")
    return match[1]


def _keys(values: object, *, kind: RecordKind) -> tuple[str, ...]:
    """Give the keys among strings and `{"key": …}` objects, each once; entries that are none are dropped."""
    found: dict[str, None] = {}
    for value in _list(values):
        text = value.get("key") if isinstance(value, dict) else value
        match = _KEY.fullmatch(text) if isinstance(text, str) else None
        if match is not None and _KIND_BY_LETTER[match[2]] == kind:
            found[match[1]] = None
    return tuple(found)[:MOST_NAMES]


def _revision(source: Mapping[str, object]) -> int | None:
    return _count(source.get("revision")) or _count(source.get("latest_revision"))


def _list(value: object) -> Iterable[object]:
    if value is None or isinstance(value, str | bytes | Mapping):
        return ()
    return value if isinstance(value, Iterable) else ()


def _strings(value: object) -> list[str]:
    """Give the strings of a list; a lone string counts as a list of one."""
    if isinstance(value, str):
        return [value]
    return [text for entry in _list(value) if (text := _plain(entry)) is not None]


def _plain(value: object) -> str | None:
    """Give a text that stands as a string or as `{"type": "/type/text", "value": …}`."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else None


def _line(value: object, *, limit: int) -> str | None:
    text = _plain(value)
    if text is None:
        return None
    # What is cut off would be thrown away after cleaning; four times the limit leaves room for padding.
    printable = _UNPRINTABLE.sub("", text[: 4 * limit])
    line = _SPACES.sub(" ", unicodedata.normalize("NFC", printable)).strip()
    return line[:limit].rstrip() or None


def _lines(value: object, *, limit: int, most: int) -> tuple[str, ...]:
    lines = (_line(text, limit=limit) for text in _strings(value)[: 4 * most])
    return _unique(line for line in lines if line is not None)[:most]


def _prose(value: object) -> str | None:
    """Give a description as plain paragraphs: no carriage returns, no footnotes, no link addresses."""
    text = _plain(value)
    if text is None:
        return None
    text = _UNPRINTABLE.sub("", text[: 4 * DESCRIPTION_LENGTH].replace("\r\n", "\n").replace("\r", "\n"))
    text = _RULE.split(text, maxsplit=1)[0]
    text = _LINK.sub(r"\1", _FOOTNOTE.sub("", text))
    text = _MANY_NEWLINES.sub("\n\n", _TRAILING_SPACE.sub("\n", text))
    return unicodedata.normalize("NFC", text).strip()[:DESCRIPTION_LENGTH].rstrip() or None


def _title(value: object) -> str:
    line = _line(value, limit=TITLE_LENGTH)
    return UNTITLED if line is None or line == _NO_TITLE else line


def _prefixed_title(source: Mapping[str, object]) -> str:
    """Join `title_prefix` ("The", "L'") to the title, as the site does before it answers and its dumps do not."""
    title = _title(source.get("title"))
    prefix = _line(source.get("title_prefix"), limit=NAME_LENGTH)
    if prefix is None or title == UNTITLED:
        return title
    joint = "" if prefix.endswith(("'", "\u2019")) else " "
    return f"{prefix}{joint}{title}"[:TITLE_LENGTH]


def _count(value: object, *, most: int = _LARGEST_INTEGER) -> int | None:
    """Give a positive whole number up to `most`; deleted covers (-1), null, fractions and nonsense give none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= most else None


def _year_number(value: object, latest_year: int) -> int | None:
    year = _count(value, most=latest_year)
    return year if year is not None and year >= EARLIEST_YEAR else None


def _first_cover(value: object) -> int | None:
    return next((cover for entry in _list(value) if (cover := _count(entry)) is not None), None)


def _languages(value: object) -> tuple[str, ...]:
    """Give three-letter codes from codes or from `{"key": "/languages/eng"}`."""
    texts = (entry.get("key") if isinstance(entry, dict) else entry for entry in _list(value))
    matches = (_LANGUAGE.fullmatch(text.strip().lower()) for text in texts if isinstance(text, str))
    return _unique(match[1] for match in matches if match is not None)[:MOST_NAMES]


def _named_authors(names: object, keys: object) -> tuple[AuthorRef, ...]:
    """Pair the parallel lists of a search hit; where their lengths differ no pairing can be trusted."""
    names, keys = list(_list(names)), list(_list(keys))
    if len(keys) != len(names):
        keys = [None] * len(names)
    authors: dict[str, AuthorRef] = {}
    for text, key in zip(names[:MOST_NAMES], keys, strict=False):
        name = _line(text, limit=NAME_LENGTH)
        found = _keys([key], kind="author")
        if name is not None:
            author = AuthorRef(name=name, open_library_key=found[0] if found else None)
            authors.setdefault(author.open_library_key or name.casefold(), author)
    return tuple(authors.values())


def _contributors(value: object) -> tuple[Contributor, ...]:
    """Read `{"name", "role"}` objects and lines such as "Rob Inglis (Narrator)" or "Newell, Peter, ill."."""
    people = (_contributor(entry) for entry in list(_list(value))[:MOST_NAMES])
    return _unique(person for person in people if person is not None)


def _contributor(entry: object) -> Contributor | None:
    if isinstance(entry, dict):
        name = _line(entry.get("name"), limit=NAME_LENGTH)
        role = _line(entry.get("role"), limit=60)
        return Contributor(name=name, role=(role or _ROLE_UNKNOWN).lower()) if name else None
    line = _line(entry, limit=NAME_LENGTH)
    if line is None:
        return None
    if match := _ROLE_IN_BRACKETS.fullmatch(line):
        return Contributor(name=match[1], role=match[2].strip().lower() or _ROLE_UNKNOWN)
    if match := _ROLE_ABBREVIATION.fullmatch(line):
        return Contributor(name=match[1], role=_ROLE_BY_ABBREVIATION[match[2]])
    return Contributor(name=line)


def _is_machine_subject(subject: str) -> bool:
    folded = subject.casefold()
    return (
        folded in _MACHINE_SUBJECTS
        or folded.startswith(_READING_LEVEL)
        or _MACHINE_SUBJECT.fullmatch(subject) is not None
    )


def _edition_hits(value: object, latest_year: int) -> tuple[NormalizedEdition, ...]:
    """Read the best-matching editions that a search hit brings when `editions` is among its fields."""
    hits = value.get("docs") if isinstance(value, dict) else None
    editions = (_edition_hit(hit, latest_year) for hit in _list(hits))
    return tuple(edition for edition in editions if edition is not None)


def _edition_hit(hit: object, latest_year: int) -> NormalizedEdition | None:
    if not isinstance(hit, dict) or not (keys := _keys([hit.get("key")], kind="edition")):
        return None
    isbns = valid_isbns(_strings(hit.get("isbn")))
    dates = _lines(hit.get("publish_date"), limit=NAME_LENGTH, most=1)
    return NormalizedEdition(
        open_library_key=keys[0],
        isbn=isbns[0] if isbns else None,
        title=_title(hit.get("title")),
        subtitle=_line(hit.get("subtitle"), limit=TITLE_LENGTH),
        publishers=_lines(hit.get("publisher"), limit=NAME_LENGTH, most=MOST_NAMES),
        publish_date=dates[0] if dates else None,
        publish_year=year_in(dates[0] if dates else None, latest_year=latest_year),
        languages=_languages(hit.get("language")),
        cover_id=_count(hit.get("cover_i")),
        isbns=isbns,
    )


def _fields_not_searched(source: Mapping[str, object], *, asked: frozenset[str]) -> frozenset[str]:
    """Name the work's fields that a hit cannot tell: neither asked for nor there anyway (old answers held all)."""
    known = {
        name
        for name, search_fields in SEARCH_FIELDS.items()
        if any(field in asked or field in source for field in search_fields) or ("*" in asked and name != "description")
    }
    return WORK_FIELDS - known


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


def _unique(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))
