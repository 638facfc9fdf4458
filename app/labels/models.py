"""What labels there are. They stand in the book itself (`Book.labels`), with the origin of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from app.core.tenancy import TenantScoped
from app.extensions import Model

MOST_HUES: Final = 3
LONGEST_SUMMARY: Final = 2000
OLDEST_READER: Final = 120
# In one request.
MOST_ITEMS: Final = 1_000


class Hue(StrEnum):
    """The mood of a book."""

    DARK_SUSPENSE = "dark_suspense"
    BEAUTIFUL_WHIMSICAL = "beautiful_whimsical"
    DARK_BEAUTIFUL = "dark_beautiful"
    JOYFUL_CHARMING = "joyful_charming"
    FUNNY_COMIC = "funny_comic"
    DARK_GRITTY = "dark_gritty"
    SILLY_CHARMING = "silly_charming"
    CHARMING_COURAGEOUS = "charming_courageous"
    CHARMING_PLAYFUL = "charming_playful"
    INSPIRING = "inspiring"
    REALISTIC_HOPE = "realistic_hope"
    FUNNY_QUIRKY = "funny_quirky"
    INFORMATIVE = "informative"


class Origin(StrEnum):
    """Who gives a label."""

    PERSON = "person"
    PUBLISHER = "publisher"
    IMPORT = "import"
    MODEL = "model"
    RULE = "rule"


# A lighter origin never replaces what a heavier one gave.
WEIGHTS: Final = {Origin.PERSON: 100, Origin.PUBLISHER: 50, Origin.IMPORT: 30, Origin.MODEL: 20, Origin.RULE: 10}
LABELS: Final = ("hues", "reading_abilities", "min_age", "max_age", "summary", "recommendable")


class RowFault(StrEnum):
    """Why an item is rejected while those beside it are taken."""

    INVALID_ISBN = "invalid_isbn"
    UNKNOWN_BOOK = "unknown_book"
    DUPLICATE_IN_REQUEST = "duplicate_in_request"
    INVALID_AGES = "invalid_ages"


class BookToLabel(TenantScoped, Model):
    """A book that rules have not looked at since it came or changed; a trigger on books sees to that.

    There is no foreign key, which would be looked up for each of many books that come at once: of one that has gone
    meanwhile, rules find nothing.
    """

    __tablename__ = "books_to_label"

    book_id: Mapped[UUID] = mapped_column(primary_key=True)
