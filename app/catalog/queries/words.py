"""What a word is, for the catalogue's search: in what is searched, in what is asked, and in what is marked.

A word is a run of letters, digits and marks, folded. What a hyphen, an apostrophe or the like joins counts as its parts
and, among the words of a book, as one as well: "Spider-Man" is found by "spider", "man" and "spiderman", "J.R.R." by
"jrr". Scripts that write without spaces between words are taken character by character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from app.core.text import folded

# PostgreSQL takes no lexeme over 2 kB, and no word that a reader types comes near this, in characters.
_WORD_LENGTH: Final = 60
# Vowel signs of Indic and other scripts are marks, which `\w` leaves out; none stands beyond the first 64 k characters
# that people read today.
_MARKS: Final = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M")
_ALONE: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PART: Final = rf"(?:[{_ALONE}]|(?:(?![{_ALONE}_])[\w{_MARKS}])+)"
_PARTS: Final = re.compile(_PART)
_ASCII_PARTS: Final = re.compile("[a-z0-9]+")
# Apostrophes, primes (as in romanised Russian), hyphens, and the point and comma within initials and numbers.
_JOINT: Final = "['\u2018\u2019\u02b9\u02bb\u02bc.,\u2010\u2011-]"
_COMPOUNDS: Final = re.compile(rf"{_PART}(?:{_JOINT}{_PART})*")
_JOINTS: Final = re.compile(_JOINT)


def words_of(text: str) -> list[str]:
    """The folded words of `text`, in their order."""
    bare = folded(text)
    found = _ASCII_PARTS.findall(bare) if bare.isascii() else _PARTS.findall(bare)
    return [word[:_WORD_LENGTH] for word in found]


def indexed_words(texts: Iterable[str]) -> list[str]:
    """The words by which something called `texts` is found, each once; a compound's whole comes after its parts."""
    found: dict[str, None] = {}
    for text in texts:
        for compound in _COMPOUNDS.findall(folded(text)):
            parts = words_of(compound)
            found.update(dict.fromkeys(parts))
            if len(parts) > 1 and _JOINTS.search(compound):
                found["".join(parts)[:_WORD_LENGTH]] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Marker:
    """Marks what a search found: these folded words, and those that begin with `prefix`, where that is not empty."""

    words: frozenset[str]
    prefix: str = ""

    def marked(self, text: str) -> str | None:
        """`text` as HTML with `<mark>` around what was found and everything else escaped; None where nothing was."""
        if not self._may_hold(text):
            return None
        text = unicodedata.normalize("NFC", text)
        pieces: list[str] = []
        at = 0
        for start, end in self._spans(text):
            pieces += (escape(text[at:start]), "<mark>", escape(text[start:end]), "</mark>")
            at = end
        if not pieces:
            return None
        return "".join((*pieces, escape(text[at:]))).replace("</mark><mark>", "")

    def _may_hold(self, text: str) -> bool:
        """False for most texts of a book, which shows faster than by taking their words one by one."""
        bare = folded(text)
        for word in self.words:
            if word in bare:
                return True
        whole = _JOINTS.sub("", bare)
        return len(whole) < len(bare) and any(word in whole for word in self.words)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for compound in _COMPOUNDS.finditer(text):
            if self._is_found(compound.group()):
                yield compound.span()
                continue
            for part in _PARTS.finditer(compound.group()):
                if self._is_found(part.group()):
                    yield compound.start() + part.start(), compound.start() + part.end()

    def _is_found(self, written: str) -> bool:
        word = "".join(words_of(written))
        return word in self.words or bool(self.prefix and word.startswith(self.prefix))
