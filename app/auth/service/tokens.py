"""The forms of access and refresh tokens.

An access token is a JWT (HS256) that names a person, their session and their tenant; what they may do is looked up. A
refresh token names a session and its own number in it, and is the HMAC of both: the same number gives the same token
again, so that a client whose answer was lost may ask twice, and nothing has to be stored of it.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import jwt

from app.core.clock import new_id, utc_now
from app.core.derivation import derived_key
from app.core.tenancy import current_tenant_id
from app.settings import current_settings

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "library"
_REFRESH: Final = "ref_"
_NUMBER_BYTES: Final = 4
_ID_BYTES: Final = 16
# Of these 20 bytes in Base64, without the `=` at its end.
_CONTENT_CHARACTERS: Final = 27
# A token of ours has some 450 characters; what is longer is not looked at.
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says, once its signature is known to be ours."""

    tenant_id: UUID
    user_id: UUID
    session_id: UUID
    expires_at: datetime


def new_access_token(*, user_id: UUID, session_id: UUID) -> str:
    """An access token for a session of the current tenant."""
    now = utc_now()
    claims = {
        "iss": _ISSUER,
        "sub": str(user_id),
        "sid": str(session_id),
        "tid": str(current_tenant_id()),
        "jti": str(new_id()),
        "iat": now,
        "exp": now + timedelta(seconds=current_settings().access_token_seconds),
    }
    return jwt.encode(claims, _key("access token"), _ALGORITHM)


def read_access_token(token: str) -> AccessClaims | None:
    """What an access token says; None where it is none of ours, or its time is over."""
    if len(token) > _LONGEST:
        return None
    try:
        claims = jwt.decode(
            token,
            _key("access token"),
            [_ALGORITHM],
            issuer=_ISSUER,
            # Not by whose clock it was made: another machine's may be a little ahead.
            options={"require": ["exp", "iat", "iss", "sub", "sid", "tid"], "verify_iat": False},
        )
        tenant_id, user_id, session_id = (UUID(claims[name]) for name in ("tid", "sub", "sid"))
        return AccessClaims(tenant_id, user_id, session_id, datetime.fromtimestamp(claims["exp"], UTC))
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError):
        return None


def refresh_token(session_id: UUID, number: int) -> str:
    """The refresh token of this number in a session of the current tenant."""
    content = session_id.bytes + number.to_bytes(_NUMBER_BYTES)
    signature = hmac.digest(_key("refresh token"), current_tenant_id().bytes + content, "sha256")
    return _REFRESH + "".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (content, signature))


def read_refresh_token(token: str) -> tuple[UUID, int] | None:
    """The session and the number that a refresh token names; None where it is none of the current tenant's."""
    if not token.isascii() or len(token) > _LONGEST:
        return None
    try:
        content = base64.urlsafe_b64decode(token.removeprefix(_REFRESH)[:_CONTENT_CHARACTERS] + "=")
    except ValueError:
        return None
    if len(content) != _ID_BYTES + _NUMBER_BYTES:
        return None
    session_id, number = UUID(bytes=content[:_ID_BYTES]), int.from_bytes(content[_ID_BYTES:])
    # All of it, as it was written: Base64 has several spellings of the same bytes.
    return (session_id, number) if hmac.compare_digest(token, refresh_token(session_id, number)) else None


def _key(purpose: str) -> bytes:
    return derived_key(current_settings().secret_key.encode(), purpose=purpose.encode())
