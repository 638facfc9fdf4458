"""The ways to sign in: by password, by magic link, by an issuer's ID token, by a class's join code.

None of them tells whether somebody has an account: what is asked, written and answered is the same.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from functools import partial
from typing import Final, NoReturn
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.auth import queries
from app.auth.models import MagicLink, SignInMethod, UsedIdToken
from app.auth.service.errors import InvalidCredentials, InvalidMagicLink
from app.auth.service.issuers import Identity, InvalidIdToken, verified_identity
from app.auth.service.sessions import SignedIn, begin_session, verify_email
from app.core import pii
from app.core.clock import new_id, utc_now
from app.core.database import on_rollback, transaction
from app.core.passwords import hash_password, is_outdated, verify_password
from app.core.security import Role
from app.core.tenancy import current_tenant_id
from app.events import service as events
from app.events.models import EventLevel
from app.extensions import db
from app.mail import service as mail
from app.members import queries as people
from app.members import service as members
from app.members.models import User, UserType
from app.settings import current_settings
from app.tenants import queries as tenants

MAGIC_LINK: Final = "magic_link"
_LINK_TIME: Final = timedelta(minutes=15)
_LINK_TOKEN: Final = "mag_"  # noqa: S105 - how such tokens begin


# — password ———————————————————————————————————————————————————————————————————————————————————————


def log_in(*, password: str, email: str | None = None, username: str | None = None) -> SignedIn:
    """Sign somebody in who knows their password.

    Raises:
        InvalidCredentials: there is no such account, or it has another password, none, or is kept out.
        SignInBusy: too many passwords are checked at the moment.
    """
    with transaction():  # over before the password is reckoned, so that nobody waits for its connection
        person = people.user_by_email(email) if email else people.user_by_username(username or "")
    kept = person.password_hash if person is not None and person.is_active else None
    is_right = verify_password(kept, password)
    begun = _begin_by_password(person.id, password, kept=kept) if person and kept and is_right else None
    if begun is None:
        _refuse(person, SignInMethod.PASSWORD, "This is no account's name and password.")
    return begun


def _begin_by_password(user_id: UUID, password: str, *, kept: str) -> SignedIn | None:
    """Begin a session, unless the password was changed or the account closed while it was checked."""
    renewed = hash_password(password) if is_outdated(kept) else kept
    with transaction():
        person = people.user(user_id, lock=True)
        if person is None or person.password_hash != kept or not person.is_active:
            return None
        person.password_hash = renewed
        return begin_session(person, method=SignInMethod.PASSWORD)


def _refuse(person: User | None, method: SignInMethod, detail: str) -> NoReturn:
    _record_refusal(person.id if person else None, method)
    raise InvalidCredentials(detail)


def _record_refusal(user_id: UUID | None, method: SignInMethod) -> None:
    events.record("user.sign_in_refused", subject_id=user_id, level=EventLevel.WARNING, method=method.value)


def account_counter(*, email: str | None = None, username: str | None = None) -> str:
    """What attempts on an account are counted by, whether there is such an account or not.

    By the name that is given: were an account's names counted together, whoever tries both would learn that they are
    one account's.
    """
    purpose, text = ("email", email) if email else ("username", username or "")
    return f"account:{pii.look_up_hash(text, purpose=purpose).hex()}"


# — magic link —————————————————————————————————————————————————————————————————————————————————————


def request_magic_link(email: str) -> None:
    """Have a mail sent with which whoever has this address signs in; to an address that is nobody's, none is."""
    with transaction() as session:
        person = people.user_by_email(email)
        link = MagicLink(id=new_id(), user_id=person.id if person else None)
        session.add(link)
        session.flush()
        mail.promise(MAGIC_LINK, link.id)
        events.record("user.magic_link_requested", subject_id=link.user_id)


@mail.writes(MAGIC_LINK)
def write_magic_link(link_id: UUID) -> mail.Mail | None:
    """Make the token, which nobody but the mail gets to know, and write the mail."""
    token = _LINK_TOKEN + secrets.token_urlsafe(32)
    with transaction():
        link = queries.magic_link(id=link_id)
        person = _let_in_by(link)
        library = tenants.tenant(current_tenant_id())
        if link is None or person is None or library is None:
            return None
        link.token_hash, link.expires_at = _hash(token), utc_now() + _LINK_TIME
        profile = people.profile_of(person)
    return mail.Mail(
        to=profile["email"],
        subject=f"Sign in to {library.name}",
        text=_LINK_TEXT.format(library=library.name, link=_link_to(token)),
    )


# Nobody's name: anybody can register with another's address, and would have the library send their words there.
_LINK_TEXT: Final = """\
Hello,

with this you sign in to {library}, once, within 15 minutes:

  {link}

If it was not you who asked for it, there is nothing you need to do.
"""


def _link_to(token: str) -> str:
    url = current_settings().magic_link_url
    return url.replace("{token}", token) if url else token


def redeem_magic_link(token: str) -> SignedIn:
    """Sign in whoever has got the mail.

    Raises:
        InvalidMagicLink: the token is wrong, used or too old, or the account is kept out.
    """
    with transaction():
        link = queries.magic_link(token_hash=_hash(token))
        person = _let_in_by(link)
        if link is None or person is None or link.expires_at is None or link.expires_at <= utc_now():
            if link is not None:  # a token that was made up tells of nobody
                on_rollback(partial(_record_refusal, link.user_id, SignInMethod.MAGIC_LINK))
            raise InvalidMagicLink("This magic link is wrong, used or too old; ask for another one.")
        link.used_at = utc_now()
        verify_email(person)
        return begin_session(person, method=SignInMethod.MAGIC_LINK)


def _let_in_by(link: MagicLink | None) -> User | None:
    """Whom a link lets in, with both locked; nobody once it is used, or the account was closed or its access renewed.

    The person first, as whoever deletes one does.
    """
    person = people.user(link.user_id, lock=True) if link and link.user_id else None
    if link is None or person is None or not person.is_active:
        return None
    db.session.refresh(link, with_for_update=True)
    since = person.sessions_valid_from
    is_over = link.used_at is not None or (since is not None and link.created_at < since)
    return None if is_over else person


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


# — an issuer's ID token ———————————————————————————————————————————————————————————————————————————


def exchange_id_token(id_token: str, *, nonce: str | None, may_register: bool) -> SignedIn:
    """Sign somebody in for whom an issuer vouches; make a reader of whoever is new, where `may_register`.

    Raises:
        InvalidIdToken: it is none of a configured issuer's, or has been exchanged before.
        InvalidCredentials: there is no account with this address, or it is kept out.
        IssuerUnavailable: the issuer's keys can't be had at the moment.
    """
    return sign_in_as(verified_identity(id_token, nonce=nonce), id_token=id_token, may_register=may_register)


def sign_in_as(identity: Identity, *, id_token: str, may_register: bool) -> SignedIn:
    """Sign in whom `id_token`, which has been verified, says to be there.

    Raises:
        InvalidIdToken: it has been exchanged before.
        InvalidCredentials: there is no account with this address, or it is kept out.
    """
    try:
        begun = _begin_as(identity, id_token, may_register=may_register)
    except members.EmailTaken:
        # Another first sign-in of the same person has overtaken this one: now there is an account.
        begun = _begin_as(identity, id_token, may_register=False)
    if begun is None:
        _refuse(people.user_by_email(identity.email), SignInMethod.OIDC, "No account is open to this e-mail address.")
    return begun


def _begin_as(identity: Identity, id_token: str, *, may_register: bool) -> SignedIn | None:
    with transaction():
        _use_up(id_token, identity)
        person = people.user_by_email(identity.email, lock=True)
        if person is None and may_register:
            person = _register(identity)
        if person is None or not person.is_active:
            return None
        verify_email(person)
        return begin_session(person, method=SignInMethod.OIDC)


def _use_up(id_token: str, identity: Identity) -> None:
    """Let a token count once; that it is the same whatever is done to its signature, the signed part decides."""
    signed = id_token.rpartition(".")[0]
    row = {"tenant_id": current_tenant_id(), "token_hash": _hash(signed), "expires_at": identity.expires_at}
    statement = insert(UsedIdToken).values(row).on_conflict_do_nothing().returning(UsedIdToken.token_hash)
    with transaction() as session:
        if session.scalar(statement) is None:
            on_rollback(partial(_record_refusal, None, SignInMethod.OIDC))
            raise InvalidIdToken("This ID token has been exchanged already; get another one.")


def _register(identity: Identity) -> User:
    return members.make_user(
        UserType.READER,
        name=identity.name or identity.email.partition("@")[0],
        role=Role.READER,
        email=identity.email,
    )


# — a class's join code ————————————————————————————————————————————————————————————————————————————


def join(*, join_code: str, first_name: str, last_initial: str) -> SignedIn:
    """Make a student of whoever has a class's join code, and sign them in.

    Raises:
        InvalidJoinCode: it is wrong or too old.
        GroupFull: the class has as many members as a group may have.
    """
    with transaction():
        try:
            person = members.join(join_code=join_code, first_name=first_name, last_initial=last_initial)
        except members.InvalidJoinCode:
            on_rollback(partial(_record_refusal, None, SignInMethod.JOIN_CODE))
            raise
        return begin_session(person, method=SignInMethod.JOIN_CODE)
