"""Endpoints of credentials."""

from __future__ import annotations

from typing import Any

from flask import Response, g, url_for

from app.auth import queries, service
from app.auth.schemas import (
    MeSchema,
    NewKeySchema,
    NewServiceAccountSchema,
    ServiceAccountChangesSchema,
    ServiceAccountListArguments,
    ServiceAccountListSchema,
    ServiceAccountWithKeysSchema,
    ShownKeySchema,
)
from app.core.blueprint import Blueprint
from app.core.cache import if_match
from app.core.errors import NotFound
from app.core.idempotency import idempotent
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, current_actor, requires, signed_in

blp = Blueprint("auth", __name__, description="Who is asking: service accounts and their keys.")


@blp.get("/tenants/<slug>/auth/me")
@signed_in
@blp.response(200, MeSchema)
def show_me() -> Response:
    """Show who the credential belongs to and what it may do

    For a first call with a new key. `permissions` are those of the role, narrowed by the scopes, if there are any.
    """
    actor = current_actor()
    return json_response(
        {
            "kind": actor.kind,
            "id": actor.id,
            "name": actor.name,
            "role": actor.role,
            "permissions": sorted(actor.permissions),
            "expires_at": actor.expires_at,
        }
    )


@blp.post("/tenants/<slug>/service-accounts")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@idempotent
@blp.arguments(NewServiceAccountSchema)
@blp.response(201, ServiceAccountWithKeysSchema)
def create_service_account(body: dict[str, Any]) -> Response:
    """Create a service account

    It can do nothing until it has a key.
    """
    account = service.create_service_account(**body)
    location = url_for("auth.show_service_account", slug=g.tenant.slug, account_id=account.id)
    return json_response(queries.shown(account), 201, {"Location": location})


@blp.get("/tenants/<slug>/service-accounts")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@blp.arguments(ServiceAccountListArguments, location="query")
@blp.response(200, ServiceAccountListSchema)
def list_service_accounts(arguments: dict[str, Any]) -> Response:
    """List the service accounts

    Without their keys: ask for one account to see these.
    """
    return json_response(queries.SERVICE_ACCOUNTS.page(**arguments))


@blp.get("/tenants/<slug>/service-accounts/<account_id>")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@blp.response(200, ServiceAccountWithKeysSchema)
def show_service_account(account_id: str) -> Response:
    """Show a service account with its keys

    The keys are shown by `prefix`, with when each was last used, and never with their secrets.
    """
    return json_response(queries.shown(service.existing_service_account(parse_id(account_id))))


@blp.patch("/tenants/<slug>/service-accounts/<account_id>")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@if_match(show_service_account)
@blp.arguments(ServiceAccountChangesSchema, example={"name": "Koha", "role": "read_only", "scopes": ["books:read"]})
@blp.response(200, ServiceAccountWithKeysSchema)
def update_service_account(body: dict[str, Any], account_id: str) -> Response:
    """Change a service account

    A JSON merge patch. What it loses, all its keys lose at once.
    """
    account = service.existing_service_account(parse_id(account_id))
    return json_response(queries.shown(service.update_service_account(account.id, body)))


@blp.delete("/tenants/<slug>/service-accounts/<account_id>")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@if_match(show_service_account)
@blp.response(204)
def delete_service_account(account_id: str) -> Response:
    """Delete a service account with all its keys

    The keys stop working at once, in every process.
    """
    service.delete_service_account(service.existing_service_account(parse_id(account_id)).id)
    return Response(status=204)


@blp.post("/tenants/<slug>/service-accounts/<account_id>/keys")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@idempotent
@blp.arguments(NewKeySchema)
@blp.response(201, ShownKeySchema)
def create_key(body: dict[str, Any], account_id: str) -> Response:
    """Create a key

    The key is in this answer and nowhere else. To rotate, create a second key, put it to use, then revoke the first.
    """
    account = service.existing_service_account(parse_id(account_id))
    key, row = service.create_key(account.id, **body)
    location = url_for("auth.show_service_account", slug=g.tenant.slug, account_id=account.id)
    shown = {"id": row.id, "key": key, "prefix": row.prefix, "expires_at": row.expires_at}
    return json_response(shown, 201, {"Location": location, "Cache-Control": "no-store"})


@blp.delete("/tenants/<slug>/service-accounts/<account_id>/keys/<key_id>")
@requires(Permission.SERVICE_ACCOUNTS_MANAGE)
@blp.response(204)
def revoke_key(account_id: str, key_id: str) -> Response:
    """Revoke a key

    It stops working at once, in every process.
    """
    account = service.existing_service_account(parse_id(account_id))
    parsed = parse_id(key_id)
    if parsed is None:
        raise NotFound("This service account has no such key.")
    service.revoke_key(account.id, parsed)
    return Response(status=204)
