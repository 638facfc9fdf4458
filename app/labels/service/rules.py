"""What subjects and page counts say of a book, by rules that stand in one table. They are the lightest of origins.

A rule is met where one of the book's subjects has one of its words, as whole words whatever their case. Of ages, the
first rule that is met decides, so the particular ones stand before the general; moods are taken from each that is met,
three at most. A hint in so many words, such as `Ages 8-12` or `Reading Level-Grade 3`, comes before all rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from app.labels.models import MOST_HUES, OLDEST_READER, Hue
from app.members.models import ReadingAbility

_EMERGENT, _EARLY = ReadingAbility.EMERGENT, ReadingAbility.EARLY


@dataclass(frozen=True)
class Rule:
    """Words of subjects, and what they say: ages in years (from, to), how well one must read, the mood."""

    words: str
    ages: tuple[int, int | None] | None = None
    ability: ReadingAbility | None = None
    hue: Hue | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What finds one of the words, which are separated by commas."""
        words = "|".join(re.escape(word.strip()) for word in self.words.split(","))
        return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


RULES: Final = (
    # For whom.
    Rule("board book, board books", ages=(0, 3), ability=_EMERGENT),
    Rule("picture book, picture books, stories without words, alphabet books", (2, 6), _EMERGENT),
    Rule(
        "easy reader, easy readers, beginning reader, beginning readers, readers (primary)",
        (5, 8),
        _EARLY,
    ),
    Rule("chapter book, chapter books", (7, 10), ReadingAbility.TRANSITIONAL),
    Rule("middle grade, middle grades, middle-grade", (8, 12), ReadingAbility.SELF_EXTENDING),
    Rule("young adult, young adults, young adult fiction, teenagers' books", (12, 18), ReadingAbility.ADVANCED),
    Rule("juvenile fiction, juvenile literature, juvenile nonfiction, children's fiction, children's stories", (6, 12)),
    Rule("children's literature, children's books, children's poetry, nursery rhymes", (3, 12)),
    Rule("erotica, erotic fiction, erotic stories", (18, None)),
    # What it is like.
    Rule("horror, horror stories, horror tales, noir fiction, organized crime", hue=Hue.DARK_GRITTY),
    Rule("suspense, thriller, thrillers, detective, mystery, murder, spy stories", hue=Hue.DARK_SUSPENSE),
    Rule("gothic, ghost stories, vampires, tragedy", hue=Hue.DARK_BEAUTIFUL),
    Rule("fairy tales, fairies, magic, unicorns, mermaids", hue=Hue.BEAUTIFUL_WHIMSICAL),
    Rule("satire, parodies, absurd, wit and humor", hue=Hue.FUNNY_QUIRKY),
    Rule("humor, humour, humorous stories, humorous fiction, jokes, comedy, comic books", hue=Hue.FUNNY_COMIC),
    Rule("nonsense verses, riddles, limericks", hue=Hue.SILLY_CHARMING),
    Rule("toys, play, games, teddy bears", hue=Hue.CHARMING_PLAYFUL),
    Rule("courage, heroes, adventure stories, adventure and adventurers", hue=Hue.CHARMING_COURAGEOUS),
    Rule("friendship, holidays, birthdays, love stories", hue=Hue.JOYFUL_CHARMING),
    Rule("self-actualization, success, inspirational, perseverance", hue=Hue.INSPIRING),
    Rule("grief, death, divorce, refugees, bullying, illness, orphans", hue=Hue.REALISTIC_HOPE),
    Rule("nonfiction, non-fiction, encyclopedias, dictionaries, handbooks, textbooks, atlases", hue=Hue.INFORMATIVE),
)
# A child's book of at most so many pages asks for as much, where no rule has said so.
PAGES: Final = (
    (32, _EMERGENT),
    (64, _EARLY),
    (128, ReadingAbility.TRANSITIONAL),
    (240, ReadingAbility.SELF_EXTENDING),
)
# Up to here a book is a child's, and its length says something of who can read it.
_CHILDS_AGE: Final = 12
_AGES: Final = re.compile(r"\bages?\s+(\d{1,2})\b(?:\s*(?:-|–|to)\s*(\d{1,2})\b|\s*(\+|and up))?", re.IGNORECASE)
# As the United States count school years: the first is that of six-year-olds.
_GRADES: Final = re.compile(r"\bgrades?\s+(\d{1,2})\b(?:\s*(?:-|–|to)\s*(\d{1,2}))?\b", re.IGNORECASE)
_LAST_GRADE, _AGE_BEFORE_GRADES = 12, 5


def proposed(subjects: Iterable[str], *, page_count: int | None) -> dict[str, Any]:
    """Every label that rules can give, None where they say nothing."""
    about = list(subjects)
    met = [rule for rule in RULES if any(rule.pattern.search(subject) for subject in about)]
    ages = next(filter(None, map(_hinted, about)), None) or next((rule.ages for rule in met if rule.ages), None)
    low, high = ages or (None, None)
    ability = next((rule.ability for rule in met if rule.ability), None)
    if ability is None and page_count and high is not None and high <= _CHILDS_AGE:
        ability = next((ability for most, ability in PAGES if page_count <= most), None)
    hues = list(dict.fromkeys(rule.hue.value for rule in met if rule.hue))[:MOST_HUES]
    return {
        "hues": hues or None,
        "reading_abilities": [ability.value] if ability else None,
        "min_age": low,
        "max_age": high,
    }


def _hinted(subject: str) -> tuple[int, int | None] | None:
    """The ages that a subject names."""
    if found := _AGES.search(subject):
        low, high = int(found[1]), int(found[2]) if found[2] else None
        if high is None and not found[3]:
            high = low
    elif found := _GRADES.search(subject):
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= _LAST_GRADE:
            return None
        low, high = first + _AGE_BEFORE_GRADES, last + _AGE_BEFORE_GRADES + 1
    else:
        return None
    return (low, high) if low <= (high if high is not None else OLDEST_READER) else None
