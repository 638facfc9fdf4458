"""Whose a credential is: a key's or an access token's."""

from __future__ import annotations

from uuid import UUID

from app.auth.service.accounts import actor_of_key
from app.auth.service.sessions import actor_of_token
from app.auth.service.tokens import read_access_token
from app.core.keys import parse_key
from app.core.security import Actor


def tenant_of(credential: str) -> UUID | None:
    """The tenant that a credential names, before it is looked up; None where it is malformed."""
    named = parse_key(credential) or read_access_token(credential)
    return named.tenant_id if named else None


def authenticate(credential: str) -> Actor | None:
    """Who holds this credential; None where it is unknown, malformed, expired, revoked or inactive."""
    key = parse_key(credential)
    return actor_of_key(key) if key else actor_of_token(credential)
