"""Questions about people and groups.

What is personal comes out here in plain text, so every answer says to whom: `shown_to` masks an e-mail from all but the
person and those who manage users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Select,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.core import pii
from app.core.clock import utc_now
from app.core.database import Question
from app.core.pagination import Listing
from app.core.security import ADMIN_ROLES, STAFF_ROLES, Actor, Permission, current_actor
from app.core.sets import one_id, table_of, text_list
from app.core.tenancy import own
from app.core.text import folded
from app.events.models import Event
from app.extensions import db
from app.members.models import (
    ROLE_OF_TYPE,
    Group,
    GroupMember,
    GuardianReader,
    Reader,
    Staff,
    Student,
    User,
    UserNamePrefix,
)

# The beginnings of each part of a name by which it is found have so many characters at most.
PREFIX_CHARACTERS: Final = 12
_PREFIX_BYTES: Final = 8

# Tables and not entities: of these, SQLAlchemy would join all types by itself.
_users, _staff, _readers, _students = (table_of(each) for each in (User, Staff, Reader, Student))
# What somebody may do, of rows of `users` with those of `staff` joined to the left.
ROLE: Final = func.coalesce(
    _staff.c.role, case(*((_users.c.type == kind, role.value) for kind, role in ROLE_OF_TYPE.items()))
)
# With what only some types have; `sealed_profile` is opened before anybody sees it.
_PEOPLE: Final[Select[Any]] = (
    select(
        _users.c.id,
        _users.c.type,
        ROLE.label("role"),
        _users.c.is_active,
        _readers.c.reading_ability,
        _readers.c.min_age,
        _readers.c.max_age,
        _users.c.last_login_at,
        _users.c.created_at,
        _users.c.updated_at,
        _users.c.key_id,
        _users.c.sealed_profile,
    )
    .outerjoin(_staff, (_staff.c.tenant_id == _users.c.tenant_id) & (_staff.c.id == _users.c.id))
    .outerjoin(_readers, (_readers.c.tenant_id == _users.c.tenant_id) & (_readers.c.id == _users.c.id))
    .where(own(_users.c))
)


# — who may see whom ———————————————————————————————————————————————————————————————————————————————


def _readers_in_groups_of(educator: ColumnElement[UUID]) -> Select[UUID]:
    is_in_it = (Group.tenant_id == GroupMember.tenant_id) & (Group.id == GroupMember.group_id)
    return select(GroupMember.user_id).join(Group, is_in_it).where(own(GroupMember), Group.owner_id == educator)


def _readers_of(guardian: ColumnElement[UUID]) -> Select[UUID]:
    return select(GuardianReader.reader_id).where(own(GuardianReader), GuardianReader.guardian_id == guardian)


def people_seen_by(actor_id: ColumnElement[UUID]) -> CompoundSelect[UUID]:
    """The ids of those whom somebody sees who does not see all: oneself, the readers in one's groups, those linked."""
    return union_all(select(actor_id), _readers_in_groups_of(actor_id), _readers_of(actor_id))


# Oneself; an educator the readers in the groups of one's own, a guardian the readers linked to one.
_VISIBLE: Final = or_(
    bindparam("sees_all"),
    _users.c.id == one_id("actor_id"),
    exists(_readers_in_groups_of(one_id("actor_id")).where(GroupMember.user_id == _users.c.id)),
    exists(_readers_of(one_id("actor_id")).where(GuardianReader.reader_id == _users.c.id)),
)
_PERSON: Final = Question(_PEOPLE.where(_users.c.id == bindparam("user_id")))
_VISIBLE_PERSON: Final = Question(_PEOPLE.where(_users.c.id == bindparam("user_id"), _VISIBLE))


def visible_user(user_id: UUID | None) -> dict[str, Any] | None:
    """One person as the caller may see them; nobody where the caller may not."""
    actor = current_actor()
    found = _VISIBLE_PERSON.record(user_id=user_id, actor_id=actor.id, sees_all=actor.may(Permission.USERS_READ))
    return found and _shown_to(actor, found)


def shown(person: User) -> dict[str, Any]:
    """Somebody who was just made, as whoever made them sees it."""
    return _shown_to(current_actor(), _known(person.id))


def shown_to_themselves(user_id: UUID) -> dict[str, Any]:
    """Somebody who has just signed in, in full."""
    return _opened(_known(user_id))


def _known(user_id: UUID) -> dict[str, Any]:
    found = _PERSON.record(user_id=user_id)
    assert found is not None  # noqa: S101 - for the type checker: it was just made
    return found


# — lists ——————————————————————————————————————————————————————————————————————————————————————————


def _shown_to_caller(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    actor = current_actor()
    return [_shown_to(actor, person) for person in people]


def _shown_to(actor: Actor, person: dict[str, Any]) -> dict[str, Any]:
    opened = _opened(person)
    if opened["email"] and not (actor.may(Permission.USERS_MANAGE) or str(actor.id) == opened["id"]):
        opened["email"] = pii.masked_email(opened["email"])
    return opened


def _opened(person: dict[str, Any]) -> dict[str, Any]:
    sealed, key_id = person.pop("sealed_profile"), person.pop("key_id")
    profile = pii.unseal(key_id, bytes(sealed), of=UUID(person["id"]))
    return {**{name: person[name] for name in ("id", "type", "role")}, **profile, **person}


USERS: Final = Listing(
    "users",
    _PEOPLE,
    tie=_users.c.id,
    sorts={"created_at": _users.c.created_at},
    default_sort="-created_at",
    filters={
        "types": _users.c.type == func.any(text_list("types")),
        "staff_role": _staff.c.role == bindparam("staff_role"),
        "group_id": _users.c.id.in_(
            select(GroupMember.user_id).where(own(GroupMember), GroupMember.group_id == one_id("group_id"))
        ),
        "email_hashes": _users.c.email_hash == func.any(bindparam("email_hashes", type_=ARRAY(LargeBinary))),
        "prefix_hashes": _users.c.id.in_(
            select(UserNamePrefix.user_id).where(
                own(UserNamePrefix),
                UserNamePrefix.prefix_hash == func.any(bindparam("prefix_hashes", type_=ARRAY(BigInteger))),
            )
        ),
    },
    render_page=_shown_to_caller,
)


def narrowed_by(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The filters of `USERS` for what a client asks; `q` is an e-mail address, or the beginning of part of a name."""
    types, role, q = asked.get("type"), asked.get("role"), asked.get("q")
    narrowed: dict[str, Any] = {"group_id": asked.get("group_id")}
    if types:
        narrowed["types"] = [types]
    if role in STAFF_ROLES:
        narrowed["staff_role"] = role
    elif role:
        having = [kind for kind, given in ROLE_OF_TYPE.items() if given == role]
        narrowed["types"] = [kind for kind in having if types in (None, kind)]
    if q and "@" in q:
        narrowed["email_hashes"] = pii.look_up_hashes(q, purpose="email")
    elif q:
        narrowed["prefix_hashes"] = prefix_hashes(q)
    return narrowed


# — names ——————————————————————————————————————————————————————————————————————————————————————————


def prefix_hashes(beginning: str) -> list[int]:
    """What is stored of this beginning of a name, under every key."""
    return [_number(each) for each in pii.look_up_hashes(_words(beginning)[:PREFIX_CHARACTERS], purpose="name")]


def prefixes_of(name: str) -> list[int]:
    """What is stored of a name, under the newest key: the beginnings of it, and of what follows each of its words."""
    words = _words(name).split()
    tails = (" ".join(words[start:])[:PREFIX_CHARACTERS] for start in range(len(words)))
    beginnings = {tail[:length].rstrip() for tail in tails for length in range(1, len(tail) + 1)}
    return sorted({_number(pii.look_up_hash(each, purpose="name")) for each in beginnings})


# What stands within names and between their parts, as typed and as typeset.
_BETWEEN: Final = str.maketrans(dict.fromkeys("-\u2010\u2013'\u2019\u02bc.", " "))


def _words(name: str) -> str:
    """A name as it is compared: without case and accents, the parts with single spaces between them."""
    return " ".join(folded(name).translate(_BETWEEN).split())


def _number(hashed: bytes) -> int:
    return int.from_bytes(hashed[:_PREFIX_BYTES], signed=True)


# — groups —————————————————————————————————————————————————————————————————————————————————————————

_MEMBER_COUNT: Final = (
    select(func.count())
    .where(own(GroupMember), GroupMember.group_id == Group.id)
    .correlate(Group)
    .scalar_subquery()
    .label("member_count")
)
_GROUPS: Final[Select[Any]] = select(
    Group.id,
    Group.name,
    Group.description,
    Group.owner_id,
    _MEMBER_COUNT,
    Group.join_code_expires_at,
    Group.created_at,
    Group.updated_at,
).where(own(Group))
GROUPS: Final = Listing(
    "groups",
    _GROUPS,
    tie=Group.id,
    sorts={"created_at": Group.created_at, "name": Group.name},
    default_sort="-created_at",
    filters={
        "owner_id": Group.owner_id == one_id("owner_id"),
        "seen_by": Group.owner_id == one_id("seen_by"),
    },
)
# An educator's own; those who manage users see all.
_VISIBLE_GROUP: Final = or_(bindparam("sees_all"), Group.owner_id == one_id("actor_id"))
_GROUP: Final = Question(_GROUPS.where(Group.id == bindparam("group_id"), _VISIBLE_GROUP))
_MEMBERS: Final = Question(
    _PEOPLE.join(GroupMember, (GroupMember.tenant_id == _users.c.tenant_id) & (GroupMember.user_id == _users.c.id))
    .where(GroupMember.group_id == bindparam("group_id"))
    .order_by(GroupMember.created_at, _users.c.id)
)


def visible_groups(**asked: Any) -> dict[str, Any]:
    """A page of the groups that the caller may see."""
    actor = current_actor()
    return GROUPS.page(**asked, seen_by=None if _sees_all_groups(actor) else actor.id)


def visible_group(group_id: UUID | None) -> dict[str, Any] | None:
    """One group with all of its members; none where the caller may not see it."""
    actor = current_actor()
    found = _GROUP.record(group_id=group_id, actor_id=actor.id, sees_all=_sees_all_groups(actor))
    return found and {**found, "members": [_as_member(each) for each in _MEMBERS.records(group_id=group_id)]}


def _as_member(person: dict[str, Any]) -> dict[str, Any]:
    """What a class register says of somebody; when they last signed in is not the class's business."""
    opened = _opened(person)
    return {name: opened[name] for name in ("id", "type", "name", "username")}


def locked_group(group_id: UUID | None) -> Group | None:
    """The same as a row to be changed: nobody else changes it, or who is in it, meanwhile."""
    actor = current_actor()
    statement = select(Group).where(own(Group), Group.id == group_id, _VISIBLE_GROUP).with_for_update()
    return db.session.scalar(statement, {"actor_id": actor.id, "sees_all": _sees_all_groups(actor)})


def _sees_all_groups(actor: Actor) -> bool:
    return actor.may(Permission.USERS_MANAGE)


def group_of_join_code(hashes: list[bytes]) -> Group | None:
    """The group that has this join code, under whichever key, as long as that counts; locked."""
    statement = select(Group).where(
        own(Group), Group.join_code_hash.in_(hashes), Group.join_code_expires_at > utc_now()
    )
    return db.session.scalar(statement.with_for_update())


# — for the export —————————————————————————————————————————————————————————————————————————————————————

# What `visible_user` does not show.
_ACCOUNT_OF: Final = Question(
    select(
        _users.c.password_hash.is_not(None).label("has_password"),
        _users.c.email_verified_at,
        _users.c.sessions_valid_from,
        _students.c.joined_group_id,
    )
    .outerjoin(_students, (_students.c.tenant_id == _users.c.tenant_id) & (_students.c.id == _users.c.id))
    .where(own(_users.c), _users.c.id == bindparam("user_id"))
)
_GROUPS_OF: Final = Question(
    select(
        Group.id,
        Group.name,
        (Group.owner_id == one_id("user_id")).label("is_owner"),
        GroupMember.created_at.label("since"),
    )
    .outerjoin(
        GroupMember,
        (GroupMember.tenant_id == Group.tenant_id)
        & (GroupMember.group_id == Group.id)
        & (GroupMember.user_id == one_id("user_id")),
    )
    .where(own(Group), or_(Group.owner_id == one_id("user_id"), GroupMember.user_id.is_not(None)))
    .order_by(Group.created_at, Group.id)
)
_GUARDIANS_OF: Final = Question(
    select(GuardianReader.guardian_id, GuardianReader.reader_id, GuardianReader.created_at.label("since"))
    .where(
        own(GuardianReader),
        or_(GuardianReader.guardian_id == one_id("user_id"), GuardianReader.reader_id == one_id("user_id")),
    )
    .order_by(GuardianReader.created_at)
)
_EVENTS_OF: Final = Question(
    select(Event.id, Event.type, Event.level, Event.actor_id, Event.subject_id, Event.data, Event.at, Event.request_id)
    .where(own(Event), or_(Event.actor_id == one_id("user_id"), Event.subject_id == one_id("user_id")))
    .order_by(Event.at, Event.id)
)


def account_of(user_id: UUID) -> dict[str, Any] | None:
    """How somebody can sign in, and since when their sessions count."""
    return _ACCOUNT_OF.record(user_id=user_id)


def groups_of(user_id: UUID) -> list[dict[str, Any]]:
    """The groups that somebody is in or owns."""
    return _GROUPS_OF.records(user_id=user_id)


def guardians_of(user_id: UUID) -> list[dict[str, Any]]:
    """Who looks after somebody, and whom they look after."""
    return _GUARDIANS_OF.records(user_id=user_id)


def events_of(user_id: UUID) -> list[dict[str, Any]]:
    """What the audit trail says that somebody did or that was done to them."""
    return _EVENTS_OF.records(user_id=user_id)


# — for commands ———————————————————————————————————————————————————————————————————————————————————


def user(user_id: UUID | None, *, lock: bool = False) -> User | None:
    """One person of the current tenant."""
    return _person(_users.c.id == user_id, lock=lock)


def lock_reader(user_id: UUID) -> bool:
    """Hold a reader, whom nothing is lent to meanwhile; True where there is one, who is not kept out."""
    theirs = (_readers.c.tenant_id == _users.c.tenant_id) & (_readers.c.id == _users.c.id)
    held = select(_users.c.is_active).join(_readers, theirs).where(own(_readers.c), _readers.c.id == user_id)
    # The row that others refer to, as in erasing: so nobody holds the one and waits for the other.
    return bool(db.session.scalar(held.with_for_update(of=_users, key_share=True)))


def user_by_email(email: str, *, lock: bool = False) -> User | None:
    """Whose address this is."""
    return _person(_users.c.email_hash.in_(pii.look_up_hashes(email, purpose="email")), lock=lock)


def user_by_username(username: str) -> User | None:
    """Whose username this is."""
    return _person(_users.c.username_hash.in_(pii.look_up_hashes(username, purpose="username")), lock=False)


def _person(found_by: ColumnElement[bool], *, lock: bool) -> User | None:
    if lock:
        # The row alone, first: a statement that has waited for a lock sees the newest of the row it locks, but of those
        # that it joins what they were before. Whoever only names them need not wait: of an answer that is kept, the
        # book is held already, which is held after the person.
        db.session.execute(select(_users.c.id).where(own(_users.c), found_by).with_for_update(key_share=True))
    statement = select(User).where(own(User), found_by)
    return db.session.scalar(statement, execution_options={"populate_existing": lock})


def profile_of(user: User) -> dict[str, Any]:
    """A person's name, and e-mail and username where there are any."""
    return pii.unseal(user.key_id, user.sealed_profile, of=user.id)


def other_admins(user_id: UUID) -> int:
    """How many active administrators of the tenant there are beside this one."""
    statement = (
        select(func.count())
        .select_from(_users)
        .join(_staff, (_staff.c.tenant_id == _users.c.tenant_id) & (_staff.c.id == _users.c.id))
        .where(own(_users.c), _staff.c.role.in_(ADMIN_ROLES), _users.c.is_active, _users.c.id != user_id)
    )
    return db.session.scalar(statement) or 0
