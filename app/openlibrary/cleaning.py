"""Single values of Open Library's documents, cleaned: text, lists, numbers, dates and subjects.

Nothing here raises: a value that is not what it should be gives None or an empty tuple.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from app.openlibrary.records import MOST_NAMES, UNTITLED, unique

# Lengths far above anything a catalogue shows, so that one vandalised record cannot fill a page or a database row.
TITLE_LENGTH: Final = 1_000
NAME_LENGTH: Final = 300
SUBJECT_LENGTH: Final = 200
DESCRIPTION_LENGTH: Final = 10_000
MOST_SUBJECTS: Final = 100
EARLIEST_YEAR: Final = 1000
_LARGEST_INTEGER: Final = 2_147_483_647
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
# What the search index writes where neither the work nor any of its editions has a title.
_NO_TITLE: Final = "__None__"


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
        line = line_in(subject, limit=SUBJECT_LENGTH)
        if line is not None and not _is_machine_subject(line):
            kept.setdefault(line.casefold(), line)
        if len(kept) == MOST_SUBJECTS:
            break
    return tuple(kept.values())


def list_in(value: object) -> Iterable[object]:
    """Give the entries of a list; a text or an object is none."""
    if value is None or isinstance(value, str | bytes | Mapping):
        return ()
    return value if isinstance(value, Iterable) else ()


def strings_in(value: object) -> list[str]:
    """Give the strings of a list; a lone string counts as a list of one."""
    if isinstance(value, str):
        return [value]
    return [text for entry in list_in(value) if (text := text_in(entry)) is not None]


def text_in(value: object) -> str | None:
    """Give a text that stands as a string or as `{"type": "/type/text", "value": …}`."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else None


def line_in(value: object, *, limit: int) -> str | None:
    """Give a text on one line, without control characters and padding, cut to `limit` characters."""
    text = text_in(value)
    if text is None:
        return None
    # What is cut off would be thrown away after cleaning; four times the limit leaves room for padding.
    printable = _UNPRINTABLE.sub("", text[: 4 * limit])
    line = _SPACES.sub(" ", unicodedata.normalize("NFC", printable)).strip()
    return line[:limit].rstrip() or None


def lines_in(value: object, *, limit: int, most: int) -> tuple[str, ...]:
    """Give the lines of a list, each once, at most `most`."""
    lines = (line_in(text, limit=limit) for text in strings_in(value)[: 4 * most])
    return unique(line for line in lines if line is not None)[:most]


def prose_in(value: object) -> str | None:
    """Give a description as plain paragraphs: no carriage returns, no footnotes, no link addresses."""
    text = text_in(value)
    if text is None:
        return None
    text = _UNPRINTABLE.sub("", text[: 4 * DESCRIPTION_LENGTH].replace("\r\n", "\n").replace("\r", "\n"))
    text = _RULE.split(text, maxsplit=1)[0]
    text = _LINK.sub(r"\1", _FOOTNOTE.sub("", text))
    text = _MANY_NEWLINES.sub("\n\n", _TRAILING_SPACE.sub("\n", text))
    return unicodedata.normalize("NFC", text).strip()[:DESCRIPTION_LENGTH].rstrip() or None


def title_in(value: object) -> str:
    """Give a title, or the supplied one where there is none."""
    line = line_in(value, limit=TITLE_LENGTH)
    return UNTITLED if line is None or line == _NO_TITLE else line


def count_in(value: object, *, most: int = _LARGEST_INTEGER) -> int | None:
    """Give a positive whole number up to `most`; deleted covers (-1), null, fractions and nonsense give none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= most else None


def year_number_in(value: object, latest_year: int) -> int | None:
    """Give a year that stands as a number, between 1000 and `latest_year`."""
    year = count_in(value, most=latest_year)
    return year if year is not None and year >= EARLIEST_YEAR else None


def first_cover_in(value: object) -> int | None:
    """Give the first number of a list that can be a cover's."""
    return next((cover for entry in list_in(value) if (cover := count_in(entry)) is not None), None)


def languages_in(value: object) -> tuple[str, ...]:
    """Give three-letter codes from codes or from `{"key": "/languages/eng"}`."""
    texts = (entry.get("key") if isinstance(entry, dict) else entry for entry in list_in(value))
    matches = (_LANGUAGE.fullmatch(text.strip().lower()) for text in texts if isinstance(text, str))
    return unique(match[1] for match in matches if match is not None)[:MOST_NAMES]


def _is_machine_subject(subject: str) -> bool:
    folded = subject.casefold()
    return (
        folded in _MACHINE_SUBJECTS
        or folded.startswith(_READING_LEVEL)
        or _MACHINE_SUBJECT.fullmatch(subject) is not None
    )
