"""Words as the mirror compares them: accents and case folded, the same on every database server."""

import re
from typing import Final

from app.core.text import folded

# Apostrophes and primes (as in romanised Russian) stand within words and are left out of them.
_WITHIN_WORDS = re.compile("[\u0027\u2018\u2019\u02b9\u02bb\u02bc]")
_WORD = re.compile(r"[^\W_]+")
# PostgreSQL takes no lexeme over 2 kB, and no word a reader types comes near this.
_WORD_LENGTH: Final = 60


def words_of(text: str) -> list[str]:
    """Give the folded words of `text`, in their order."""
    return [word[:_WORD_LENGTH] for word in _WORD.findall(_WITHIN_WORDS.sub("", folded(text)))]
