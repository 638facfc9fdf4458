"""Open Library's documents read into records: pure functions, no network, no database.

Open Library is a wiki, so a field can be missing, null, of another type, padded, doubled or full of control
characters. All of that ends here: a document becomes a tidy record, or `MalformedRecord` says why it cannot.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from app.core.isbn import valid_isbns
from app.openlibrary.cleaning import (
    NAME_LENGTH,
    TITLE_LENGTH,
    count_in,
    first_cover_in,
    languages_in,
    line_in,
    lines_in,
    list_in,
    prose_in,
    strings_in,
    tidy_subjects,
    title_in,
    year_in,
    year_number_in,
)
from app.openlibrary.records import (
    MOST_ISBNS,
    MOST_NAMES,
    UNKNOWN_ROLE,
    UNTITLED,
    WORK_FIELDS,
    AuthorRef,
    Contributor,
    Deleted,
    MalformedRecord,
    NormalizedAuthor,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    RecordKind,
    Redirect,
    kind_of,
    unique,
)

MOST_PAGES: Final = 100_000
# /a/ and /b/ are the folders of before 2010; old documents still point at them.
_KEY = re.compile(r"(?:/(?:works|books|authors|a|b)/)?(OL[0-9]{1,12}([WMA]))")
_ROLE_IN_BRACKETS = re.compile(r"(.{1,300}?)\s*\(([^()]{1,60})\)\s*")
_ROLE_ABBREVIATION = re.compile(r"(.{1,300}?),?\s+(ill|illus|ed|tr|trans|comp)\.\s*")
_ROLE_BY_ABBREVIATION: Final[Mapping[str, str]] = {
    "ill": "illustrator", "illus": "illustrator", "ed": "editor", "tr": "translator", "trans": "translator",
    "comp": "compiler",
}  # fmt: skip

# Which fields of a search answer give which field of a work.
SEARCH_FIELDS: Final[Mapping[str, str]] = {
    "title": "title",
    "subtitle": "subtitle",
    "authors": "author_name",
    "author_keys": "author_key",
    "contributors": "contributor",
    "first_publish_year": "first_publish_year",
    "description": "description",
    "subjects": "subject",
    "languages": "language",
    "publishers": "publisher",
    "isbns": "isbn",
    "page_count": "number_of_pages_median",
    "cover_id": "cover_i",
    "series": "series_name",
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
        title=title_in(source.get("title")),
        subtitle=line_in(source.get("subtitle"), limit=TITLE_LENGTH),
        authors=_named_authors(source.get("author_name"), source.get("author_key")),
        contributors=_contributors(source.get("contributor")),
        first_publish_year=year_number_in(source.get("first_publish_year"), year),
        description=prose_in(source.get("description")),
        subjects=tidy_subjects(strings_in(source.get("subject"))),
        languages=languages_in(source.get("language")),
        publishers=lines_in(source.get("publisher"), limit=NAME_LENGTH, most=MOST_NAMES),
        isbns=valid_isbns(strings_in(source.get("isbn")))[:MOST_ISBNS],
        page_count=count_in(source.get("number_of_pages_median"), most=MOST_PAGES),
        cover_id=count_in(source.get("cover_i")),
        series=lines_in(source.get("series_name"), limit=NAME_LENGTH, most=MOST_NAMES),
        editions=editions,
        author_keys=_keys(source.get("author_key"), kind="author"),
        unasked=_fields_not_searched(source, asked=frozenset(asked)),
    )


def _work(source: Mapping[str, object], latest_year: int) -> NormalizedWork:
    first_published = line_in(source.get("first_publish_date"), limit=NAME_LENGTH)
    keys = _keys((_inner(entry, "author") for entry in list_in(source.get("authors"))), kind="author")
    work = NormalizedWork(
        open_library_key=_key_of(source.get("key"), kind="work"),
        title=title_in(source.get("title")),
        subtitle=line_in(source.get("subtitle"), limit=TITLE_LENGTH),
        first_publish_year=year_in(first_published, latest_year=latest_year),
        description=prose_in(source.get("description")),
        subjects=tidy_subjects(strings_in(source.get("subjects"))),
        cover_id=first_cover_in(source.get("covers")),
        series=lines_in(source.get("series"), limit=NAME_LENGTH, most=MOST_NAMES),
        author_keys=keys,
        revision=_revision(source),
    )
    silent = {name for name in _WORK_DOCUMENT_MAY_LACK if not getattr(work, name)}
    return replace(work, unasked=_WORK_DOCUMENT_LACKS | silent)


def _edition(source: Mapping[str, object], latest_year: int) -> NormalizedEdition:
    isbns = valid_isbns([*strings_in(source.get("isbn_13")), *strings_in(source.get("isbn_10"))])[:MOST_ISBNS]
    publish_date = line_in(source.get("publish_date"), limit=NAME_LENGTH)
    return NormalizedEdition(
        open_library_key=_key_of(source.get("key"), kind="edition"),
        isbn=isbns[0] if isbns else None,
        title=_prefixed_title(source),
        subtitle=line_in(source.get("subtitle"), limit=TITLE_LENGTH),
        publishers=lines_in(source.get("publishers"), limit=NAME_LENGTH, most=MOST_NAMES),
        publish_date=publish_date,
        publish_year=year_in(publish_date, latest_year=latest_year),
        languages=languages_in(source.get("languages")),
        page_count=count_in(source.get("number_of_pages"), most=MOST_PAGES),
        physical_format=line_in(source.get("physical_format"), limit=NAME_LENGTH),
        cover_id=first_cover_in(source.get("covers")),
        isbns=isbns,
        work_keys=_keys(source.get("works"), kind="work"),
        author_keys=_keys(source.get("authors"), kind="author"),
        contributors=unique([*_contributors(source.get("contributors")), *_contributors(source.get("contributions"))]),
        series=lines_in(source.get("series"), limit=NAME_LENGTH, most=MOST_NAMES),
        description=prose_in(source.get("description")),
        revision=_revision(source),
    )


def _author(source: Mapping[str, object], _latest_year: int) -> NormalizedAuthor:
    name = line_in(source.get("name"), limit=NAME_LENGTH) or line_in(source.get("personal_name"), limit=NAME_LENGTH)
    if name is None:
        raise MalformedRecord("An author document without a name.")
    return NormalizedAuthor(
        open_library_key=_key_of(source.get("key"), kind="author"),
        name=name,
        alternate_names=lines_in(source.get("alternate_names"), limit=NAME_LENGTH, most=MOST_NAMES),
        birth_date=line_in(source.get("birth_date"), limit=NAME_LENGTH),
        death_date=line_in(source.get("death_date"), limit=NAME_LENGTH),
        bio=prose_in(source.get("bio")),
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
    if kind is not None and kind_of(match[1]) != kind:
        raise MalformedRecord(f"{match[1]} is not the key of a record of kind {kind}.")
    return match[1]


def _keys(values: object, *, kind: RecordKind) -> tuple[str, ...]:
    """Give the keys among strings and `{"key": …}` objects, each once; entries that are none are dropped."""
    found: dict[str, None] = {}
    for value in list_in(values):
        text = value.get("key") if isinstance(value, dict) else value
        match = _KEY.fullmatch(text) if isinstance(text, str) else None
        if match is not None and kind_of(match[1]) == kind:
            found[match[1]] = None
    return tuple(found)[:MOST_NAMES]


def _revision(source: Mapping[str, object]) -> int | None:
    return count_in(source.get("revision")) or count_in(source.get("latest_revision"))


def _prefixed_title(source: Mapping[str, object]) -> str:
    """Join `title_prefix` ("The", "L'") to the title, as the site does before it answers and its dumps do not."""
    title = title_in(source.get("title"))
    prefix = line_in(source.get("title_prefix"), limit=NAME_LENGTH)
    if prefix is None or title == UNTITLED:
        return title
    joint = "" if prefix.endswith(("'", "\u2019")) else " "
    return f"{prefix}{joint}{title}"[:TITLE_LENGTH]


def _named_authors(names: object, keys: object) -> tuple[AuthorRef, ...]:
    """Pair the parallel lists of a search hit; where their lengths differ no pairing can be trusted."""
    names, keys = list(list_in(names)), list(list_in(keys))
    if len(keys) != len(names):
        keys = [None] * len(names)
    authors: dict[str, AuthorRef] = {}
    for text, key in zip(names[:MOST_NAMES], keys, strict=False):
        name = line_in(text, limit=NAME_LENGTH)
        found = _keys([key], kind="author")
        if name is not None:
            author = AuthorRef(name=name, open_library_key=found[0] if found else None)
            authors.setdefault(author.open_library_key or name.casefold(), author)
    return tuple(authors.values())


def _contributors(value: object) -> tuple[Contributor, ...]:
    """Read `{"name", "role"}` objects and lines such as "Rob Inglis (Narrator)" or "Newell, Peter, ill."."""
    people = (_contributor(entry) for entry in list(list_in(value))[:MOST_NAMES])
    return unique(person for person in people if person is not None)


def _contributor(entry: object) -> Contributor | None:
    if isinstance(entry, dict):
        name = line_in(entry.get("name"), limit=NAME_LENGTH)
        role = line_in(entry.get("role"), limit=60)
        return Contributor(name=name, role=(role or UNKNOWN_ROLE).lower()) if name else None
    line = line_in(entry, limit=NAME_LENGTH)
    if line is None:
        return None
    if match := _ROLE_IN_BRACKETS.fullmatch(line):
        return Contributor(name=match[1], role=match[2].strip().lower() or UNKNOWN_ROLE)
    if match := _ROLE_ABBREVIATION.fullmatch(line):
        return Contributor(name=match[1], role=_ROLE_BY_ABBREVIATION[match[2]])
    return Contributor(name=line)


def _edition_hits(value: object, latest_year: int) -> tuple[NormalizedEdition, ...]:
    """Read the best-matching editions that a search hit brings when `editions` is among its fields."""
    hits = value.get("docs") if isinstance(value, dict) else None
    editions = (_edition_hit(hit, latest_year) for hit in list_in(hits))
    return tuple(edition for edition in editions if edition is not None)


def _edition_hit(hit: object, latest_year: int) -> NormalizedEdition | None:
    if not isinstance(hit, dict) or not (keys := _keys([hit.get("key")], kind="edition")):
        return None
    isbns = valid_isbns(strings_in(hit.get("isbn")))
    dates = lines_in(hit.get("publish_date"), limit=NAME_LENGTH, most=1)
    return NormalizedEdition(
        open_library_key=keys[0],
        isbn=isbns[0] if isbns else None,
        title=title_in(hit.get("title")),
        subtitle=line_in(hit.get("subtitle"), limit=TITLE_LENGTH),
        publishers=lines_in(hit.get("publisher"), limit=NAME_LENGTH, most=MOST_NAMES),
        publish_date=dates[0] if dates else None,
        publish_year=year_in(dates[0] if dates else None, latest_year=latest_year),
        languages=languages_in(hit.get("language")),
        cover_id=count_in(hit.get("cover_i")),
        isbns=isbns,
    )


def _fields_not_searched(source: Mapping[str, object], *, asked: frozenset[str]) -> frozenset[str]:
    """Name the work's fields that a hit cannot tell: neither asked for nor there anyway (old answers held all)."""
    known = {
        name
        for name, field in SEARCH_FIELDS.items()
        if field in asked or field in source or ("*" in asked and name != "description")
    }
    return WORK_FIELDS - known
