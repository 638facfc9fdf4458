"""Who may do what, on one page: roles, permissions, and the mark that every endpoint carries.

`requires` and `public` only mark a view; `pipeline/passage.py` holds the caller's `Actor` against the mark before the
view runs; endpoints without one answer nobody. Rights on single rows are the queries' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, TypeVar
from uuid import UUID

from app.core.clock import utc_now

_View = TypeVar("_View", bound=Callable[..., Any])


class Permission(StrEnum):
    """One thing that can be allowed."""

    TENANTS_MANAGE = "tenants:manage"
    TENANT_READ = "tenant:read"
    TENANT_UPDATE = "tenant:update"
    USERS_READ = "users:read"
    USERS_MANAGE = "users:manage"
    GROUPS_MANAGE = "groups:manage"
    SERVICE_ACCOUNTS_MANAGE = "service_accounts:manage"
    EVENTS_READ = "events:read"
    BOOKS_READ = "books:read"
    BOOKS_WRITE = "books:write"
    LABELS_WRITE = "labels:write"
    HOLDINGS_READ = "holdings:read"
    HOLDINGS_WRITE = "holdings:write"
    LOANS_READ = "loans:read"
    LOANS_MANAGE = "loans:manage"
    HOLDS_PLACE = "holds:place"
    INGESTION_RUN = "ingestion:run"
    INVENTORY_READ = "inventory:read"
    INVENTORY_WRITE = "inventory:write"


class Role(StrEnum):
    """What a principal is; `ROLE_PERMISSIONS` says what that allows."""

    PLATFORM_ADMIN = "platform_admin"
    ADMIN = "admin"
    LIBRARIAN = "librarian"
    EDUCATOR = "educator"
    READER = "reader"
    GUARDIAN = "guardian"
    LMS = "lms"
    KIOSK = "kiosk"
    READ_ONLY = "read_only"


# What a program may be.
SERVICE_ROLES: Final = (Role.PLATFORM_ADMIN, Role.ADMIN, Role.LIBRARIAN, Role.LMS, Role.KIOSK, Role.READ_ONLY)
# What staff may be; other people's role follows from what they are.
STAFF_ROLES: Final = (Role.PLATFORM_ADMIN, Role.ADMIN, Role.LIBRARIAN, Role.EDUCATOR)
# One of them stays in every tenant that has one.
ADMIN_ROLES: Final = (Role.PLATFORM_ADMIN, Role.ADMIN)

_READS = frozenset({Permission.TENANT_READ, Permission.BOOKS_READ, Permission.HOLDINGS_READ})
_LIBRARIAN = _READS | {
    Permission.BOOKS_WRITE,
    Permission.LABELS_WRITE,
    Permission.HOLDINGS_WRITE,
    Permission.LOANS_READ,
    Permission.LOANS_MANAGE,
    Permission.HOLDS_PLACE,
    Permission.INGESTION_RUN,
    Permission.USERS_READ,
    Permission.INVENTORY_READ,
}
_EDUCATOR = _READS | {Permission.GROUPS_MANAGE}
_ADMIN = (
    _LIBRARIAN
    | _EDUCATOR
    | {
        Permission.TENANT_UPDATE,
        Permission.USERS_MANAGE,
        Permission.SERVICE_ACCOUNTS_MANAGE,
        Permission.EVENTS_READ,
        Permission.INVENTORY_WRITE,
    }
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.PLATFORM_ADMIN: frozenset(Permission),
    Role.ADMIN: _ADMIN,
    Role.LIBRARIAN: _LIBRARIAN,
    Role.EDUCATOR: _EDUCATOR,
    Role.READER: _READS | {Permission.LOANS_READ, Permission.HOLDS_PLACE},
    Role.GUARDIAN: _READS | {Permission.LOANS_READ},
    Role.LMS: _READS
    | {Permission.HOLDINGS_WRITE, Permission.LABELS_WRITE, Permission.INVENTORY_READ, Permission.INVENTORY_WRITE},
    Role.KIOSK: _READS | {Permission.LOANS_READ, Permission.LOANS_MANAGE},
    Role.READ_ONLY: _READS,
}


class ActorKind(StrEnum):
    """What stands behind a credential."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class Actor:
    """Who is asking: a principal of `tenant_id` with the permissions of its role, narrowed by its scopes."""

    kind: ActorKind
    id: UUID | None
    tenant_id: UUID | None
    role: Role
    name: str
    permissions: frozenset[Permission]
    expires_at: datetime | None = None
    # Of a person: the session that the credential belongs to, and when that was begun.
    session_id: UUID | None = None
    signed_in_at: datetime | None = None
    # Its tenant's own limit, where that has one.
    api_requests_per_minute: int | None = None

    @cached_property
    def principal(self) -> str:
        """What limits and idempotency keys are counted by."""
        return f"{self.kind}:{self.id}"

    @property
    def has_expired(self) -> bool:
        """True once the credential's time is over, however long ago it was checked."""
        return self.expires_at is not None and self.expires_at <= utc_now()

    def may(self, permission: Permission) -> bool:
        """True when the role, and the scopes if there are any, allow it."""
        return permission in self.permissions


SYSTEM = Actor(
    kind=ActorKind.SYSTEM,
    id=None,
    tenant_id=None,
    role=Role.PLATFORM_ADMIN,
    name="system",
    permissions=frozenset(Permission),
)

ANONYMOUS = Actor(
    kind=ActorKind.ANONYMOUS,
    id=None,
    tenant_id=None,
    role=Role.READER,
    name="anonymous",
    permissions=frozenset(),
)


@dataclass(frozen=True, slots=True)
class Access:
    """The mark of a view: the permission it takes, None where any signed-in caller or the public may call.

    `opened_by` is the tenant's setting that lets strangers in as well.
    """

    permission: Permission | None
    is_public: bool = False
    opened_by: str | None = None


def requires(permission: Permission, *, or_public_where: str | None = None) -> Callable[[_View], _View]:
    """Mark a view: callers with `permission` reach it, and strangers where that setting of the tenant is on."""
    return _marked(Access(permission, opened_by=or_public_where))


def signed_in(view: _View) -> _View:
    """Mark a view: every caller with a valid credential reaches it."""
    return _marked(Access(None))(view)


def public(view: _View) -> _View:
    """Mark a view: everybody reaches it, and whatever credential comes along is not looked at."""
    return _marked(Access(None, is_public=True))(view)


def _marked(access: Access) -> Callable[[_View], _View]:
    def mark(view: _View) -> _View:
        view.access = access  # type: ignore[attr-defined]  # functions carry attributes; wraps() hands them on
        return view

    return mark


_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)


class NoActor(RuntimeError):
    """It was asked who is acting where nobody is, such as in a view marked as cached: a defect of the caller."""


def current_actor() -> Actor:
    """Who the current work is done for: the caller of a request, the system itself in tasks and commands.

    Raises:
        NoActor: the code runs outside `acting_as(...)`.
    """
    actor = _actor.get()
    if actor is None:
        raise NoActor
    return actor


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Do the block's work for this actor; the pipeline, the tasks and the commands say for whom they work."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)
