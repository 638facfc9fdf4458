"""The part of Open Library's query language that clients send: fields, phrases, alternatives in brackets, words."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Hit = Mapping[str, Any]
Condition = Callable[["Indexed"], bool]

_PART = re.compile(
    r"(?:(?P<field>[a-z_]+):)?(?:\((?P<group>[^)]*)\)|\[(?P<low>\S+) TO (?P<high>[^\]]+)\]"
    r'|"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>(?:[^\s\\"]|\\.)+))'
)
_ESCAPE = re.compile(r"\\(.)")
_WORD = re.compile(r"[^\W_]+")
_TEXT_FIELDS = {
    "author": ("author_name",),
    "authors": ("author_name",),
    "by": ("author_name",),
    "author_name": ("author_name",),
    "title": ("title", "alternative_title"),
    "work_title": ("title",),
    "subject": ("subject",),
    "publisher": ("publisher",),
    "person": ("person",),
    "place": ("place",),
    "time": ("time",),
}
_EXACT_FIELDS = {"author_key": "author_key", "edition_key": "edition_key", "language": "language"}
_EVERYWHERE = ("title", "subtitle", "alternative_title", "author_name", "subject", "publisher", "isbn")


class Indexed:
    """A hit with its words taken apart once."""

    def __init__(self, hit: Hit) -> None:
        """Take the full search document of a work."""
        self.hit = hit
        self.words = {name: [_words(text) for text in _texts(hit.get(name))] for name in _all_text_fields()}
        self.isbns = {_digits(text) for text in _texts(hit.get("isbn"))}

    def holds_phrase(self, fields: Iterable[str], phrase: list[str]) -> bool:
        """Say whether the words stand side by side in one of the fields."""
        size = len(phrase)
        return any(
            words[start : start + size] == phrase
            for name in fields
            for words in self.words.get(name, [])
            for start in range(len(words) - size + 1)
        )


def conditions_of(query: str) -> list[Condition]:
    """Read a query; all conditions must hold, none match nothing."""
    return [_condition(match) for match in _PART.finditer(query) if match[0] not in {"AND", "*:*"}]


def words_condition(fields: Iterable[str], text: str) -> Condition:
    """Ask for all words of `text` in these fields, as the search's own parameters do."""
    names, words = tuple(fields), _words(text)
    return lambda indexed: bool(words) and all(indexed.holds_phrase(names, [word]) for word in words)


def isbn_condition(texts: Iterable[str]) -> Condition:
    """Ask for any of these ISBNs, as printed in some edition."""
    wanted = {_digits(text) for text in texts}
    return lambda indexed: not wanted.isdisjoint(indexed.isbns)


def _condition(match: re.Match[str]) -> Condition:
    name = match["field"]
    if match["low"] is not None:
        low, high = _bound(match["low"]), _bound(match["high"])
        return lambda indexed: low <= int(indexed.hit.get(name) or -1) <= high
    values = _values(match)
    if name == "isbn":
        return isbn_condition(values)
    if name == "key":
        wanted = {value.rsplit("/", 1)[-1] for value in values}
        return lambda indexed: indexed.hit["key"].rsplit("/", 1)[-1] in wanted
    if name in _EXACT_FIELDS:
        exact = set(values)
        return lambda indexed: not exact.isdisjoint(_texts(indexed.hit.get(_EXACT_FIELDS[name])))
    if name in _TEXT_FIELDS:
        phrases = [_words(value) for value in values]
        return lambda indexed: any(phrase and indexed.holds_phrase(_TEXT_FIELDS[name], phrase) for phrase in phrases)
    # An unknown field is no field: the server escapes the colon and looks for the words.
    return words_condition(_EVERYWHERE, f"{name or ''} {' '.join(values)}")


def _values(match: re.Match[str]) -> list[str]:
    if match["group"] is not None:
        return [_ESCAPE.sub(r"\1", value.strip().strip('"')) for value in match["group"].split(" OR ")]
    return [_ESCAPE.sub(r"\1", match["phrase"] if match["phrase"] is not None else match["word"])]


def _bound(text: str) -> float:
    return float("inf") if text == "*" else float(text)


def _all_text_fields() -> set[str]:
    return {name for names in _TEXT_FIELDS.values() for name in names} | set(_EVERYWHERE)


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [text for text in value or [] if isinstance(text, str)]  # type: ignore[attr-defined]  # a list where it is no string


def _digits(text: str) -> str:
    return re.sub(r"[^0-9Xx]", "", text).upper()


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text)
    return _WORD.findall("".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold())
