"""Records as the mirror stores them: JSON out, JSON in, and the words by which they are found."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

import orjson

from app.openlibrary.query import Query, Term
from app.openlibrary.records import (
    AuthorRef,
    Contributor,
    Deleted,
    NormalizedAuthor,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    Redirect,
)
from app.openlibrary.words import words_of

_WORK_NAMES: Final = frozenset(field.name for field in fields(NormalizedWork))
_EDITION_NAMES: Final = frozenset(field.name for field in fields(NormalizedEdition))
_AUTHOR_NAMES: Final = frozenset(field.name for field in fields(NormalizedAuthor))
_KINDS: Final[Mapping[type, str]] = {
    NormalizedWork: "work",
    NormalizedEdition: "edition",
    NormalizedAuthor: "author",
    Redirect: "redirect",
    Deleted: "deleted",
}


def kind_name(record: ParsedRecord) -> str:
    """Give the kind under which a record is stored."""
    return _KINDS[type(record)]


def to_json(record: ParsedRecord) -> str:
    """Write a record as JSON, for a `jsonb` column."""
    return orjson.dumps(record, default=sorted).decode()


def from_json(kind: str, document: Mapping[str, Any]) -> ParsedRecord:
    """Read a record that `to_json` wrote, an older release's with fewer or more fields included."""
    if kind == "work":
        return _work(document)
    if kind == "edition":
        return _edition(document)
    if kind == "author":
        return NormalizedAuthor(**_known(document, _AUTHOR_NAMES))
    if kind == "redirect":
        return Redirect(key=document["key"], location=document["location"], revision=document["revision"])
    return Deleted(key=document["key"], revision=document["revision"])


def words_to_find(record: ParsedRecord) -> str:
    """Give the lexemes by which a record is found, with spaces between; a letter tells the field, none means any."""
    if isinstance(record, NormalizedWork):
        return " ".join(dict.fromkeys(_lexemes_of_work(record)))
    if isinstance(record, NormalizedEdition):
        return " ".join(f"i:{isbn}" for isbn in record.isbns)
    return ""


def text_search(query: Query) -> str:
    """Write a query as a `tsquery` over those lexemes; all of its words must be there."""
    return " & ".join(f"'{lexeme}'" for term in query.terms for lexeme in _lexemes_of_term(term))


def isbn_search(isbns: Iterable[str]) -> str:
    """Write "any of these ISBNs" as a `tsquery`."""
    return " | ".join(f"'i:{isbn}'" for isbn in isbns)


def _lexemes_of_work(work: NormalizedWork) -> Iterator[str]:
    titles = [work.title, work.subtitle or "", *(edition.title for edition in work.editions)]
    for letter, texts in (
        ("t", titles),
        ("a", [author.name for author in work.authors]),
        ("s", work.subjects),
        ("", work.series),
    ):
        for text in texts:
            for word in words_of(text):
                yield word
                if letter:
                    yield f"{letter}:{word}"
    yield from (f"k:{key}" for key in work.author_keys)
    yield from (f"i:{isbn}" for isbn in (*work.isbns, *(e.isbn for e in work.editions if e.isbn)))


def _lexemes_of_term(term: Term) -> Iterator[str]:
    if term.field == "isbn":
        yield f"i:{term.value}"
    elif term.author_key is not None:
        yield f"k:{term.author_key}"
    else:
        prefix = "" if term.field == "words" else f"{term.field[0]}:"
        yield from (f"{prefix}{word}" for word in words_of(term.value))


def _known(document: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items() if name in names
    }


def _work(document: Mapping[str, Any]) -> NormalizedWork:
    values = _known(document, _WORK_NAMES)
    values["authors"] = tuple(AuthorRef(**author) for author in values["authors"])
    values["contributors"] = tuple(Contributor(**person) for person in values["contributors"])
    values["editions"] = tuple(_edition(edition) for edition in values["editions"])
    values["unasked"] = frozenset(values["unasked"])
    return NormalizedWork(**values)


def _edition(document: Mapping[str, Any]) -> NormalizedEdition:
    values = _known(document, _EDITION_NAMES)
    values["contributors"] = tuple(Contributor(**person) for person in values["contributors"])
    return NormalizedEdition(**values)
