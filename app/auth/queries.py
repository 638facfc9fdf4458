"""Questions about service accounts and keys."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from app.auth.models import ServiceAccount, ServiceAccountKey
from app.core.database import Question, Row, compiled, rows
from app.core.pagination import Listing, named
from app.extensions import db
from app.tenants.models import Tenant

_SHOWN = ("id", "name", "role", "scopes", "is_active", "expires_at", "created_at", "updated_at")
_SHOWN_KEY = ("id", "prefix", "expires_at", "revoked_at", "last_used_at", "created_at")

SERVICE_ACCOUNTS = Listing(
    "service_accounts",
    select(*(getattr(ServiceAccount, name) for name in _SHOWN)).where(
        ServiceAccount.tenant_id == bindparam("tenant_id")
    ),
    tie=ServiceAccount.id,
    sorts={"created_at": ServiceAccount.created_at, "name": ServiceAccount.name},
    default_sort="-created_at",
    filters={"role": ServiceAccount.role == bindparam("role")},
    render=named(*_SHOWN),
)


def key_holder(tenant_id: UUID, prefix: str) -> Row | None:
    """The key, its account and its tenant's limit, as decides over a call; nothing where one of them rests."""
    found = rows(_key_holder_question(), {"tenant_id": str(tenant_id), "prefix": prefix})
    return found[0] if found else None


@cache
def _key_holder_question() -> Question:
    key, account = ServiceAccountKey, ServiceAccount
    return compiled(
        select(
            key.id,
            key.key_hash,
            account.id,
            account.name,
            account.role,
            account.scopes,
            func.least(key.expires_at, account.expires_at),
            key.last_used_at,
            Tenant.api_requests_per_minute,
        )
        .join(
            account,
            (account.tenant_id == key.tenant_id) & (account.id == key.service_account_id) & account.is_active,
        )
        .join(Tenant, (Tenant.id == key.tenant_id) & (Tenant.status == "active"))
        .where(
            key.tenant_id == bindparam("tenant_id"),
            key.prefix == bindparam("prefix"),
            key.revoked_at.is_(None),
        )
    )


def service_account(account_id: UUID, *, lock: bool = False) -> ServiceAccount | None:
    """One service account of the current tenant."""
    statement = select(ServiceAccount).where(ServiceAccount.id == account_id)
    return db.session.scalar(statement.with_for_update() if lock else statement)


def service_accounts_named(name: str) -> list[ServiceAccount]:
    """The service accounts of exactly this name."""
    return list(db.session.scalars(select(ServiceAccount).where(ServiceAccount.name == name)))


def keys_of(account_id: UUID) -> list[ServiceAccountKey]:
    """All keys of an account, the newest first; revoked ones included."""
    statement = (
        select(ServiceAccountKey)
        .where(ServiceAccountKey.service_account_id == account_id)
        .order_by(ServiceAccountKey.created_at.desc(), ServiceAccountKey.id.desc())
    )
    return list(db.session.scalars(statement))


def shown(account: ServiceAccount) -> dict[str, Any]:
    """A service account as clients see it, with its keys but without their secrets."""
    keys = [{name: getattr(key, name) for name in _SHOWN_KEY} for key in keys_of(account.id)]
    return {**{name: getattr(account, name) for name in _SHOWN}, "keys": keys}
