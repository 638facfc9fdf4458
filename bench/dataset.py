"""Made-up works in bulk: words of a skewed vocabulary, so that searches meet frequent and rare ones, as in titles."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from app.openlibrary.records import AuthorRef, NormalizedEdition, NormalizedWork

_SYLLABLES = [
    first + vowel + last for first in "bdfgklmnprstv" for vowel in "aeiou" for last in ("", "n", "r", "l", "s")
]
_WORDS = 20_000
_SUBJECTS = 400
_LANGUAGES = ["eng", "spa", "ger", "fre", "dut", "ita"]


def vocabulary() -> list[str]:
    """The words, the most frequent first; the same at every call."""
    dice = random.Random(7)
    words: dict[str, None] = {}
    while len(words) < _WORDS:
        words["".join(dice.choices(_SYLLABLES, k=dice.randint(2, 4)))] = None
    return list(words)


def works(count: int, *, first: int = 1) -> Iterator[NormalizedWork]:
    """`count` works with keys from `OL{first}W` on; the same at every call."""
    dice = random.Random(first)
    words = vocabulary()
    # Zipf's law: the n-th word comes up a n-th as often as the first.
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for number in range(first, first + count):
        drawn = [word.capitalize() for word in dice.choices(words, cum_weights=weights, k=12)]
        yield _work(number, drawn, dice)


def _work(number: int, words: Sequence[str], dice: random.Random) -> NormalizedWork:
    # Each author has about ten works.
    author = number // 10
    isbn = isbn13(number)
    year = dice.randint(1900, 2025)
    publisher = f"{words[5]} Press"
    return NormalizedWork(
        open_library_key=f"OL{number}W",
        title=" ".join(words[: dice.randint(2, 5)]),
        subtitle=f"A {words[6]} story" if number % 3 == 0 else None,
        authors=(AuthorRef(name=f"{words[7]} {author}", open_library_key=f"OL{author + 1}A"),),
        first_publish_year=year,
        description=f"About {words[8]} and {words[9]}.",
        subjects=tuple(dict.fromkeys(f"Subject {dice.randrange(_SUBJECTS)}" for _ in range(3))),
        languages=(dice.choice(_LANGUAGES),),
        publishers=(publisher,),
        isbns=(isbn,),
        page_count=dice.randint(60, 900),
        cover_id=number,
        editions=(
            NormalizedEdition(
                open_library_key=f"OL{number}M",
                isbn=isbn,
                title=" ".join(words[:3]),
                publishers=(publisher,),
                publish_date=str(year),
                publish_year=year,
                isbns=(isbn,),
            ),
        ),
    )


def isbn13(number: int) -> str:
    """A valid ISBN-13 for each number."""
    digits = f"978{number:09d}"
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits))
    return f"{digits}{-total % 10}"
