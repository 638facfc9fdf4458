"""Endpoints of sign-in and credentials."""

from __future__ import annotations

from typing import Any

from flask import Response, g, url_for

from app.auth import queries, service
from app.auth.schemas import (
    AcceptedSchema,
    IdTokenSchema,
    JoinSchema,
    LoginSchema,
    MagicLinkRequestSchema,
    MagicLinkSchema,
    MeSchema,
    NewKeySchema,
    NewServiceAccountSchema,
    RefreshSchema,
    ServiceAccountChangesSchema,
    ServiceAccountListArguments,
    ServiceAccountListSchema,
    ServiceAccountWithKeysSchema,
    ShownKeySchema,
    SignedInSchema,
)
from app.core.blueprint import Blueprint
from app.core.cache import if_match
from app.core.errors import Forbidden, NotFound, raises
from app.core.idempotency import idempotent, repeatable
from app.core.limits import Limit, charge, limited
from app.core.passwords import SignInBusy
from app.core.schemas import json_response, parse_id
from app.core.security import ActorKind, Permission, current_actor, public, requires, signed_in
from app.core.tenancy import tenant
from app.members import queries as people
from app.members import service as members

blp = Blueprint(
    "auth", __name__, description="Who is asking: sign-in of people, their tokens, service accounts and their keys."
)


# — sign-in ————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/auth/login")
@public
@limited(Limit.AUTH)
@raises(service.InvalidCredentials, SignInBusy)
@repeatable
@blp.arguments(
    LoginSchema,
    examples={
        "email": {
            "summary": "By e-mail address",
            "value": {"email": "anna.smith@example.org", "password": "otters swim at dawn"},
        },
        "username": {
            "summary": "By username",
            "value": {"username": "rkvb-tmzw-83", "password": "otters swim at dawn"},
        },
    },
)
@blp.response(200, SignedInSchema)
def log_in(body: dict[str, Any]) -> Response:
    """Sign in with a password

    By `email` or `username`. Attempts are counted per address and per account. That there is no such account and that
    the password is wrong is the same answer, and takes the same time.
    """
    password = body.pop("password")
    # From whichever address it comes; the address is counted already.
    charge(Limit.AUTH, service.account_counter(**body), cost=1)
    return _signed_in(service.log_in(password=password, **body))


@blp.post("/tenants/<slug>/auth/refresh")
@public
@limited(Limit.SESSION)
@raises(service.InvalidRefreshToken)
@repeatable
@blp.arguments(RefreshSchema)
@blp.response(200, SignedInSchema)
def refresh(body: dict[str, Any]) -> Response:
    """Exchange a refresh token for new tokens

    Each refresh token works once. Sent again within ten seconds, as after a broken connection, it gives the same next
    refresh token again; later it tells that somebody else has it, and ends the session.
    """
    return _signed_in(service.refresh_session(body["refresh_token"]))


@blp.post("/tenants/<slug>/auth/logout")
@signed_in
@raises(Forbidden)
@repeatable
@blp.response(204)
def log_out() -> Response:
    """Sign out

    Ends the session: its access and refresh tokens stop working at once, in every process. Keys of service accounts
    have no session; they are revoked.
    """
    service.end_session()
    return Response(status=204)


@blp.post("/tenants/<slug>/auth/magic-links")
@public
@limited(Limit.AUTH)
@repeatable
@blp.arguments(MagicLinkRequestSchema)
@blp.response(202, AcceptedSchema)
def request_magic_link(body: dict[str, Any]) -> Response:
    """Ask for a magic link by mail

    Where the address belongs to an account, a mail goes there with a token that works once, for 15 minutes. The answer
    is the same where it does not, and does not wait for the mail. Mails are counted per address of the client and per
    e-mail address.
    """
    charge(Limit.AUTH, f"mail:{service.account_counter(**body)}", cost=1)
    service.request_magic_link(body["email"])
    return json_response({"message": "If the address belongs to an account, a mail is on its way."}, 202)


@blp.post("/tenants/<slug>/auth/magic-links/redeem")
@public
@limited(Limit.SESSION)
@raises(service.InvalidMagicLink)
@repeatable
@blp.arguments(MagicLinkSchema)
@blp.response(200, SignedInSchema)
def redeem_magic_link(body: dict[str, Any]) -> Response:
    """Sign in with a magic link

    Takes the token from the mail. Where the account was made by registration and its address had not been shown to be
    the person's, this shows it, and a password that was set before is gone.
    """
    return _signed_in(service.redeem_magic_link(body["token"]))


@blp.post("/tenants/<slug>/auth/oidc")
@public
@limited(Limit.AUTH)
@raises(service.InvalidIdToken, service.InvalidCredentials, service.IssuerUnavailable)
@repeatable
@blp.arguments(IdTokenSchema)
@blp.response(200, SignedInSchema)
def exchange_id_token(body: dict[str, Any]) -> Response:
    """Sign in with an ID token

    Of Google, Firebase, or any other OpenID Connect issuer that the service is set up for. The account is found by the
    verified e-mail address; where there is none, and the tenant has set `self_registration`, the person becomes a
    reader.
    """
    return _signed_in(service.exchange_id_token(**body, may_register=g.tenant.self_registration))


@blp.post("/tenants/<slug>/auth/join")
@public
@limited(Limit.SESSION)
@raises(members.InvalidJoinCode, members.GroupFull)
# So the tokens are kept for a day, if sealed under the client's own key: a second student would be worse.
@idempotent
@blp.arguments(JoinSchema)
@blp.response(201, SignedInSchema)
def join(body: dict[str, Any]) -> Response:
    """Join a class

    Makes a student with a username in the group that has this join code, and signs them in. A whole class comes from
    one address, so that is counted by `session` alone, which has room for it. With an `Idempotency-Key`, a repeated
    request makes no second student.
    """
    found = service.join(**body)
    location = url_for("members.show_user", slug=g.tenant.slug, user_id=found.user_id)
    return _signed_in(found, 201, {"Location": location})


def _signed_in(found: service.SignedIn, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    shown = found.shown(people.shown_to_themselves(found.user_id))
    return json_response(shown, status, {**(headers or {}), "Cache-Control": "no-store"})


@blp.get("/tenants/<slug>/auth/me")
@signed_in
@blp.response(200, MeSchema)
def show_me() -> Response:
    """Show who the credential belongs to and what it may do

    For a first call with a new key or token. `permissions` are those of the role, narrowed by the scopes, if there are
    any; `profile` is what is known of a person.
    """
    actor = current_actor()
    profile = None
    if actor.kind is ActorKind.USER and actor.tenant_id:
        # Those who run the service may ask at any tenant's address.
        with tenant(actor.tenant_id):
            profile = people.visible_user(actor.id)
    return json_response(
        {
            "kind": actor.kind,
            "id": actor.id,
            "name": profile["name"] if profile else actor.name,
            "role": actor.role,
            "permissions": sorted(actor.permissions),
            "expires_at": actor.expires_at,
            "profile": profile,
        }
    )


# — service accounts ———————————————————————————————————————————————————————————————————————————————


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
