"""Service accounts and their keys."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from app.auth import queries
from app.auth.models import ServiceAccount, ServiceAccountKey
from app.core.cache import Generation, touch
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.errors import Forbidden, Invalid, NotFound
from app.core.keys import KeyParts, new_key
from app.core.security import ROLE_PERMISSIONS, Actor, ActorKind, Permission, Role, current_actor
from app.core.tenancy import current_tenant_id, own, tenant
from app.events import service as events
from app.members import service as members

# The time of the last use is written at most this often, so that it costs the reads nothing.
LAST_USED_GRAIN = timedelta(minutes=1)


def actor_of_key(key: KeyParts) -> Actor | None:
    """Who holds this key; None where it is unknown, expired, revoked or inactive."""
    with tenant(key.tenant_id):
        return _holder_of(key)


def _holder_of(key: KeyParts) -> Actor | None:
    row = queries.key_holder(key.prefix)
    if row is None:
        return None
    key_id, key_hash, account_id, name, role, scopes, expires_at, last_used_at, requests_per_minute = row
    if not hmac.compare_digest(bytes(key_hash), key.hash) or (expires_at and expires_at <= utc_now()):
        return None
    if last_used_at is None or utc_now() - last_used_at > LAST_USED_GRAIN:
        _mark_used(UUID(key_id))
    return Actor(
        kind=ActorKind.SERVICE_ACCOUNT,
        id=UUID(account_id),
        tenant_id=key.tenant_id,
        role=Role(role),
        name=name,
        permissions=_permissions(role, scopes),
        expires_at=expires_at,
        api_requests_per_minute=requests_per_minute,
    )


def _permissions(role: str, scopes: Collection[str] | None) -> frozenset[Permission]:
    """What the role allows, narrowed by the scopes; one that no longer names a permission narrows all the same."""
    allowed = ROLE_PERMISSIONS[Role(role)]
    return allowed if scopes is None else frozenset(permission for permission in allowed if permission in scopes)


def _mark_used(key_id: UUID) -> None:
    with transaction() as session:
        session.execute(
            update(ServiceAccountKey)
            .where(own(ServiceAccountKey), ServiceAccountKey.id == key_id)
            .values(last_used_at=utc_now()),
            execution_options={"synchronize_session": False},
        )


def create_service_account(
    *, name: str, role: str, scopes: list[str] | None = None, expires_at: datetime | None = None
) -> ServiceAccount:
    """Make a service account in the current tenant.

    Raises:
        Forbidden: it would be allowed more than the caller, or the role belongs to the tenant `platform` only.
        Invalid: it would have expired already.
    """
    members.check_grant(Role(role), _permissions(role, scopes))
    _check_expiry(expires_at)
    with transaction() as session:
        account = ServiceAccount(name=name, role=role, scopes=_ordered(scopes), expires_at=expires_at)
        session.add(account)
        session.flush()
        session.refresh(account)
        events.record("service_account.created", subject_id=account.id, role=role)
    return account


def update_service_account(account_id: UUID, changes: dict[str, Any]) -> ServiceAccount:
    """Change name, role, scopes, expiry or activity; a credential that loses its right loses it at once.

    Raises:
        NotFound: this tenant has no such service account.
        Forbidden: it is, or would be, allowed more than the caller.
        Invalid: it would have expired already.
    """
    if "expires_at" in changes:
        _check_expiry(changes["expires_at"])
    with transaction() as session:
        account = _manageable(account_id)
        role, scopes = changes.get("role", account.role), changes.get("scopes", account.scopes)
        members.check_grant(Role(role), _permissions(role, scopes))
        for field, value in changes.items():
            setattr(account, field, _ordered(value) if field == "scopes" else value)
        account.updated_at = utc_now()
        session.flush()
        events.record("service_account.updated", subject_id=account_id, fields=sorted(changes))
        touch(Generation.ACCESS)
    return account


def delete_service_account(account_id: UUID) -> None:
    """Remove a service account with all its keys.

    Raises:
        NotFound: this tenant has no such service account.
        Forbidden: it is allowed more than the caller.
    """
    with transaction() as session:
        session.delete(_manageable(account_id))
        events.record("service_account.deleted", subject_id=account_id)
        touch(Generation.ACCESS)


def create_key(account_id: UUID, *, expires_at: datetime | None = None) -> tuple[str, ServiceAccountKey]:
    """Give a service account one more key: the key itself, to be shown once, and its row.

    Raises:
        NotFound: this tenant has no such service account.
        Forbidden: the account is allowed more than the caller, who would be allowed as much by its key.
        Invalid: it would have expired already.
    """
    with transaction() as session:
        account = _manageable(account_id)
        _check_expiry(expires_at, of_account=account.expires_at)
        key, parts = new_key(current_tenant_id())
        row = ServiceAccountKey(
            service_account_id=account_id, prefix=parts.prefix, key_hash=parts.hash, expires_at=expires_at
        )
        session.add(row)
        session.flush()
        events.record("service_account.key_created", subject_id=account_id, key_id=str(row.id))
    return key, row


def revoke_key(account_id: UUID, key_id: UUID) -> None:
    """End one key at once; revoking it again changes nothing.

    Raises:
        NotFound: the account has no such key.
        Forbidden: it is allowed more than the caller.
    """
    with transaction():
        _manageable(account_id)
        key = next((key for key in queries.keys_of(account_id) if key.id == key_id), None)
        if key is None:
            raise NotFound("This service account has no such key.")
        if key.revoked_at is None:
            key.revoked_at = utc_now()
            events.record("service_account.key_revoked", subject_id=account_id, key_id=str(key_id))
        touch(Generation.ACCESS)


def existing_service_account(account_id: UUID | None, *, lock: bool = False) -> ServiceAccount:
    """One service account of the current tenant.

    Raises:
        NotFound: this tenant has no such service account.
    """
    account = account_id and queries.service_account(account_id, lock=lock)
    if not account:
        raise NotFound("There is no such service account.")
    return account


def _manageable(account_id: UUID) -> ServiceAccount:
    """The account, locked, where the caller is allowed all that it is."""
    account = existing_service_account(account_id, lock=True)
    members.check_grant(Role(account.role), _permissions(account.role, account.scopes))
    return account


def _ordered(scopes: Collection[str] | None) -> list[str] | None:
    return None if scopes is None else sorted(set(scopes))


def _check_expiry(expires_at: datetime | None, *, of_account: datetime | None = None) -> None:
    """Refuse an end that is over, and one that is later than the caller's, where that is a program with an end."""
    if expires_at is not None and expires_at <= utc_now():
        raise Invalid.field("expires_at", "Must be in the future.")
    actor = current_actor()
    if actor.kind is ActorKind.SERVICE_ACCOUNT and actor.expires_at is not None:
        ends = min((each for each in (expires_at, of_account) if each is not None), default=None)
        if ends is None or ends > actor.expires_at:
            raise Forbidden("Nothing that you grant lasts longer than you do: give an earlier `expires_at`.")
