"""Endpoints of tenants."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, g, url_for

from app.core.admission import RedisAway
from app.core.blueprint import Blueprint
from app.core.cache import if_match
from app.core.clock import utc_now
from app.core.errors import raises
from app.core.idempotency import idempotent
from app.core.limits import CLOSED_WITHOUT_REDIS, TENANT_LIMITS, Limit, LimitUnavailable, limits, uncounted
from app.core.schemas import json_response
from app.core.security import Permission, current_actor, requires
from app.core.tenancy import current_tenant_id
from app.tenants import queries, service
from app.tenants.schemas import (
    NewTenantSchema,
    RateLimitsSchema,
    TenantChangesSchema,
    TenantListArguments,
    TenantListSchema,
    TenantSchema,
)

blp = Blueprint(
    "tenants",
    __name__,
    description="Libraries, schools and persons, each apart from the others, with their settings and limits.",
)


@blp.post("/tenants")
@requires(Permission.TENANTS_MANAGE)
@raises(service.SlugTaken, service.IdentifierTaken)
@idempotent
@blp.arguments(NewTenantSchema)
@blp.response(201, TenantSchema)
def create_tenant(body: dict[str, Any]) -> Response:
    """Create a tenant

    The slug becomes part of every address of the tenant and can't be changed later.
    """
    tenant = service.create_tenant(**body)
    return json_response(queries.shown(tenant), 201, {"Location": url_for("tenants.show_tenant", slug=tenant.slug)})


@blp.get("/tenants")
@requires(Permission.TENANTS_MANAGE)
@blp.arguments(TenantListArguments, location="query")
@blp.response(200, TenantListSchema)
def list_tenants(arguments: dict[str, Any]) -> Response:
    """List all tenants

    Suspended ones included. Filters narrow the list; `sort` orders it.
    """
    return json_response(queries.TENANTS.page(**arguments))


@blp.get("/tenants/<slug>")
@requires(Permission.TENANT_READ)
@blp.response(200, TenantSchema)
def show_tenant() -> Response:
    """Show the tenant

    Its name, settings and limits; every member may see them. The `ETag` is what a change takes as `If-Match`.
    """
    return json_response(queries.shown(service.existing_tenant(current_tenant_id())))


@blp.patch("/tenants/<slug>")
@requires(Permission.TENANT_UPDATE)
@if_match(show_tenant)
@blp.arguments(
    TenantChangesSchema, example={"name": "Riverside Library", "settings": {"loan_days": 21, "max_renewals": None}}
)
@blp.response(200, TenantSchema)
def update_tenant(body: dict[str, Any]) -> Response:
    """Change the tenant's name, settings or limits

    A JSON merge patch: what is absent stays, null puts a setting back to its default. Limits are changed by a platform
    administrator only.
    """
    return json_response(queries.shown(service.update_tenant(current_tenant_id(), body)))


@blp.delete("/tenants/<slug>")
@requires(Permission.TENANTS_MANAGE)
@raises(service.PlatformIsReserved)
@if_match(show_tenant)
@blp.response(204)
def delete_tenant() -> Response:
    """Suspend the tenant, and purge it 30 days later

    All its credentials stop working at once. Its audit events stay.
    """
    service.suspend_tenant(current_tenant_id())
    return Response(status=204)


@blp.get("/tenants/<slug>/rate-limits")
@requires(Permission.TENANT_READ)
@uncounted
@raises(LimitUnavailable)
@blp.response(200, RateLimitsSchema)
def show_rate_limits() -> Response:
    """Show how much of each limit is left

    One entry for each limit that counts the caller or its tenant, as it stands now. Asking does not consume anything.
    """
    sizes = {Limit.API: g.tenant.api_requests_per_minute, Limit.INGESTION: g.tenant.ingestion_jobs_per_hour}
    windows = [
        limits().window(
            limit,
            str(g.tenant.id) if limit in TENANT_LIMITS else current_actor().principal,
            size=sizes.get(limit),
            cost=0,
        )
        for limit in limits().rates
        if limit not in CLOSED_WITHOUT_REDIS  # these count strangers
    ]
    try:
        states = limits().gate.ask(windows).states
    except RedisAway as error:
        raise LimitUnavailable("The limits can't be read at the moment; try again shortly.") from error
    now = utc_now()
    return json_response(
        {
            "items": [
                {
                    "policy": state.window.policy,
                    "limit": state.window.limit,
                    "remaining": state.remaining,
                    "used": state.window.limit - state.remaining,
                    "window_seconds": state.window.window_seconds,
                    "window_start": now - timedelta(seconds=state.window.window_seconds),
                    "window_end": now,
                }
                for state in states
            ]
        }
    )
