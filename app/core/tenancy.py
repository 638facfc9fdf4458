"""How libraries are kept apart: the tenant of the current work, and what a tenant-owned table looks like.

The wall is PostgreSQL's row-level security, forced on every table with `TenantScoped`: a row is visible only where its
`tenant_id` is the transaction's `app.tenant_id`, and the application's role owns nothing that would let it step
around. The tables outside the wall hold nothing of one tenant's alone, or are read before a tenant is known:
`OUTSIDE_ROW_LEVEL_SECURITY` names each with its reason, and a test holds the list against the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Uuid, bindparam
from sqlalchemy.orm import Mapped, mapped_column

OUTSIDE_ROW_LEVEL_SECURITY = {
    "alembic_version": "the schema's own version",
    "tenants": "read to learn which tenant a slug means",
    "open_library_records": "our copy of public records, shared by all",
    "open_library_queries": "remembered answers of a public search, shared by all",
    "ingestion_queue": "ids and due times only; workers choose fairly among all tenants' jobs",
    "ingestion_turns": "when each tenant was last served",
    "resync_schedule": "due times only; the scheduler looks over all tenants",
    "enrichment_schedule": "due times only; the scheduler looks over all tenants",
    "unsealed_events": "ids only; the sealer looks over all tenants",
    "mail_queue": "ids and due times only; the sender looks over all tenants",
    "search_words": "the dictionary behind typo correction, without a word's origin",
    "search_deletions": "the same dictionary, by one-letter deletions",
    "book_search": "search vectors; the application's role has no right on it and asks a function",
}

_tenant_id: ContextVar[UUID | None] = ContextVar("tenant_id", default=None)


class NoTenant(RuntimeError):
    """Tenant-owned data was asked for outside of any tenant: a defect of the caller."""


def current_tenant_id() -> UUID:
    """The tenant of the current work.

    Raises:
        NoTenant: the code runs outside `tenant(...)`.
    """
    tenant_id = _tenant_id.get()
    if tenant_id is None:
        raise NoTenant
    return tenant_id


def tenant_id_or_none() -> UUID | None:
    """The tenant of the current work, if there is one."""
    return _tenant_id.get()


@contextmanager
def tenant(tenant_id: UUID) -> Iterator[None]:
    """Do the block's work as this tenant; enter it before the transaction begins."""
    token = _tenant_id.set(tenant_id)
    try:
        yield
    finally:
        _tenant_id.reset(token)


class TenantScoped:
    """A table of rows that belong to one tenant; `tenant_id` is the first column of its primary key."""

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, default=current_tenant_id, sort_order=-2)


# The tenant of the moment in which a statement is executed, not of that in which it is written. Not under a column's
# name, which an INSERT or UPDATE would take for a value to set.
OWN_TENANT_ID: BindParameter[UUID] = bindparam("own_tenant_id", type_=Uuid(), callable_=current_tenant_id)


def own(model: type[TenantScoped]) -> ColumnElement[bool]:
    """The condition that a row of a model, or of a table by its columns, belongs to the current tenant.

    PostgreSQL hides other tenants' rows without it as well; with it, it finds this one's by the index.
    """
    return model.tenant_id == OWN_TENANT_ID
