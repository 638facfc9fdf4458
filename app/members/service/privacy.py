"""What is known of a person, told and forgotten.

Everything that belongs to a person hangs on the row in `users` by a foreign key, and goes with it or lets go of it. So
to forget somebody is to delete one row; what is counted beforehand is what goes along, and a look over every table of
the tenant afterwards proves that nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    String,
    Table,
    Uuid,
    delete,
    false,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.core import pii
from app.core.cache import Generation, touch
from app.core.database import transaction
from app.core.errors import Forbidden
from app.core.security import Permission, current_actor
from app.core.sets import table_of
from app.core.tenancy import own
from app.events import service as events
from app.extensions import db
from app.members import queries
from app.members.models import Guardian, Reader, Staff, Student, User
from app.members.service.users import check_grant, existing_user, keep_an_admin

Part = Callable[[UUID], Any]
_parts: dict[str, Part] = {}
Release = Callable[[UUID], None]
_releases: list[Release] = []
_PEOPLE: Final = frozenset(table_of(each) for each in (User, Staff, Reader, Student, Guardian))
# What is in them never changes. They say that somebody with this id did something; once the account is gone, the id is
# nobody's.
_KEEPS_IDS: Final = frozenset({"events", "book_versions"})
_WORDS: Final = (String, JSONB, ARRAY)


class PersonalDataLeft(RuntimeError):
    """Something of the person would be left, in a table that holds it without a foreign key; nothing was erased."""


def personal(name: str) -> Callable[[Part], Part]:
    """Register what a domain holds of a person, for the export, under this name."""

    def register(part: Part) -> Part:
        _parts[name] = part
        return part

    return register


def lets_go(release: Release) -> Release:
    """Register what a domain does before somebody's row is removed with all that hangs on it, given their id."""
    _releases.append(release)
    return release


personal("account")(queries.account_of)
personal("groups")(queries.groups_of)
personal("guardians")(queries.guardians_of)
personal("events")(queries.events_of)


def export_user(user_id: UUID | None) -> dict[str, Any]:
    """Everything that is held on a person.

    Raises:
        NotFound: there is no such person, or none that the caller may see.
        Forbidden: the caller is neither the person nor manages users.
    """
    with transaction() as session:
        # One state of all tables.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        person = _ones_own(user_id)
        held = {"user": queries.visible_user(person.id), **{name: part(person.id) for name, part in _parts.items()}}
        events.record("user.exported", subject_id=person.id)
    return held


def erase_user(user_id: UUID | None) -> dict[str, int]:
    """Remove a person with all that is held on them; how many rows of each table went, or name them no more.

    Raises:
        NotFound: there is no such person, or none that the caller may see.
        Forbidden: the caller is neither the person nor manages users, or the person is allowed more.
        LastAdmin: no administrator would be left.
        PersonalDataLeft: something would be left; nothing was erased.
    """
    with transaction() as session:
        person = _ones_own(user_id, lock=True)
        if current_actor().id != person.id:
            check_grant(person.role)
        keep_an_admin(person)
        hashes, texts = _traces_of(person)
        # Every table is read: of a large library, that may be more than a request's statements are given.
        session.execute(text("SET LOCAL statement_timeout = 0"))
        for release in _releases:
            release(person.id)
        erased = _remove(person)
        left = find_traces(person.id, hashes=hashes, texts=texts)
        if left:
            raise PersonalDataLeft(", ".join(left))
        events.record("user.erased", subject_id=person.id, rows=sum(erased.values()))
        touch(Generation.ACCESS)
    return erased


def find_traces(user_id: UUID, *, hashes: list[bytes], texts: list[str]) -> list[str]:
    """The tenant's tables in which somebody's id, a hash of theirs or one of these texts is found; each is read."""
    return [str(table.name) for table in _tables() if _holds(table, user_id, hashes, [each.lower() for each in texts])]


def _ones_own(user_id: UUID | None, *, lock: bool = False) -> User:
    person = existing_user(user_id, lock=lock)
    actor = current_actor()
    if actor.id != person.id and not actor.may(Permission.USERS_MANAGE):
        raise Forbidden("This is for the person and for administrators.")
    return person


def _tables() -> Iterator[Any]:
    """Those with rows of tenants."""
    return (table for table in db.metadata.sorted_tables if "tenant_id" in table.columns)


# — removing ———————————————————————————————————————————————————————————————————————————————————————


def _remove(person: User) -> dict[str, int]:
    """Delete the person's row with all that hangs on it; how many rows of each table named the person."""
    erased = {}
    for table in _tables():
        named = [column == person.id for column in _referring_columns(table)]
        counted = select(func.count()).select_from(table).where(own(table.c), or_(false(), *named))
        if named and (rows := db.session.scalar(counted)):
            erased[str(table.name)] = rows
    # Not by the session: the database takes along what hangs on the row, the rows of its type too.
    users = table_of(User)
    db.session.execute(delete(users).where(own(users.c), users.c.id == person.id))
    db.session.expunge(person)
    return erased


def _referring_columns(table: Table) -> list[Column[Any]]:
    """Those that hold a person's id by a foreign key, and the id of a person's own row."""
    if table in _PEOPLE:
        return [table.c.id]
    keys = [each for each in table.constraints if isinstance(each, ForeignKeyConstraint)]
    return [table.c[key.column_keys[-1]] for key in keys if key.referred_table in _PEOPLE]


# — looking for what is left ———————————————————————————————————————————————————————————————————————


def _traces_of(person: User) -> tuple[list[bytes], list[str]]:
    """What would tell that something is left: hashes under every key, and the address; names are others' words too."""
    profile = queries.profile_of(person)
    hashes = [
        each
        for purpose in ("email", "username")
        if profile[purpose]
        for each in pii.look_up_hashes(profile[purpose], purpose=purpose)
    ]
    return hashes, [profile["email"]] if profile["email"] else []


def _holds(table: Any, user_id: UUID, hashes: list[bytes], texts: list[str]) -> bool:
    """True where a row of the table holds any of these."""
    ids = [each for each in table.columns if isinstance(each.type, Uuid) and table.name not in _KEEPS_IDS]
    binary = [each for each in table.columns if isinstance(each.type, LargeBinary)]
    words = [sql_cast(each, String) for each in table.columns if isinstance(each.type, _WORDS)]
    # With an offset, if of nothing, PostgreSQL puts the words of a row together once, not for each comparison.
    rows = (
        select(*ids, *binary, func.lower(func.concat_ws(" ", "", *words)).label("words"))
        .where(own(table.c))
        .offset(0)
        .subquery()
    )
    wanted = texts if table.name in _KEEPS_IDS else [*texts, str(user_id)]
    found = or_(
        false(),
        *(rows.c[each.name] == user_id for each in ids if each.name != "tenant_id"),
        *(rows.c[each.name].in_(hashes) for each in binary),
        *(func.strpos(rows.c.words, each) > 0 for each in wanted),
    )
    return db.session.scalar(select(literal(1)).select_from(rows).where(found).limit(1)) is not None
