"""Groups: classes and other circles of readers, each an educator's own, and the codes by which students join them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from app.core import pii
from app.core.clock import new_id, utc_now
from app.core.database import transaction, violated_constraint
from app.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from app.core.security import ActorKind, Permission, Role, current_actor
from app.core.tenancy import current_tenant_id, own
from app.events import service as events
from app.members import queries
from app.members.models import Group, GroupMember, Reader, User, UserType
from app.members.service.users import existing_user, make_user

JOIN_CODE_TIME: Final = timedelta(days=14)
# A group is shown with all of its members.
MOST_MEMBERS: Final = 1000
# Without what is mistaken for something else when read from a board (0 O, 1 I L, 2 Z, 5 S, 8 B, U V), and without
# vowels, so that no code is a word.
_CODE_LETTERS: Final = "CDFGHJKMNPQRTWXY34679"
_CODE_LENGTH: Final = 8


class GroupFull(Conflict):
    """A group has at most 1000 members."""

    code = "group_full"


class InvalidJoinCode(Unauthenticated):
    """The join code is wrong or too old; ask for another one."""

    code = "invalid_join_code"


def create_group(*, name: str, description: str | None = None, owner_id: UUID | None = None) -> Group:
    """Make a group: of `owner_id`, or else of the member of staff who makes it; a program's is nobody's.

    Raises:
        Forbidden: somebody other than an administrator makes it for another, or for nobody.
        Invalid: the owner is not staff of this tenant.
    """
    owner_id = owner_id or _member_of_staff_who_asks()
    _check_may_give_to(owner_id)
    with transaction() as session:
        group = Group(id=new_id(), name=name, description=description, owner_id=owner_id)
        session.add(group)
        _flush_owned()
        events.record("group.created", subject_id=group.id)
    return group


def update_group(group_id: UUID | None, changes: dict[str, Any]) -> None:
    """Change name, description or owner.

    Raises:
        NotFound: there is no such group, or none of the caller's.
        Forbidden: somebody other than an administrator gives it away.
        Invalid: the new owner is not staff of this tenant.
    """
    with transaction():
        group = _locked_group(group_id)
        if "owner_id" in changes:
            _check_may_give_to(changes["owner_id"])
        for field, value in changes.items():
            setattr(group, field, value)
        group.updated_at = utc_now()
        _flush_owned()
        events.record("group.updated", subject_id=group.id, fields=sorted(changes))


def delete_group(group_id: UUID | None) -> None:
    """Remove a group; its members stay.

    Raises:
        NotFound: there is no such group, or none of the caller's.
    """
    with transaction() as session:
        group = _locked_group(group_id)
        session.delete(group)
        session.flush()
        events.record("group.deleted", subject_id=group.id)


def create_join_code(group_id: UUID | None) -> tuple[str, datetime]:
    """A code with which students join the group, and until when; the one before counts no more.

    Raises:
        NotFound: there is no such group, or none of the caller's.
    """
    code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
    with transaction() as session:
        group = _locked_group(group_id)
        group.join_code_hash = pii.look_up_hash(code, purpose="join code")
        group.join_code_expires_at = expires_at = utc_now() + JOIN_CODE_TIME
        group.updated_at = utc_now()
        session.flush()
        events.record("group.join_code_created", subject_id=group.id)
    return f"{code[:4]}-{code[4:]}", expires_at


def add_member(group_id: UUID | None, user_id: UUID | None) -> None:
    """Put a reader into a group; educators only those whom they see already. Once more changes nothing.

    Raises:
        NotFound: there is no such group, or none of the caller's; or no such reader, or none that the caller may see.
        GroupFull: it has as many members as a group may have.
    """
    with transaction():
        group = _locked_group(group_id)
        person = existing_user(user_id, lock=True)
        if not isinstance(person, Reader):
            raise NotFound("There is no such reader.")
        _join(group, person.id)


def remove_member(group_id: UUID | None, user_id: UUID | None) -> None:
    """Take a reader out of a group; once more changes nothing.

    Raises:
        NotFound: there is no such group, or none of the caller's; or nobody was taken out, and the caller sees no such
            reader.
    """
    with transaction() as session:
        group = _locked_group(group_id)
        is_member = (own(GroupMember), GroupMember.group_id == group.id, GroupMember.user_id == user_id)
        gone = session.scalar(delete(GroupMember).where(*is_member).returning(GroupMember.user_id))
        if gone is not None:
            events.record("group.member_removed", subject_id=group.id, user_id=str(gone))
        elif not isinstance(existing_user(user_id), Reader):
            raise NotFound("There is no such reader.")


def join(*, join_code: str, first_name: str, last_initial: str) -> User:
    """Make a student of a stranger who knows a group's join code, and put them into the group.

    Raises:
        InvalidJoinCode: it is wrong or too old.
        GroupFull: the group has as many members as a group may have.
    """
    with transaction():
        group = queries.group_of_join_code(pii.look_up_hashes(_without_hyphen(join_code), purpose="join code"))
        if group is None:
            raise InvalidJoinCode("This join code is wrong or too old; ask for another one.")
        # The title case of a letter: there are scripts whose capitals are for headlines alone.
        name = f"{first_name} {last_initial.title()}."
        person = make_user(UserType.STUDENT, role=Role.READER, name=name, joined_group_id=group.id)
        _join(group, person.id)
    return person


def visible_group(group_id: UUID | None) -> dict[str, Any]:
    """One group with its members, as the caller may see them.

    Raises:
        NotFound: there is none, or none of the caller's.
    """
    found = queries.visible_group(group_id)
    if found is None:
        raise NotFound("There is no such group.")
    return found


def _locked_group(group_id: UUID | None) -> Group:
    found = queries.locked_group(group_id)
    if found is None:
        raise NotFound("There is no such group.")
    return found


def _member_of_staff_who_asks() -> UUID | None:
    """Nobody where a program asks, or somebody who runs the service."""
    actor = current_actor()
    return actor.id if actor.kind is ActorKind.USER and actor.tenant_id == current_tenant_id() else None


def _check_may_give_to(owner_id: UUID | None) -> None:
    actor = current_actor()
    if not actor.may(Permission.USERS_MANAGE) and (owner_id is None or owner_id != actor.id):
        raise Forbidden("Educators make groups of their own; administrators give them to others.")


def _flush_owned() -> None:
    with transaction() as session:
        try:
            session.flush()
        except IntegrityError as error:
            if violated_constraint(error) != "fk_groups_owner":
                raise
            raise Invalid.field("owner_id", "Must be staff of this tenant.") from error


def _join(group: Group, user_id: UUID) -> None:
    """The group is locked: nobody else takes the last place."""
    row = {"tenant_id": group.tenant_id, "group_id": group.id, "user_id": user_id}
    statement = insert(GroupMember).values(row).on_conflict_do_nothing().returning(GroupMember.user_id)
    with transaction() as session:
        if session.scalar(statement) is None:
            return
        members = select(func.count()).where(own(GroupMember), GroupMember.group_id == group.id)
        if (session.scalar(members) or 0) > MOST_MEMBERS:
            raise GroupFull(f"A group has at most {MOST_MEMBERS} members.")
        events.record("group.member_added", subject_id=group.id, user_id=str(user_id))


def _without_hyphen(typed: str) -> str:
    return "".join(letter for letter in typed if letter not in "- ")
