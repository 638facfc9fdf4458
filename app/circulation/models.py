"""The tables of circulation."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of

# How long a copy waits on the hold shelf before it goes to the next in the queue.
HOLD_TIME: Final = timedelta(days=3)


class LoanStatus(StrEnum):
    """`active` → `overdue`, by time alone, → `returned`."""

    ACTIVE = "active"
    OVERDUE = "overdue"
    RETURNED = "returned"


class HoldStatus(StrEnum):
    """`queued` → `ready` → `fulfilled`; either may be `cancelled`, a ready one `expired` or `queued` again."""

    QUEUED = "queued"
    READY = "ready"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class NoticeKind(StrEnum):
    """What a reader is told of a loan by mail."""

    DUE = "loan_due"
    OVERDUE = "loan_overdue"


class Loan(TenantScoped, Model):
    """A reader has a copy, or had. Once the reader is erased, it tells of nobody; once the copy is, of its book."""

    __tablename__ = "loans"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    book_id: Mapped[UUID]
    copy_id: Mapped[UUID | None]
    reader_id: Mapped[UUID | None]
    borrowed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]
    returned_at: Mapped[datetime | None]
    renewals: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "book_id"], ["books.tenant_id", "books.id"], name="fk_loans_book", ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "copy_id"],
            ["copies.tenant_id", "copies.id"],
            name="fk_loans_copy",
            ondelete="SET NULL (copy_id)",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "reader_id"],
            ["readers.tenant_id", "readers.id"],
            name="fk_loans_reader",
            ondelete="SET NULL (reader_id)",
        ),
        CheckConstraint("returned_at IS NOT NULL OR copy_id IS NOT NULL", name="open_has_copy"),
        CheckConstraint("due_at > borrowed_at", name="due_at"),
        CheckConstraint("returned_at >= borrowed_at", name="returned_at"),
        CheckConstraint("renewals >= 0", name="renewals"),
        Index(
            "uq_loans_open_copy",
            "tenant_id",
            "copy_id",
            unique=True,
            postgresql_where=text("returned_at IS NULL"),
        ),
        Index("ix_loans_copy", "tenant_id", "copy_id"),
        Index("ix_loans_reader", "tenant_id", "reader_id", "borrowed_at", "id"),
        Index("ix_loans_book", "tenant_id", "book_id", "borrowed_at", "id"),
        # With the book, so that what is popular is counted from the index alone.
        Index("ix_loans_borrowed_at", "tenant_id", "borrowed_at", "id", postgresql_include=["book_id"]),
        Index("ix_loans_due_at", "tenant_id", "due_at", "id"),
        # Of a hundred loans few last; who is told of theirs is not looked for among all.
        Index("ix_loans_open_due_at", "tenant_id", "due_at", "id", postgresql_where=text("returned_at IS NULL")),
    )


class Hold(TenantScoped, Model):
    """A reader waits for a book, or a copy of it for the reader."""

    __tablename__ = "holds"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    book_id: Mapped[UUID]
    reader_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(server_default=HoldStatus.QUEUED)
    # The copy that waits, and until when.
    copy_id: Mapped[UUID | None]
    expires_at: Mapped[datetime | None]
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "book_id"], ["books.tenant_id", "books.id"], name="fk_holds_book", ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "copy_id"], ["copies.tenant_id", "copies.id"], name="fk_holds_copy"),
        ForeignKeyConstraint(
            ["tenant_id", "reader_id"],
            ["readers.tenant_id", "readers.id"],
            name="fk_holds_reader",
            ondelete="CASCADE",
        ),
        one_of("status", HoldStatus),
        CheckConstraint("(status = 'ready') = (copy_id IS NOT NULL)", name="ready_has_copy"),
        CheckConstraint("(status = 'ready') = (expires_at IS NOT NULL)", name="ready_expires"),
        CheckConstraint("(status IN ('queued', 'ready')) = (ended_at IS NULL)", name="ended_at"),
        Index(
            "uq_holds_waiting_reader",
            "tenant_id",
            "book_id",
            "reader_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("uq_holds_copy", "tenant_id", "copy_id", unique=True),
        Index("ix_holds_book", "tenant_id", "book_id"),
        Index("ix_holds_queue", "tenant_id", "book_id", "placed_at", "id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_holds_reader", "tenant_id", "reader_id", "placed_at", "id"),
        Index("ix_holds_status", "tenant_id", "status", "placed_at", "id"),
        Index("ix_holds_placed_at", "tenant_id", "placed_at", "id"),
        Index("ix_holds_expires_at", "tenant_id", "expires_at"),
    )


class LoanNotice(TenantScoped, Model):
    """A reader was told, or is about to be, of a loan that is due or overdue: once for each date it was due at."""

    __tablename__ = "loan_notices"

    loan_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "loan_id"], ["loans.tenant_id", "loans.id"], name="fk_loan_notices_loan", ondelete="CASCADE"
        ),
        one_of("kind", NoticeKind),
    )
