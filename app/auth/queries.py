"""Questions about service accounts and keys."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from app.auth.models import ServiceAccount, ServiceAccountKey
from app.core.database import Question, Row, Shape
from app.core.pagination import Listing
from app.core.tenancy import own
from app.extensions import db
from app.tenants.models import Tenant, TenantStatus

_ACCOUNT = Shape(ServiceAccount, "id", "name", "role", "scopes", "is_active", "expires_at", "created_at", "updated_at")
_KEY = Shape(ServiceAccountKey, "id", "prefix", "expires_at", "revoked_at", "last_used_at", "created_at")

SERVICE_ACCOUNTS = Listing(
    "service_accounts",
    select(*_ACCOUNT).where(own(ServiceAccount)),
    tie=ServiceAccount.id,
    sorts={"created_at": ServiceAccount.created_at, "name": ServiceAccount.name},
    default_sort="-created_at",
    filters={"role": ServiceAccount.role == bindparam("role")},
)

_KEY_HOLDER = Question(
    select(
        ServiceAccountKey.id,
        ServiceAccountKey.key_hash,
        ServiceAccount.id,
        ServiceAccount.name,
        ServiceAccount.role,
        ServiceAccount.scopes,
        func.least(ServiceAccountKey.expires_at, ServiceAccount.expires_at),
        ServiceAccountKey.last_used_at,
        Tenant.api_requests_per_minute,
    )
    .join(
        ServiceAccount,
        (ServiceAccount.tenant_id == ServiceAccountKey.tenant_id)
        & (ServiceAccount.id == ServiceAccountKey.service_account_id)
        & ServiceAccount.is_active,
    )
    .join(Tenant, (Tenant.id == ServiceAccountKey.tenant_id) & (Tenant.status == TenantStatus.ACTIVE))
    .where(
        own(ServiceAccountKey),
        ServiceAccountKey.prefix == bindparam("prefix"),
        ServiceAccountKey.revoked_at.is_(None),
    )
)


def key_holder(prefix: str) -> Row | None:
    """The key, its account and its tenant's limit, as decides over a call; nothing where one of them rests."""
    return _KEY_HOLDER.one(prefix=prefix)


def service_account(account_id: UUID, *, lock: bool = False) -> ServiceAccount | None:
    """One service account of the current tenant."""
    statement = select(ServiceAccount).where(own(ServiceAccount), ServiceAccount.id == account_id)
    return db.session.scalar(statement.with_for_update() if lock else statement)


def service_accounts_named(name: str) -> list[ServiceAccount]:
    """The service accounts of exactly this name."""
    return list(db.session.scalars(select(ServiceAccount).where(own(ServiceAccount), ServiceAccount.name == name)))


def keys_of(account_id: UUID) -> list[ServiceAccountKey]:
    """All keys of an account, the newest first; revoked ones included."""
    statement = (
        select(ServiceAccountKey)
        .where(own(ServiceAccountKey), ServiceAccountKey.service_account_id == account_id)
        .order_by(ServiceAccountKey.created_at.desc(), ServiceAccountKey.id.desc())
    )
    return list(db.session.scalars(statement))


def shown(account: ServiceAccount) -> dict[str, Any]:
    """A service account as clients see it, with its keys but without their secrets."""
    return {**_ACCOUNT.of(account), "keys": [_KEY.of(key) for key in keys_of(account.id)]}
