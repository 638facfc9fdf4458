"""Questions about service accounts and keys, and about people's sessions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from app.auth.models import MagicLink, ServiceAccount, ServiceAccountKey, UserSession
from app.core.database import Question, Row, Shape
from app.core.pagination import Listing
from app.core.sets import table_of
from app.core.tenancy import own
from app.extensions import db
from app.members.models import Staff, User
from app.members.queries import ROLE
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


# — sessions ———————————————————————————————————————————————————————————————————————————————————————

_users, _staff = table_of(User), table_of(Staff)
_sessions = table_of(UserSession)
_COUNTS = (
    _sessions.c.ended_at.is_(None),
    _sessions.c.expires_at > func.now(),
    _users.c.is_active,
    _sessions.c.created_at >= func.coalesce(_users.c.sessions_valid_from, _sessions.c.created_at),
)
_OF_USER = (_users.c.tenant_id == _sessions.c.tenant_id) & (_users.c.id == _sessions.c.user_id)
_SESSION_HOLDER = Question(
    select(_users.c.id, ROLE, Tenant.api_requests_per_minute, _sessions.c.created_at)
    .select_from(_sessions)
    .join(_users, _OF_USER)
    .outerjoin(_staff, (_staff.c.tenant_id == _users.c.tenant_id) & (_staff.c.id == _users.c.id))
    .join(Tenant, (Tenant.id == _sessions.c.tenant_id) & (Tenant.status == TenantStatus.ACTIVE))
    .where(own(_sessions.c), _sessions.c.id == bindparam("session_id"), *_COUNTS)
)
_SESSIONS_OF = Question(
    select(
        UserSession.id,
        UserSession.method,
        UserSession.created_at,
        UserSession.rotated_at.label("refreshed_at"),
        UserSession.expires_at,
        UserSession.ended_at,
    )
    .where(own(UserSession), UserSession.user_id == bindparam("user_id"))
    .order_by(UserSession.created_at)
)


_MAGIC_LINKS_OF = Question(
    select(MagicLink.id, MagicLink.created_at, MagicLink.expires_at, MagicLink.used_at)
    .where(own(MagicLink), MagicLink.user_id == bindparam("user_id"))
    .order_by(MagicLink.created_at)
)


def session_holder(session_id: UUID) -> Row | None:
    """Whose session this is, their role, their tenant's limit, and its beginning; nothing where one counts no more."""
    return _SESSION_HOLDER.one(session_id=session_id)


def sessions_of(user_id: UUID) -> list[dict[str, Any]]:
    """All that is kept of where somebody was signed in."""
    return _SESSIONS_OF.records(user_id=user_id)


def magic_links_of(user_id: UUID) -> list[dict[str, Any]]:
    """All that is kept of the mails that somebody asked for to sign in by."""
    return _MAGIC_LINKS_OF.records(user_id=user_id)


def live_session(session_id: UUID, *, lock: bool = False) -> UserSession | None:
    """One session of the current tenant that still counts."""
    statement = (
        select(UserSession).join(_users, _OF_USER).where(own(UserSession), UserSession.id == session_id, *_COUNTS)
    )
    return db.session.scalar(statement.with_for_update(of=_sessions) if lock else statement)


def magic_link(**found_by: Any) -> MagicLink | None:
    """One magic link of the current tenant, by its id or by its token's hash."""
    return db.session.scalar(select(MagicLink).where(own(MagicLink)).filter_by(**found_by))


# — service accounts ———————————————————————————————————————————————————————————————————————————————


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
