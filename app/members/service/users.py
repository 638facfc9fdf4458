"""Making, changing and removing people."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy.exc import IntegrityError

from app.core import pii
from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction, violated_constraint
from app.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from app.core.security import ADMIN_ROLES, ROLE_PERMISSIONS, STAFF_ROLES, ActorKind, Permission, Role, current_actor
from app.core.sets import inserting, lock_names, run, table_of
from app.core.tenancy import current_tenant_id, own
from app.events import service as events
from app.members import queries
from app.members.models import ROLE_OF_TYPE, Guardian, Reader, Staff, Student, User, UserNamePrefix, UserType
from app.members.service.errors import EmailTaken, LastAdmin, UsernameTaken
from app.members.service.passwords import NO_PASSWORD, NewPassword, check_present_password, new_password
from app.tenants.models import PLATFORM_ID

_MODELS: Final = {
    UserType.STAFF: Staff,
    UserType.READER: Reader,
    UserType.STUDENT: Student,
    UserType.GUARDIAN: Guardian,
}
_PREFIXES: Final = table_of(UserNamePrefix)
# In `sealed_profile`; the other fields have columns.
_PROFILE: Final = ("name", "email", "username")
# What people may change of themselves.
_ONES_OWN: Final = frozenset({"name", "password", "current_password"})
_READING: Final = frozenset({"reading_ability", "min_age", "max_age"})
_CREDENTIALS: Final = frozenset({"password", "role", "is_active", "email", "username"})
# Nobody confuses these when reading them out: no vowels, so no words; no letter that looks like a digit.
_USERNAME_LETTERS: Final = "bcdfghjkmnpqrstvwxz"


def create_user(*, type: str, role: str | None = None, **fields: Any) -> User:  # noqa: A002 - the field's name
    """Make somebody in the current tenant, in the caller's name; the other fields are those of `make_user`.

    Raises:
        Forbidden: they would be allowed more than the caller, or the role belongs to the tenant `platform` only.
        And what `make_user` raises.
    """
    kind = UserType(type)
    chosen = _role_for(kind, role)
    check_grant(chosen)
    return make_user(kind, role=chosen, **fields)


def register(*, type: str, role: str | None = None, **fields: Any) -> User:  # noqa: A002 - the field's name
    """Let a stranger make a reader of themselves, who can sign in at once.

    Raises:
        Unauthenticated: they want to be something else.
        Invalid: there is no way for them to sign in.
        And what `make_user` raises.
    """
    kind = UserType(type)
    if kind is not UserType.READER:
        raise Unauthenticated("Without a credential one becomes a reader, and nothing else.")
    if fields.get("email") is None:
        raise Invalid.field("email", "Give one, to sign in with.")
    if fields.get("password", NO_PASSWORD).kept is None:
        raise Invalid.field("password", "Give one, to sign in with.")
    return make_user(kind, role=_role_for(kind, role), email_is_verified=False, **fields)


def make_user(
    kind: UserType,
    *,
    name: str,
    role: Role,
    email: str | None = None,
    username: str | None = None,
    password: NewPassword = NO_PASSWORD,
    email_is_verified: bool = True,
    **particulars: Any,
) -> User:
    """Make somebody in the current tenant, whoever asks; `particulars` are columns of the type's own.

    Raises:
        EmailTaken, UsernameTaken: somebody has it.
        Invalid: a field does not go with the type.
    """
    _check_particulars(kind, particulars)
    if kind is UserType.STUDENT and username is None:
        username = new_username()
    with transaction() as session:
        profile = {"name": name, "email": email, "username": username}
        _refuse_taken(email=email, username=username)
        person = _MODELS[kind](
            id=new_id(),
            password_hash=password.kept,
            email_verified_at=utc_now() if email and email_is_verified else None,
            **({"staff_role": role} if kind is UserType.STAFF else {}),
            **particulars,
        )
        _write_profile(person, profile)
        session.add(person)
        _flush()
        _write_prefixes({person.id: name})
        session.refresh(person)
        events.record("user.created", subject_id=person.id, user_type=kind.value, role=role.value)
    return person


def changed_password(user_id: UUID | None, changes: Mapping[str, Any]) -> NewPassword | None:
    """Reckon the new password in what is to be changed of somebody, who has to know the present one; None without one.

    Raises:
        NotFound: there is no such person, or none that the caller may see.
        Forbidden: the caller may not change this, of this person.
        Invalid: the present password is wrong, or the new one is guessed first.
        SignInBusy: too many passwords are reckoned at the moment.
    """
    if "password" not in changes:
        return None
    with transaction():
        person = existing_user(user_id)
        _check_may_change(person, changes)
        profile = _changed_profile(person, changes)
    if current_actor().id == person.id and person.password_hash:
        check_present_password(person, changes.get("current_password"))
    return new_password(changes["password"], personal=profile.values())


def update_user(user_id: UUID | None, changes: dict[str, Any], *, password: NewPassword | None = None) -> None:
    """Change somebody; people change their name and password themselves, those who manage users everything else too.

    `password` is what `changed_password` gave for these changes. A changed password, address, role or activity ends all
    of the person's sessions.

    Raises:
        NotFound: there is no such person, or none that the caller may see.
        Forbidden: the caller may not change this, of this person.
        EmailTaken, UsernameTaken: somebody else has it.
        LastAdmin: no administrator would be left.
        Invalid: a field does not go with the type.
    """
    with transaction() as session:
        person = existing_user(user_id, lock=True)
        _check_may_change(person, changes)
        _check_role_change(person, changes)
        _check_particulars(UserType(person.type), changes.keys() & _READING)
        profile = _changed_profile(person, changes)
        _check_profile(person, profile)
        if password:
            person.password_hash = password.kept
        if changes.keys() & set(_PROFILE):
            _refuse_taken(email=changes.get("email"), username=changes.get("username"), but=person.id)
            _write_profile(person, profile)
        if "email" in changes:
            # Whoever manages users vouches for it.
            person.email_verified_at = utc_now() if changes["email"] else None
        for field in changes.keys() & (_READING | {"is_active"}):
            setattr(person, field, changes[field])
        if isinstance(person, Staff) and "role" in changes:
            person.staff_role = changes["role"]
        person.updated_at = utc_now()
        _flush()
        if "name" in changes:
            _write_prefixes({person.id: profile["name"]})
        events.record("user.updated", subject_id=person.id, fields=sorted(changes.keys() - {"current_password"}))
        if changes.keys() & _CREDENTIALS:
            end_all_sessions(person)
        session.flush()


def end_all_sessions(person: User) -> None:
    """Let none of the sessions that somebody has begun so far count any more."""
    # By the one clock that all machines share: sessions are begun on others.
    person.sessions_valid_from = func.clock_timestamp()
    touch(Generation.ACCESS)


def visible_user(user_id: UUID | None) -> dict[str, Any]:
    """One person, as the caller may see them.

    Raises:
        NotFound: there is none, or none that the caller may see.
    """
    found = queries.visible_user(user_id)
    if found is None:
        raise NotFound("There is no such user.")
    return found


def existing_user(user_id: UUID | None, *, lock: bool = False) -> User:
    """One person of the current tenant whom the caller may see.

    Raises:
        NotFound: there is none.
    """
    is_known = user_id is not None and (
        current_actor().kind is ActorKind.SYSTEM or queries.visible_user(user_id) is not None
    )
    found = queries.user(user_id, lock=lock) if is_known else None
    if found is None:
        raise NotFound("There is no such user.")
    _check_still_signed_in(found)
    return found


def _check_still_signed_in(person: User) -> None:
    """Refuse the person's own request where their sessions were ended while it waited for the row.

    Else whoever has registered with somebody's address could set a password anew just after the owner of the address
    has taken the account over.
    """
    actor, valid_from = current_actor(), person.sessions_valid_from
    if actor.id == person.id and valid_from and actor.signed_in_at and actor.signed_in_at < valid_from:
        raise Unauthenticated("You have been signed out in the meantime; sign in again.")


# — what may be ————————————————————————————————————————————————————————————————————————————————————


def _role_for(kind: UserType, role: str | None) -> Role:
    """The role that goes with a type: the one that is given for staff, and none but its own for every other."""
    if kind is UserType.STAFF:
        if role not in STAFF_ROLES:
            offered = [each for each in STAFF_ROLES if _belongs_here(each)]
            raise Invalid.field("role", f"Staff have one of these: {', '.join(offered)}.")
        return Role(role)
    if role not in (None, ROLE_OF_TYPE[kind]):
        raise Invalid.field("role", f"A {kind} has the role {ROLE_OF_TYPE[kind]}; leave it out.")
    return ROLE_OF_TYPE[kind]


def check_grant(role: Role, permissions: frozenset[Permission] | None = None) -> None:
    """Refuse to let somebody, or a program, be what is more than the caller is.

    `permissions` are what is left of the role's, where not all.

    Raises:
        Forbidden: that is more than the caller is allowed, or the role belongs to the tenant `platform` only.
    """
    if not _belongs_here(role):
        raise Forbidden("The role platform_admin exists in the tenant 'platform' only, and no other role does there.")
    if not (ROLE_PERMISSIONS[role] if permissions is None else permissions) <= current_actor().permissions:
        raise Forbidden("Nobody grants or manages more than they are allowed themselves.")


def _check_may_change(person: User, changes: Mapping[str, Any]) -> None:
    actor = current_actor()
    if actor.may(Permission.USERS_MANAGE):
        # Whoever sets a password can use it.
        check_grant(person.role)
        return
    if actor.id != person.id:
        raise Forbidden("People are changed by themselves and by administrators.")
    others = sorted(changes.keys() - _ONES_OWN)
    if others:
        raise Forbidden(f"This is changed by administrators: {', '.join(others)}.")


def _check_role_change(person: User, changes: Mapping[str, Any]) -> None:
    if "role" in changes:
        if not isinstance(person, Staff):
            raise Invalid.field("role", "Only staff have a role that can be changed.")
        check_grant(Role(changes["role"]))
    is_demoted = changes.get("role", person.role) not in ADMIN_ROLES or changes.get("is_active") is False
    if is_demoted:
        keep_an_admin(person)


def _belongs_here(role: Role) -> bool:
    return (role is Role.PLATFORM_ADMIN) == (current_tenant_id() == PLATFORM_ID)


def keep_an_admin(person: User) -> None:
    """Refuse what would leave the tenant without an active administrator; one such change at a time.

    Raises:
        LastAdmin: this is the last one.
    """
    if person.role in ADMIN_ROLES and person.is_active:
        lock_names([""], kind="admins")
        if not queries.other_admins(person.id):
            raise LastAdmin("This is the last administrator: make another one first.")


def _check_particulars(kind: UserType, given: Any) -> None:
    if kind not in (UserType.READER, UserType.STUDENT):
        for field in sorted(set(given) & _READING):
            raise Invalid.field(field, "Readers and students have this, nobody else.")


def _changed_profile(person: User, changes: Mapping[str, Any]) -> dict[str, Any]:
    return queries.profile_of(person) | {name: changes[name] for name in _PROFILE if name in changes}


def _check_profile(person: User, profile: Mapping[str, Any]) -> None:
    if isinstance(person, Student) and not profile["username"]:
        raise Invalid.field("username", "Students sign in by it and always have one.")


# — what is written ————————————————————————————————————————————————————————————————————————————————


def new_username() -> str:
    """A username that tells nothing of who bears it: of five billion, such as `rkvb-tmzw-83`."""
    letters = ["".join(secrets.choice(_USERNAME_LETTERS) for _ in range(4)) for _ in range(2)]
    return f"{letters[0]}-{letters[1]}-{secrets.randbelow(90) + 10}"


def _write_profile(person: User, profile: Mapping[str, Any]) -> None:
    person.key_id, person.sealed_profile = pii.seal({name: profile[name] for name in _PROFILE}, of=person.id)
    email, username = profile["email"], profile["username"]
    person.email_hash = pii.look_up_hash(email, purpose="email") if email else None
    person.username_hash = pii.look_up_hash(username, purpose="username") if username else None


def _write_prefixes(names: Mapping[UUID, str]) -> None:
    run(delete(_PREFIXES).where(own(UserNamePrefix), _PREFIXES.c.user_id.in_(names)))
    rows = [{"prefix_hash": each, "user_id": whose} for whose in names for each in queries.prefixes_of(names[whose])]
    run(inserting(_PREFIXES, "prefix_hash", "user_id"), rows)


def rewrite(people: Iterable[User]) -> None:
    """Write what is personal anew under the newest key."""
    profiles = {person: queries.profile_of(person) for person in people}
    for person, profile in profiles.items():
        _write_profile(person, profile)
    _write_prefixes({person.id: profile["name"] for person, profile in profiles.items()})


def _refuse_taken(*, email: str | None, username: str | None, but: UUID | None = None) -> None:
    """Refuse what is somebody else's already.

    Under older keys as well, of which the database's unique constraints know nothing; so whoever wants the same address
    or username waits here, under whichever key.
    """
    wanted = {purpose: text for purpose, text in (("email", email), ("username", username)) if text}
    hashes = (each for purpose, text in wanted.items() for each in pii.look_up_hashes(text, purpose=purpose))
    lock_names((each.hex() for each in hashes), kind="sign-in name")
    holder = queries.user_by_email(email) if email else None
    if holder is not None and holder.id != but:
        raise EmailTaken("Somebody else has this e-mail address.")
    holder = queries.user_by_username(username) if username else None
    if holder is not None and holder.id != but:
        raise UsernameTaken("Somebody else has this username.")


def _flush() -> None:
    with transaction() as session:
        try:
            session.flush()
        except IntegrityError as error:
            if violated_constraint(error) != "ck_readers_age_range":
                raise
            raise Invalid.field("max_age", "Must not be less than min_age.") from error
