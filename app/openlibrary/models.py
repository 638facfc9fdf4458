"""The tables of our copy of Open Library; they belong to no tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class OpenLibraryRecord(Model):
    """A record as Open Library last told it, normalised; `key` is the bare key, `location` where a merged one went.

    `words` are the folded words by which works, and the ISBNs by which editions, are found without the site. They are
    searched through a plain GIN index: there is no row-level security here that would keep PostgreSQL from using it.
    """

    __tablename__ = "open_library_records"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    revision: Mapped[int | None]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    location: Mapped[str | None]
    words: Mapped[Any] = mapped_column(TSVECTOR, nullable=False)
    fetched_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("key ~ '^OL[0-9]+[WMA]$'", name="key"),
        CheckConstraint("kind IN ('work', 'edition', 'author', 'redirect', 'deleted')", name="kind"),
        CheckConstraint("(kind = 'redirect') = (location IS NOT NULL)", name="location"),
        Index("ix_open_library_records_words", "words", postgresql_using="gin"),
    )


class OpenLibraryQuery(Model):
    """A page of an answer to a query: the keys of its works from `page_offset` on, '' where a hit could not be read."""

    __tablename__ = "open_library_queries"

    query: Mapped[str] = mapped_column(primary_key=True)
    page_offset: Mapped[int] = mapped_column(primary_key=True)
    keys: Mapped[list[str]] = mapped_column(ARRAY(Text))
    total: Mapped[int]
    fetched_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("page_offset >= 0 AND total >= 0", name="numbers"),)
