"""The tables of service accounts and keys, and of people's sign-in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.security import SERVICE_ROLES
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of


class SignInMethod(StrEnum):
    """How somebody has shown who they are."""

    PASSWORD = "password"  # noqa: S105 - a method's name
    MAGIC_LINK = "magic_link"
    OIDC = "oidc"
    JOIN_CODE = "join_code"
    REGISTRATION = "registration"
    COMMAND = "command"


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


class UserSession(TenantScoped, Model):
    """A person's sign-in on one device, from which all its access and refresh tokens descend.

    Refresh tokens are numbered; `rotation` is the number of the one that counts.
    """

    __tablename__ = "user_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID]
    method: Mapped[str]
    rotation: Mapped[int] = mapped_column(server_default=text("0"))
    rotated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_user_sessions_user",
            ondelete="CASCADE",
        ),
        one_of("method", SignInMethod),
        CheckConstraint("rotation >= 0", name="rotation"),
        Index("ix_user_sessions_user", "tenant_id", "user_id", "created_at"),
        Index("ix_user_sessions_expires_at", "tenant_id", "expires_at"),
    )


class MagicLink(TenantScoped, Model):
    """A wish to sign in by mail; for an address that is nobody's as well, so that no stranger can tell."""

    __tablename__ = "magic_links"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None]
    # Of the token in the mail, from its sending on.
    token_hash: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_magic_links_tenant"),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_magic_links_user",
            ondelete="CASCADE",
        ),
        CheckConstraint("(token_hash IS NULL) = (expires_at IS NULL)", name="token"),
        UniqueConstraint("tenant_id", "token_hash", name="uq_magic_links_token"),
        Index("ix_magic_links_created_at", "tenant_id", "created_at"),
        Index("ix_magic_links_user", "tenant_id", "user_id"),
    )


class UsedIdToken(TenantScoped, Model):
    """An ID token that has been exchanged; it can't be once more, for as long as it would be valid."""

    __tablename__ = "used_id_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_used_id_tokens_tenant"),
        Index("ix_used_id_tokens_expires_at", "tenant_id", "expires_at"),
    )
