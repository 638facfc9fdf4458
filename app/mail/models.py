"""The table of mails that are to be sent."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class QueuedMail(Model):
    """A mail of some kind about one thing; it stands here until it is sent or given up."""

    __tablename__ = "mail_queue"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_mail_queue_tenant", ondelete="CASCADE"),
        CheckConstraint("attempts >= 0", name="attempts"),
        Index("ix_mail_queue_due", "due_at"),
    )
