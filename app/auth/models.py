"""The tables of service accounts and keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.security import SERVICE_ROLES
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of


class ServiceAccount(TenantScoped, Model):
    """A program that uses the service: a library management system, a kiosk, a script."""

    __tablename__ = "service_accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    role: Mapped[str]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_service_accounts_tenant"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        one_of("role", SERVICE_ROLES),
        Index("ix_service_accounts_created_at", "tenant_id", "created_at", "id"),
    )


class ServiceAccountKey(TenantScoped, Model):
    """One key of a service account; several may live at once, so that a rotation loses no request."""

    __tablename__ = "service_account_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    service_account_id: Mapped[UUID]
    prefix: Mapped[str]
    key_hash: Mapped[bytes]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "service_account_id"],
            ["service_accounts.tenant_id", "service_accounts.id"],
            name="fk_service_account_keys_account",
            ondelete="CASCADE",
        ),
        UniqueConstraint("tenant_id", "prefix", name="uq_service_account_keys_prefix"),
        Index("ix_service_account_keys_account", "tenant_id", "service_account_id", "created_at"),
    )
