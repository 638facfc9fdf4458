"""The tables of the catalogue."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of

# Compared by code point: folded text needs no language's rules, and every server then sorts alike.
FOLDED_TEXT: Final = Text(collation="C")
# Folded text is cut to this, when it is stored and when it is asked for: long enough to sort and find by, short enough
# for an index entry (at most 2.7 kB) in any script.
TERM_LENGTH: Final = 200
# Where books of unknown year stand in an order by year: before all others.
UNKNOWN_YEAR: Final = -9999


class UpstreamStatus(StrEnum):
    """What became of the work at Open Library: `live` ⇄ `deleted`."""

    LIVE = "live"
    DELETED = "deleted"


class BookSource(StrEnum):
    """Where a book came from."""

    OPEN_LIBRARY = "open_library"
    MANUAL = "manual"
    IMPORT = "import"


class VersionOrigin(StrEnum):
    """What brought a version about."""

    OPEN_LIBRARY = "open_library"
    MANUAL = "manual"
    REDIRECT = "redirect"
    RESTORE = "restore"
    IMPORT = "import"


class TermKind(StrEnum):
    """What lists can be filtered and counted by."""

    AUTHOR = "author"
    AUTHOR_KEY = "author_key"
    # A single word of a name, for who is asked for by surname.
    AUTHOR_WORD = "author_word"
    CONTRIBUTOR = "contributor"
    SERIES = "series"
    SUBJECT = "subject"
    LANGUAGE = "language"
    ISBN = "isbn"
    PUBLISHER = "publisher"


def _of_book(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", "book_id"], ["books.tenant_id", "books.id"], name=f"fk_{table}_book", ondelete="CASCADE"
    )


def _either(count: str) -> Computed:
    """Where single copies are known, they are what counts; a list of editions tells of the same copies again."""
    return Computed(f"CASE WHEN barcoded_total > 0 THEN barcoded_{count} ELSE listed_{count} END", persisted=True)


class Book(TenantScoped, Model):
    """A tenant's record of one work.

    The columns from `title` to `series` are what the book says: `source_fields`, what the source last told, overlaid by
    `overrides`, what a librarian set by hand. `content_hash` is the hash of that, the same as in its newest version;
    `editions_hash` that of the editions last told, so that the same ones are not written again.
    """

    __tablename__ = "books"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str]
    subtitle: Mapped[str | None]
    authors: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    contributors: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    first_publish_year: Mapped[int | None]
    description: Mapped[str | None]
    subjects: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    languages: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    publishers: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    isbns: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    page_count: Mapped[int | None]
    cover_id: Mapped[int | None]
    series: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    open_library_key: Mapped[str | None]
    upstream_status: Mapped[str | None]
    source: Mapped[str]
    labels: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    # Of collections that are nobody's own: kept by triggers on their items and on editions.
    listed_total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    listed_available: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    # Of single copies.
    barcoded_total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    barcoded_available: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    copies_total: Mapped[int] = mapped_column(BigInteger, _either("total"))
    copies_available: Mapped[int] = mapped_column(BigInteger, _either("available"))
    times_borrowed: Mapped[int] = mapped_column(server_default=text("0"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    overrides: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    source_fields: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    content_hash: Mapped[bytes]
    editions_hash: Mapped[bytes | None]
    sort_title: Mapped[str] = mapped_column(FOLDED_TEXT)
    # A column and not an expression: row-level security lets no index answer for one that has `coalesce` in it.
    sort_year: Mapped[int] = mapped_column(Computed(f"coalesce(first_publish_year, {UNKNOWN_YEAR})", persisted=True))
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_books_tenant"),
        UniqueConstraint("tenant_id", "open_library_key", name="uq_books_open_library_key"),
        CheckConstraint("length(title) BETWEEN 1 AND 1000", name="title"),
        one_of("source", BookSource),
        one_of("upstream_status", UpstreamStatus),
        CheckConstraint("open_library_key ~ '^OL[0-9]{1,12}W$'", name="open_library_key"),
        CheckConstraint("(upstream_status IS NULL) = (open_library_key IS NULL)", name="upstream_has_key"),
        CheckConstraint("0 <= listed_available AND listed_available <= listed_total", name="listed"),
        CheckConstraint("0 <= barcoded_available AND barcoded_available <= barcoded_total", name="barcoded"),
        CheckConstraint("0 <= copies_available AND copies_available <= copies_total", name="copies"),
        CheckConstraint("times_borrowed >= 0", name="times_borrowed"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint(f"first_publish_year > {UNKNOWN_YEAR}", name="first_publish_year"),
        Index("ix_books_created_at", "tenant_id", "created_at", "id"),
        Index("ix_books_sort_title", "tenant_id", "sort_title", "id"),
        Index("ix_books_sort_year", "tenant_id", "sort_year", "id"),
        Index("ix_books_times_borrowed", "tenant_id", "times_borrowed", "id"),
        Index("ix_books_source", "tenant_id", "source", "created_at", "id"),
        Index("ix_books_available", "tenant_id", "created_at", "id", postgresql_where=text("copies_available > 0")),
        Index("ix_books_labelled", "tenant_id", "created_at", "id", postgresql_where=text("labels IS NOT NULL")),
    )


class BookVersion(TenantScoped, Model):
    """What a book said from one moment on; never changed, and deleted only with its book."""

    __tablename__ = "book_versions"

    book_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    origin: Mapped[str]
    changed_fields: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    snapshot: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content_hash: Mapped[bytes]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        _of_book("book_versions"),
        one_of("origin", VersionOrigin),
        CheckConstraint("number >= 1", name="number"),
    )


class Edition(TenantScoped, Model):
    """One ISBN of a book, or an edition that Open Library knows without one.

    An ISBN belongs to the book of the tenant that had it first. An edition of several ISBNs is several rows.
    """

    __tablename__ = "editions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    book_id: Mapped[UUID]
    isbn: Mapped[str | None]
    open_library_key: Mapped[str | None]
    title: Mapped[str | None]
    subtitle: Mapped[str | None]
    publishers: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    publish_date: Mapped[str | None]
    publish_year: Mapped[int | None]
    languages: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    page_count: Mapped[int | None]
    physical_format: Mapped[str | None]
    cover_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        _of_book("editions"),
        UniqueConstraint("tenant_id", "isbn", name="uq_editions_isbn"),
        CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name="isbn"),
        CheckConstraint("isbn IS NOT NULL OR open_library_key IS NOT NULL", name="has_name"),
        Index("ix_editions_book", "tenant_id", "book_id", "id"),
        Index(
            "uq_editions_key_without_isbn",
            "tenant_id",
            "open_library_key",
            unique=True,
            postgresql_where=text("isbn IS NULL"),
        ),
    )


class Author(TenantScoped, Model):
    """Somebody who wrote books of the tenant; those without an Open Library key are told apart by their folded name.

    An author whose last book is gone stays, without rows in `book_authors`.
    """

    __tablename__ = "authors"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    sort_name: Mapped[str] = mapped_column(FOLDED_TEXT)
    open_library_key: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_authors_tenant"),
        UniqueConstraint("tenant_id", "open_library_key", name="uq_authors_open_library_key"),
        CheckConstraint("open_library_key ~ '^OL[0-9]{1,12}A$'", name="open_library_key"),
        Index(
            "uq_authors_name_without_key",
            "tenant_id",
            "sort_name",
            unique=True,
            postgresql_where=text("open_library_key IS NULL"),
        ),
        Index("ix_authors_sort_name", "tenant_id", "sort_name", "id"),
    )


class BookAuthor(TenantScoped, Model):
    """Who wrote a book; `position` counts from 0 in the order of the title page."""

    __tablename__ = "book_authors"

    book_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[UUID]

    __table_args__ = (
        _of_book("book_authors"),
        ForeignKeyConstraint(
            ["tenant_id", "author_id"], ["authors.tenant_id", "authors.id"], name="fk_book_authors_author"
        ),
        UniqueConstraint("tenant_id", "author_id", "book_id", name="uq_book_authors_author"),
    )


class BookTerm(TenantScoped, Model):
    """A word that lists are filtered and counted by: `term` as it is compared, `display` as it is shown.

    A table of its own because row-level security keeps PostgreSQL from using an inverted index on the arrays. Terms go
    with their book by a trigger: a foreign key would be checked for each of a book's dozens of terms.
    """

    __tablename__ = "book_terms"

    kind: Mapped[str] = mapped_column(primary_key=True)
    term: Mapped[str] = mapped_column(FOLDED_TEXT, primary_key=True)
    book_id: Mapped[UUID] = mapped_column(primary_key=True)
    display: Mapped[str]

    __table_args__ = (
        one_of("kind", TermKind),
        Index("ix_book_terms_book", "tenant_id", "book_id"),
    )


class BookAlias(TenantScoped, Model):
    """A name a book had before a merge: the id of a book that went up in it, or a former Open Library key."""

    __tablename__ = "book_aliases"

    alias: Mapped[str] = mapped_column(primary_key=True)
    book_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        _of_book("book_aliases"),
        Index("ix_book_aliases_book", "tenant_id", "book_id"),
    )


class WantedIsbn(TenantScoped, Model):
    """An ISBN that the library holds and no book of it has: it goes when an edition comes, by a trigger."""

    __tablename__ = "wanted_isbns"

    isbn: Mapped[str] = mapped_column(primary_key=True)
    wanted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    asked_at: Mapped[datetime | None]
    # When Open Library is to be asked for it.
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_wanted_isbns_tenant", ondelete="CASCADE"),
        CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name="isbn"),
        Index("ix_wanted_isbns_due_at", "tenant_id", "due_at", "isbn"),
    )


class Enrichment(Model):
    """When a tenant next has ISBNs to be asked for."""

    __tablename__ = "enrichment_schedule"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_enrichment_schedule_tenant", ondelete="CASCADE"),
    )
