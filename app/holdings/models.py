"""The tables of holdings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of

# More than any library has of one edition; the sums over all of its collections stay far within 64 bits.
MOST_COPIES: Final = 1_000_000
# In one request.
MOST_ROWS: Final = 50_000


class Action(StrEnum):
    """What a row of a delta asks for."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


class RowFault(StrEnum):
    """Why a row is rejected while those beside it are taken."""

    INVALID_ISBN = "invalid_isbn"
    DUPLICATE_IN_REQUEST = "duplicate_in_request"
    INVALID_COPIES = "invalid_copies"
    AVAILABLE_EXCEEDS_TOTAL = "available_exceeds_total"
    INVALID_INFO = "invalid_info"
    INVALID_ACTION = "invalid_action"
    NOT_IN_COLLECTION = "not_in_collection"


class Collection(TenantScoped, Model):
    """A set of holdings: the library's, or a person's own, whose copies are not the library's to count."""

    __tablename__ = "collections"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    description: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    # Items carry it, by a foreign key that hands every change on: the counts of books need no look at collections.
    is_owned: Mapped[bool] = mapped_column(Computed("owner_id IS NOT NULL", persisted=True))
    # When its items were last brought up to date, whether or not that changed any.
    synced_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Moves with every change of its items as well.
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_collections_tenant"),
        ForeignKeyConstraint(
            ["tenant_id", "owner_id"],
            ["users.tenant_id", "users.id"],
            name="fk_collections_owner",
            ondelete="CASCADE",
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint("length(description) <= 2000", name="description"),
        UniqueConstraint("tenant_id", "id", "is_owned", name="uq_collections_is_owned"),
        Index("ix_collections_created_at", "tenant_id", "created_at", "id"),
        Index("ix_collections_name", "tenant_id", "name", "id"),
        Index("ix_collections_owner", "tenant_id", "owner_id", "created_at", "id"),
    )


class CollectionItem(TenantScoped, Model):
    """An edition in a collection, by its ISBN, which the catalogue may not know yet, or no longer."""

    __tablename__ = "collection_items"

    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(primary_key=True)
    is_owned: Mapped[bool]
    copies_total: Mapped[int]
    copies_available: Mapped[int]
    # Whatever whoever sends the items wants to find again: a text or an object.
    info: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id", "is_owned"],
            ["collections.tenant_id", "collections.id", "collections.is_owned"],
            name="fk_collection_items_collection",
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        CheckConstraint("isbn ~ '^97[89][0-9]{10}$'", name="isbn"),
        CheckConstraint("0 <= copies_available AND copies_available <= copies_total", name="copies"),
        CheckConstraint(f"copies_total <= {MOST_COPIES}", name="most_copies"),
        Index("ix_collection_items_isbn", "tenant_id", "isbn"),
    )


class CopyStatus(StrEnum):
    """Where a copy is; `STATUS_MOVES` says what follows on what."""

    AVAILABLE = "available"
    ON_LOAN = "on_loan"
    ON_HOLD = "on_hold"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


# What staff may set. That a copy goes out, waits for somebody or comes back is circulation's to say; one that is out or
# waits may turn out to be lost, and one that waits may be withdrawn.
STATUS_MOVES: Final[Mapping[CopyStatus, frozenset[CopyStatus]]] = {
    CopyStatus.AVAILABLE: frozenset({CopyStatus.LOST, CopyStatus.WITHDRAWN}),
    CopyStatus.ON_LOAN: frozenset({CopyStatus.LOST}),
    CopyStatus.ON_HOLD: frozenset({CopyStatus.LOST, CopyStatus.WITHDRAWN}),
    CopyStatus.LOST: frozenset({CopyStatus.AVAILABLE, CopyStatus.WITHDRAWN}),
    CopyStatus.WITHDRAWN: frozenset({CopyStatus.AVAILABLE}),
}
# What a copy may be when it is registered.
NEW_STATUSES: Final = (CopyStatus.AVAILABLE, CopyStatus.LOST, CopyStatus.WITHDRAWN)


class Copy(TenantScoped, Model):
    """One physical item with a barcode; a trigger keeps the counts of its book."""

    __tablename__ = "copies"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    book_id: Mapped[UUID]
    barcode: Mapped[str]
    status: Mapped[str]
    location: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "book_id"], ["books.tenant_id", "books.id"], name="fk_copies_book", ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "barcode", name="uq_copies_barcode"),
        CheckConstraint("barcode ~ '^[A-Za-z0-9._$+:*-]{1,64}$'", name="barcode"),
        CheckConstraint("length(location) <= 200", name="location"),
        one_of("status", CopyStatus),
        Index("ix_copies_book", "tenant_id", "book_id", "status", "id"),
        Index("ix_copies_book_created_at", "tenant_id", "book_id", "created_at", "id"),
    )
