"""Commands on tenants."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.core.cache import Generation, touch
from app.core.clock import new_id, utc_now
from app.core.database import transaction, violated_constraint
from app.core.errors import Conflict, Forbidden, Invalid, NotFound
from app.core.queue import TaskName, enqueue
from app.core.security import Permission, current_actor
from app.core.tenancy import tenant as as_tenant
from app.events import service as events
from app.extensions import db
from app.settings import current_settings
from app.tenants import queries
from app.tenants.models import PLATFORM_ID, Tenant, TenantStatus

# Time enough to notice that it was a mistake.
KEPT_WHEN_SUSPENDED = timedelta(days=30)
# Well within a task's time limit, of which a last transaction may take its part.
PURGE_SECONDS = 60.0
# Few enough to be gone in a second or two, with all that hangs on them.
PURGED_AT_ONCE = 10_000

log = logging.getLogger(__name__)


class SlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "slug_taken"


class IdentifierTaken(Conflict):
    """Another tenant of the country has this official identifier."""

    code = "identifier_taken"


class PlatformIsReserved(Conflict):
    """The tenant `platform` belongs to the service and can't be deleted."""

    code = "platform_is_reserved"


def create_tenant(*, settings: dict[str, Any] | None = None, **fields: Any) -> Tenant:
    """Make a tenant; `settings` may name any of the settings, the rest, and those given as None, get their defaults.

    It is the reserved tenant's doing, and stands in its audit trail.

    Raises:
        SlugTaken: the slug is another tenant's.
        IdentifierTaken: the official identifier is another's in that country.
    """
    chosen = _with_defaults({"resync_interval_hours": None, **(settings or {})})
    with as_tenant(PLATFORM_ID), transaction() as session:
        tenant = Tenant(id=new_id(), **fields, **chosen)
        session.add(tenant)
        _flush_unique()
        session.refresh(tenant)
        events.record("tenant.created", subject_id=tenant.id, kind=tenant.kind)
    return tenant


def update_tenant(tenant_id: UUID, changes: dict[str, Any]) -> Tenant:
    """Change name, settings and limits; a setting given as None gets its default back.

    Raises:
        Forbidden: limits are changed by those who run the service only.
        NotFound: there is no such tenant.
    """
    limits, settings = changes.pop("limits", {}), changes.pop("settings", {})
    if limits and not current_actor().may(Permission.TENANTS_MANAGE):
        raise Forbidden("Limits are changed by those who run the service.")
    with transaction() as session:
        tenant = session.get(Tenant, tenant_id, with_for_update=True)
        if tenant is None:
            raise NotFound("There is no such tenant.")
        for name, value in {**changes, **limits, **_with_defaults(settings)}.items():
            setattr(tenant, name, value)
        tenant.updated_at = utc_now()
        session.flush()
        events.record("tenant.updated", subject_id=tenant_id, fields=sorted({*changes, *limits, *settings}))
        touch(Generation.ACCESS, tenant_id)
    return tenant


def suspend_tenant(tenant_id: UUID) -> None:
    """Stop all credentials of a tenant at once; its data is purged 30 days later.

    Raises:
        NotFound: there is no such tenant, or it is suspended already.
        PlatformIsReserved: it is the reserved tenant.
    """
    if tenant_id == PLATFORM_ID:
        raise PlatformIsReserved("The tenant 'platform' belongs to the service and can't be deleted.")
    with transaction() as session:
        tenant = session.get(Tenant, tenant_id, with_for_update=True)
        if tenant is None or tenant.status == TenantStatus.SUSPENDED:
            raise NotFound("There is no such tenant.")
        tenant.status, tenant.suspended_at, tenant.updated_at = TenantStatus.SUSPENDED, utc_now(), utc_now()
        events.record("tenant.suspended", subject_id=tenant_id)
        touch(Generation.ACCESS, tenant_id)


def purge_tenant(tenant_id: UUID, *, until: float = math.inf) -> bool:
    """Remove a tenant with every row it owns, for good; its audit events stay.

    It is suspended first, and emptied by many short transactions, its own row last: however this breaks off, it can be
    begun again. False where it was not finished `until` then, in seconds of the monotonic clock.

    Raises:
        PlatformIsReserved: it is the reserved tenant.
    """
    with as_tenant(tenant_id):
        with suppress(NotFound):
            suspend_tenant(tenant_id)
        for table in _tables_to_empty():
            while _delete_some(table, tenant_id):
                if time.monotonic() >= until:
                    return False
        _delete_tenant(tenant_id)
    return True


def purge_long_suspended(*, seconds: float = PURGE_SECONDS) -> int:
    """Purge every tenant that was suspended 30 days ago or earlier; returns how many are gone.

    Where `seconds` do not suffice, another task goes on; a tenant that can't be purged keeps no other from it.
    """
    until = time.monotonic() + seconds
    purged = 0
    for tenant_id in queries.tenants_suspended_before(utc_now() - KEPT_WHEN_SUSPENDED):
        try:
            is_gone = purge_tenant(tenant_id, until=until)
        except SQLAlchemyError:
            log.exception("tenant.purge_failed", extra={"tenant_id": str(tenant_id)})
            continue
        if not is_gone:
            enqueue(TaskName.TENANTS_PURGE)
            break
        purged += 1
    return purged


def _tables_to_empty() -> list[str]:
    """The tables with rows of tenants, those that refer to others before these.

    Where the application may not delete, the rows go with those they hang on, or, being events, stay.
    """
    names = [
        table.name
        for table in reversed(db.metadata.sorted_tables)
        if "tenant_id" in table.columns and not table.info.get("outlives_tenant")
    ]
    may_delete = text("SELECT has_table_privilege(:name, 'DELETE')")
    return [name for name in names if db.session.scalar(may_delete, {"name": name})]


def _delete_some(table: str, tenant_id: UUID) -> bool:
    """Delete some of a tenant's rows; True where there may be more."""
    # By their places on disk, which PostgreSQL goes to directly, whatever it thinks of the table's size. Of a table in
    # parts, each part has such a place: of this tenant's rows, all that are there go.
    some = f"SELECT ctid FROM {table} WHERE tenant_id = :tenant_id LIMIT :most"  # noqa: S608 - a name of ours
    statement = text(f"DELETE FROM {table} WHERE ctid = ANY (ARRAY ({some})) AND tenant_id = :tenant_id")  # noqa: S608 - a name of ours
    with transaction() as session:
        # A book takes its versions with it: that may be more than a request's time allows.
        session.execute(text("SET LOCAL statement_timeout = 0"))
        gone = session.execute(statement, {"tenant_id": tenant_id, "most": PURGED_AT_ONCE})
    return int(gone.rowcount) >= PURGED_AT_ONCE  # type: ignore[attr-defined]  # a DELETE's result has it


def _delete_tenant(tenant_id: UUID) -> None:
    with transaction() as session:
        session.execute(delete(Tenant).where(Tenant.id == tenant_id))
        events.record("tenant.purged", subject_id=tenant_id)
        touch(Generation.ACCESS, tenant_id)
        touch(Generation.CATALOGUE, tenant_id)
        touch(Generation.INVENTORY, tenant_id)


def existing_tenant(tenant_id: UUID) -> Tenant:
    """One tenant.

    Raises:
        NotFound: there is no such tenant.
    """
    found = queries.tenant(tenant_id)
    if found is None:
        raise NotFound("There is no such tenant.")
    return found


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    defaults = {"resync_interval_hours": current_settings().re_sync_interval_hours, **_DEFAULTS}
    return {name: defaults[name] if value is None else value for name, value in settings.items()}


_DEFAULTS = {
    "public_submissions": False,
    "self_registration": False,
    "loan_days": 14,
    "max_renewals": 2,
    "max_loans_per_reader": 20,
}


def _flush_unique() -> None:
    with transaction() as session:
        try:
            session.flush()
        except IntegrityError as error:
            match violated_constraint(error):
                case "uq_tenants_slug":
                    raise SlugTaken("Another tenant has this slug; choose another one.") from error
                case "uq_tenants_official_identifier":
                    raise IdentifierTaken("Another tenant of this country has this official identifier.") from error
                case _:
                    raise Invalid("Some values are not acceptable.") from error
