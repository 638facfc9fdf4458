"""Queries as librarians write them, and as Open Library and the mirror understand them.

A query is free words, or fields: `author:Tolkien`, `subject:fantasy`, `title:The Hobbit`, `isbn:9780261103573`; a
field's value reaches to the next field, and all parts must hold. Nothing else of Lucene's language gets through.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from app.core.isbn import InvalidIsbn, isbn10_of, normalize_isbn
from app.openlibrary.errors import InvalidQuery
from app.openlibrary.words import words_of

SearchParameter = Literal["q", "title"]
QueryField = Literal["author", "subject", "title", "isbn", "words"]

# What the site's parser reads as more than a letter.
_LUCENE_SPECIAL = re.compile(r'([+\-&|!(){}\[\]^"~*?:\\/<>])')
_LUCENE_OPERATORS: Final = frozenset({"AND", "OR", "NOT", "TO"})
_FIELD = re.compile(r"(?:^|(?<=\s))(author|subject|title|isbn):", re.IGNORECASE)
_AUTHOR_KEY = re.compile(r"(?:/authors/)?(OL[0-9]{1,12}A)")
_PLAIN_WORD = re.compile(r"[^\W_]+")
_ISBN_ALONE = re.compile(r"[0-9][0-9 \-]{8,16}[0-9Xx]")
# The site refuses a `q` of one or two characters and the word "the"; its other parameters have no such rule.
_SHORTEST_QUERY: Final = 3
_REFUSED_QUERIES: Final = frozenset({"the"})


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: a field and the text it must hold; an ISBN is in its 13-digit form."""

    field: QueryField
    value: str

    @property
    def author_key(self) -> str | None:
        """The key where an author is named by key."""
        match = _AUTHOR_KEY.fullmatch(self.value) if self.field == "author" else None
        return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that must all hold."""

    terms: tuple[Term, ...]

    @property
    def text(self) -> str:
        """The one spelling under which the answer to this query is remembered."""
        return " ".join(f"{term.field}:{' '.join(term.value.casefold().split())}" for term in self.terms)

    @property
    def lucene(self) -> str:
        """The query in the site's language."""
        return " ".join(_lucene(term) for term in self.terms)

    @property
    def parameter(self) -> SearchParameter:
        """The parameter of the search that takes this query."""
        is_refused = len(self.lucene) < _SHORTEST_QUERY or self.lucene.lower() in _REFUSED_QUERIES
        return "title" if is_refused else "q"


def parse_query(text: str) -> Query:
    """Read a query as a librarian wrote it.

    Raises:
        InvalidQuery: a field without a value, a bad ISBN, or nothing to look for.
    """
    parts = _FIELD.split(text.strip())
    terms = [_free_words(parts[0])] if parts[0].strip() else []
    for field, value in zip(parts[1::2], parts[2::2], strict=True):
        terms.append(_term(cast("QueryField", field.lower()), value))
    if not terms:
        raise InvalidQuery("A query needs at least one word to look for.")
    return Query(tuple(terms))


def _free_words(text: str) -> Term:
    if _ISBN_ALONE.fullmatch(text.strip()):
        try:
            return Term("isbn", normalize_isbn(text))
        except InvalidIsbn:
            # Ten digits that are no ISBN may still be a title.
            return _term("words", text)
    return _term("words", text)


def _term(field: QueryField, text: str) -> Term:
    value = " ".join(text.strip().strip('"').split())
    if field == "isbn":
        try:
            return Term(field, normalize_isbn(value))
        except InvalidIsbn as error:
            raise InvalidQuery(str(error)) from error
    if not words_of(value):
        raise InvalidQuery(
            f"{field}: needs at least one word or number." if field != "words" else "No word to look for."
        )
    return Term(field, value)


def _lucene(term: Term) -> str:
    if term.field == "isbn":
        return lucene_isbns([term.value])
    if term.field == "words":
        return _escaped_words(term.value)
    if term.author_key is not None:
        return f"author_key:{term.author_key}"
    return f"{term.field}:{_quoted(term.value)}"


def lucene_isbns(isbns: list[str]) -> str:
    """Ask for any of these ISBN-13s; the index holds numbers as they were printed, so the ISBN-10 is asked as well."""
    forms = [form for isbn in isbns for form in (isbn, isbn10_of(isbn)) if form is not None]
    return f"isbn:({' OR '.join(forms)})" if len(forms) > 1 else f"isbn:{forms[0]}"


def lucene_keys(keys: list[str]) -> str:
    """Ask for any of these works, by bare key."""
    return f"key:({' OR '.join(f'/works/{key}' for key in keys)})"


def _escaped_words(text: str) -> str:
    words = (word.lower() if word in _LUCENE_OPERATORS else word for word in text.split())
    return " ".join(_LUCENE_SPECIAL.sub(r"\\\1", word) for word in words)


def _quoted(text: str) -> str:
    if _PLAIN_WORD.fullmatch(text) and text not in _LUCENE_OPERATORS:
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
