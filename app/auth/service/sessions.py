"""Sessions: from sign-in over one refresh to the next until they end.

Each refresh token counts once. One that comes again tells that somebody else has it, and ends the session, whoever of
both is asking; within some seconds it is taken for an honest client's that has lost its answer, or for two of its
requests that crossed, and gets the same next token again (RFC 9700, 4.14.2, leaves room for that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, or_

from app.auth import queries
from app.auth.models import MagicLink, SignInMethod, UsedIdToken, UserSession
from app.auth.service import tokens
from app.auth.service.errors import InvalidRefreshToken
from app.core.cache import Generation, touch
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.errors import Forbidden
from app.core.security import ROLE_PERMISSIONS, Actor, ActorKind, Role, current_actor
from app.core.tenancy import own, tenant
from app.events import service as events
from app.events.models import EventLevel
from app.members import service as members
from app.members.models import User
from app.settings import current_settings

HONEST_RETRY: Final = timedelta(seconds=10)
# What is over is kept for so long, for whoever wants to know where they were signed in.
_KEPT_WHEN_OVER: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person with the tokens of their session."""

    user_id: UUID
    # Not shown where somebody logs the whole.
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def shown(self, user: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to every sign-in (RFC 6749, 5.1)."""
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "token_type": "Bearer",
            "expires_in": current_settings().access_token_seconds,
            "user": user,
        }


def begin_session(person: User, *, method: SignInMethod) -> SignedIn:
    """Sign somebody in who has shown who they are."""
    with transaction() as session:
        # By the clock of `sessions_valid_from`, which may have been set a moment ago.
        begun = UserSession(user_id=person.id, method=method, created_at=func.clock_timestamp(), expires_at=_expiry())
        session.add(begun)
        person.last_login_at = utc_now()
        session.flush()
        events.record("user.signed_in", subject_id=person.id, method=method.value)
    return _signed_in(begun.id, person.id, number=0)


def refresh_session(token: str) -> SignedIn:
    """The next tokens of a session.

    Raises:
        InvalidRefreshToken: it is none, its session is over, or it has been used; then the session is over from now on.
    """
    named = tokens.read_refresh_token(token)
    user_id = _use_up(*named) if named else None
    if named is None or user_id is None:
        raise InvalidRefreshToken("This is no refresh token of this tenant, or none that still counts; sign in again.")
    session_id, number = named
    return _signed_in(session_id, user_id, number=number + 1)


def _use_up(session_id: UUID, number: int) -> UUID | None:
    """Let the next refresh token of a session count in place of this one: whose it is, None where this one is lost."""
    with transaction():
        found = queries.live_session(session_id, lock=True)
        if found is None or number > found.rotation:
            events.record("user.refresh_refused", level=EventLevel.WARNING, session_id=str(session_id))
            return None
        if number == found.rotation:
            found.rotation, found.rotated_at, found.expires_at = number + 1, utc_now(), _expiry()
        elif number < found.rotation - 1 or found.rotated_at < utc_now() - HONEST_RETRY:
            _end(found)
            events.record("user.refresh_token_reused", subject_id=found.user_id, level=EventLevel.WARNING)
            return None
        return found.user_id


def end_session() -> None:
    """Sign the caller out: the session's tokens stop working at once.

    Raises:
        Forbidden: the caller is no person.
    """
    actor = current_actor()
    session_id, home = actor.session_id, actor.tenant_id
    if session_id is None or home is None:
        raise Forbidden("A key has no session to end; it is revoked.")
    # Those who run the service may ask at any tenant's address.
    with tenant(home), transaction():
        found = queries.live_session(session_id, lock=True)
        if found is not None:
            _end(found)
            events.record("user.signed_out", subject_id=found.user_id)


def actor_of_token(token: str) -> Actor | None:
    """Who holds this access token; None where it is none, has expired, or its session is over."""
    claims = tokens.read_access_token(token)
    if claims is None:
        return None
    with tenant(claims.tenant_id):
        found = queries.session_holder(claims.session_id)
    if found is None or UUID(found[0]) != claims.user_id:
        return None
    _, role, requests_per_minute, signed_in_at = found
    return Actor(
        kind=ActorKind.USER,
        id=claims.user_id,
        tenant_id=claims.tenant_id,
        role=Role(role),
        # A person's name stays out of whatever is logged of an actor.
        name="",
        permissions=ROLE_PERMISSIONS[Role(role)],
        expires_at=claims.expires_at,
        session_id=claims.session_id,
        signed_in_at=signed_in_at,
        api_requests_per_minute=requests_per_minute,
    )


def forget_what_is_over() -> None:
    """Delete the current tenant's sessions, magic links and marks of ID tokens that have been over for a week."""
    before = utc_now() - _KEPT_WHEN_OVER
    with transaction() as session:
        for model, is_over in (
            (UserSession, or_(UserSession.expires_at < before, UserSession.ended_at < before)),
            (MagicLink, MagicLink.created_at < before),
            (UsedIdToken, UsedIdToken.expires_at < before),
        ):
            session.execute(delete(model).where(own(model), is_over), execution_options={"synchronize_session": False})


def verify_email(person: User) -> None:
    """Take the address for the person's own from now on, who has shown it.

    Anybody may register with any address. So the password that was set without such a proof is gone, and so are the
    sessions: whoever registered keeps no way in.
    """
    if person.email_verified_at is None:
        with transaction() as session:
            events.record("user.email_verified", subject_id=person.id, had_password=person.password_hash is not None)
            person.email_verified_at = utc_now()
            person.password_hash = None
            members.end_all_sessions(person)
            # Before the next session is begun.
            session.flush()


def _end(found: UserSession) -> None:
    found.ended_at = utc_now()
    touch(Generation.ACCESS)


def _expiry() -> datetime:
    return utc_now() + timedelta(days=current_settings().refresh_token_days)


def _signed_in(session_id: UUID, user_id: UUID, *, number: int) -> SignedIn:
    access = tokens.new_access_token(user_id=user_id, session_id=session_id)
    return SignedIn(user_id, access, tokens.refresh_token(session_id, number))


members.personal("sessions")(queries.sessions_of)
members.personal("magic_links")(queries.magic_links_of)
