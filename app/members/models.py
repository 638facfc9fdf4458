"""The tables of people and groups."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.security import STAFF_ROLES, Role
from app.core.tenancy import TenantScoped
from app.extensions import Model, one_of
from app.tenants.models import Tenant


class UserType(StrEnum):
    """What somebody is to the library; it never changes."""

    STAFF = "staff"
    READER = "reader"
    STUDENT = "student"
    GUARDIAN = "guardian"


class ReadingAbility(StrEnum):
    """How well somebody reads, the least first."""

    EMERGENT = "emergent"
    EARLY = "early"
    TRANSITIONAL = "transitional"
    SELF_EXTENDING = "self_extending"
    ADVANCED = "advanced"


# Staff have one of their own.
ROLE_OF_TYPE: Final = {UserType.READER: Role.READER, UserType.STUDENT: Role.READER, UserType.GUARDIAN: Role.GUARDIAN}


class User(TenantScoped, Model):
    """Somebody with an account; name, e-mail and username are encrypted in `sealed_profile`."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    type: Mapped[str]
    email_hash: Mapped[bytes | None]
    username_hash: Mapped[bytes | None]
    sealed_profile: Mapped[bytes]
    # Of PII_KEYS: it made the hashes and sealed the profile.
    key_id: Mapped[str]
    password_hash: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    # When it was known that mail to the address reaches them: they have shown it, or an administrator vouches for it.
    email_verified_at: Mapped[datetime | None]
    # Sessions that were begun before count no more.
    sessions_valid_from: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __mapper_args__ = {"polymorphic_on": "type"}  # noqa: RUF012 - SQLAlchemy's own class attribute
    # Those beneath have others of their own.
    __table_args__: Any = (
        # The column itself: inheritance is worked out at once, and by then the table of tenants must be known.
        ForeignKeyConstraint(["tenant_id"], [Tenant.__table__.c.id], name="fk_users_tenant"),
        one_of("type", UserType),
        CheckConstraint("length(email_hash) = 32 AND length(username_hash) = 32", name="hashes"),
        CheckConstraint("type <> 'student' OR username_hash IS NOT NULL", name="student_username"),
        UniqueConstraint("tenant_id", "email_hash", name="uq_users_email"),
        UniqueConstraint("tenant_id", "username_hash", name="uq_users_username"),
        Index("ix_users_created_at", "tenant_id", "created_at", "id"),
        Index("ix_users_type", "tenant_id", "type", "created_at", "id"),
        Index("ix_users_key", "tenant_id", "key_id", "id"),
    )

    @property
    def role(self) -> Role:
        """What this person may do."""
        return ROLE_OF_TYPE[UserType(self.type)]


def _type(kind: UserType) -> dict[str, Any]:
    """What SQLAlchemy is told of a type: whoever asks for people gets what is beneath by the same statement."""
    return {"polymorphic_identity": kind.value, "polymorphic_load": "inline"}


def _beneath(table: str, name: str) -> ForeignKeyConstraint:
    """The key by which a type's row hangs on the row it completes, and goes with it."""
    return ForeignKeyConstraint(
        ["tenant_id", "id"], [f"{table}.tenant_id", f"{table}.id"], name=name, ondelete="CASCADE"
    )


class Staff(User):
    """Somebody who works for the library."""

    __tablename__ = "staff"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    staff_role: Mapped[str] = mapped_column("role")

    __mapper_args__ = _type(UserType.STAFF)
    __table_args__ = (
        _beneath("users", "fk_staff_user"),
        one_of("role", STAFF_ROLES),
        Index("ix_staff_role", "tenant_id", "role", "id"),
    )

    @property
    def role(self) -> Role:
        """What this person may do."""
        return Role(self.staff_role)


class Group(TenantScoped, Model):
    """A class, or another group of readers, of one educator."""

    __tablename__ = "groups"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    description: Mapped[str | None]
    # Nobody, once the educator's account is gone.
    owner_id: Mapped[UUID | None]
    # A code lets strangers in, so it is kept like a password: hashed, and for a time.
    join_code_hash: Mapped[bytes | None]
    join_code_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_groups_tenant"),
        ForeignKeyConstraint(
            ["tenant_id", "owner_id"],
            ["staff.tenant_id", "staff.id"],
            name="fk_groups_owner",
            ondelete="SET NULL (owner_id)",
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint("length(description) <= 2000", name="description"),
        CheckConstraint("(join_code_hash IS NULL) = (join_code_expires_at IS NULL)", name="join_code"),
        UniqueConstraint("tenant_id", "join_code_hash", name="uq_groups_join_code"),
        Index("ix_groups_created_at", "tenant_id", "created_at", "id"),
        Index("ix_groups_owner", "tenant_id", "owner_id", "created_at", "id"),
    )


class Reader(User):
    """Somebody who borrows and reads."""

    __tablename__ = "readers"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    reading_ability: Mapped[str | None]
    # Of the books that suit the reader, in years.
    min_age: Mapped[int | None]
    max_age: Mapped[int | None]

    __mapper_args__ = _type(UserType.READER)
    __table_args__: Any = (
        _beneath("users", "fk_readers_user"),
        one_of("reading_ability", ReadingAbility),
        CheckConstraint("min_age BETWEEN 0 AND 120 AND max_age BETWEEN 0 AND 120", name="ages"),
        CheckConstraint("min_age <= max_age", name="age_range"),
    )


class Student(Reader):
    """A reader at school, who signs in by a username."""

    __tablename__ = "students"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # Whose join code brought the student here.
    joined_group_id: Mapped[UUID | None]

    __mapper_args__ = _type(UserType.STUDENT)
    __table_args__ = (
        _beneath("readers", "fk_students_reader"),
        ForeignKeyConstraint(
            ["tenant_id", "joined_group_id"],
            ["groups.tenant_id", "groups.id"],
            name="fk_students_group",
            ondelete="SET NULL (joined_group_id)",
        ),
        Index("ix_students_group", "tenant_id", "joined_group_id"),
    )


class Guardian(User):
    """Somebody who looks after readers."""

    __tablename__ = "guardians"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)

    __mapper_args__ = _type(UserType.GUARDIAN)
    __table_args__ = (_beneath("users", "fk_guardians_user"),)


class GuardianReader(TenantScoped, Model):
    """A guardian looks after a reader."""

    __tablename__ = "guardian_readers"

    guardian_id: Mapped[UUID] = mapped_column(primary_key=True)
    reader_id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "guardian_id"],
            ["guardians.tenant_id", "guardians.id"],
            name="fk_guardian_readers_guardian",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "reader_id"],
            ["readers.tenant_id", "readers.id"],
            name="fk_guardian_readers_reader",
            ondelete="CASCADE",
        ),
        Index("ix_guardian_readers_reader", "tenant_id", "reader_id"),
    )


class GroupMember(TenantScoped, Model):
    """A reader is in a group."""

    __tablename__ = "group_members"

    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["groups.tenant_id", "groups.id"],
            name="fk_group_members_group",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["readers.tenant_id", "readers.id"],
            name="fk_group_members_reader",
            ondelete="CASCADE",
        ),
        Index("ix_group_members_user", "tenant_id", "user_id"),
    )


class UserNamePrefix(TenantScoped, Model):
    """The hash of a beginning of somebody's name, by which an encrypted name is found."""

    __tablename__ = "user_name_prefixes"

    # The first eight bytes of the HMAC.
    prefix_hash: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_user_name_prefixes_user",
            ondelete="CASCADE",
        ),
        Index("ix_user_name_prefixes_user", "tenant_id", "user_id"),
    )
