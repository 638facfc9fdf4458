"""What happens around every request, in order.

request id → who is asking → which tenant → may they → limits and cache (one round trip to Redis) → the view → headers
and the log line. A view runs only when its mark (`requires`, `signed_in`, `public`) lets the caller through; an endpoint
without a mark answers nobody.

Who a credential belongs to and what a slug means are kept in each process. Redis says with every request whether that is
still the newest state (the `access` generation of the tenant), so a revoked key stops working at once in all processes;
with Redis away, what is kept counts for a second.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from flask import Flask, Response, current_app, g, request
from redis.exceptions import RedisError
from werkzeug.exceptions import NotFound as NoRoute
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.utils import redirect

from app.auth import service as auth
from app.core.admission import Admission, Window
from app.core.cache import (
    Cached,
    Generation,
    answer_key,
    generation_etag,
    generation_key,
    keep_answer,
    make_conditional,
    not_modified,
)
from app.core.errors import Forbidden, NotFound, Unauthenticated
from app.core.limits import TENANT_LIMITS, Limit, admit, describe, window
from app.core.logging import fresh_log_context, set_log_context
from app.core.security import Access, Actor, Permission
from app.core.tenancy import tenant
from app.extensions import redis
from app.settings import Settings
from app.tenants.queries import TenantSummary, tenant_summary

log = logging.getLogger("request")
_Kept = TypeVar("_Kept")

MAX_BODY_BYTES = 16 * 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
# What is kept is asked anew after this time in any case; it also bounds how late the last use of a key is noted.
_KEPT_SECONDS = 60.0
_KEPT_WITHOUT_REDIS_SECONDS = 1.0
_KEPT_ENTRIES = 10_000


def init_app(app: Flask, settings: Settings) -> None:
    """Put the steps around every request of `app`."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    app.extensions["kept_actors"] = _KeptEntries[Actor]()
    app.extensions["kept_tenants"] = _KeptEntries[TenantSummary]()
    app.before_request(_begin)
    if settings.force_https:
        app.before_request(_insist_on_https)
    app.before_request(_admit)
    app.after_request(_finish)
    app.teardown_request(_end)


# — before the view ———————————————————————————————————————————————————————————————————————————————


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    g.started = time.perf_counter()
    g.around = ExitStack()
    g.around.enter_context(fresh_log_context(request_id=g.request_id))
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge(f"A body has at most {MAX_BODY_BYTES} bytes.")
    if "\0" in request.path:
        raise NoRoute


def _insist_on_https() -> Any:
    if request.is_secure or request.path.startswith("/health"):
        return None
    return redirect(request.url.replace("http://", "https://", 1), code=308)


def _admit() -> Response | None:
    if request.routing_exception is not None or request.endpoint is None or request.method == "OPTIONS":
        return None  # Flask answers 404, 405 and OPTIONS itself
    view = current_app.view_functions[request.endpoint]
    access: Access | None = getattr(view, "access", None)
    if access is None:
        raise NotFound("There is nothing at this address.")
    slug = (request.view_args or {}).pop("slug", None)
    if access.is_public and slug is None:
        return None
    return _Caller(view, access, slug).admit()


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_Kept]):
    value: _Kept
    generation: str
    loaded_at: float


class _KeptEntries(Generic[_Kept]):
    """What a process keeps under a key for as long as its generation has not moved."""

    def __init__(self) -> None:
        self._entries: dict[Any, _Entry[_Kept]] = {}

    def get(self, key: Any) -> _Entry[_Kept] | None:
        entry = self._entries.get(key)
        return entry if entry and time.monotonic() - entry.loaded_at < _KEPT_SECONDS else None

    def put(self, key: Any, value: _Kept, generation: str) -> _Entry[_Kept]:
        if len(self._entries) >= _KEPT_ENTRIES:
            self._entries.clear()
        self._entries[key] = entry = _Entry(value, generation, time.monotonic())
        return entry

    def drop(self, key: Any) -> None:
        self._entries.pop(key, None)


class _Caller:
    """One request's way through identity, tenant, permission, limits and cache."""

    def __init__(self, view: Callable[..., Any], access: Access, slug: str | None) -> None:
        self._view = view
        self._access = access
        self._slug = slug
        self._credential = _credential()
        self._credential_key = hashlib.sha256(self._credential.encode("utf-8", "replace")).digest()
        self._actor: _Entry[Actor] | None = None
        self._tenant: _Entry[TenantSummary] | None = None

    def admit(self) -> Response | None:
        """Let the request through, or answer it from the cache.

        Raises:
            Unauthenticated, NotFound, Forbidden, RateLimited: as the contract says.
        """
        self._identify()
        self._authorise()
        cached: Cached | None = getattr(self._view, "cached", None)
        admission = self._count(cached)
        if self._is_outdated(admission):
            self._identify()
            self._authorise()
        self._enter()
        return _from_cache(cached, admission) if cached else None

    def _identify(self) -> None:
        if not self._credential and not self._access.is_public:
            raise Unauthenticated("Send a key or an access token: `Authorization: Bearer …`.")
        actors: _KeptEntries[Actor] = current_app.extensions["kept_actors"]
        if self._credential:
            self._actor = actors.get(self._credential_key) or _load_actor(actors, self._credential, self._credential_key)
        if self._slug is not None:
            tenants: _KeptEntries[TenantSummary] = current_app.extensions["kept_tenants"]
            self._tenant = tenants.get(self._slug) or _load_tenant(tenants, self._slug)

    def _authorise(self) -> None:
        actor = self._actor.value if self._actor else None
        if self._slug is not None:
            self._check_tenant(actor)
        permission = self._access.permission
        if permission and not (actor and actor.may(permission)):
            raise Forbidden(f"Your role does not allow this; it takes the permission '{permission}'.")

    def _check_tenant(self, actor: Actor | None) -> None:
        runs_the_service = actor is not None and actor.may(Permission.TENANTS_MANAGE)
        found = self._tenant.value if self._tenant else None
        is_member = found is not None and actor is not None and actor.tenant_id == found.id
        is_open = found is not None and found.is_active and self._access.is_public
        if found is None or not (is_member or runs_the_service or is_open):
            raise NotFound("There is no such tenant.")

    def _count(self, cached: Cached | None) -> Admission:
        generations = [generation_key(tenant_id, Generation.ACCESS) for tenant_id in self._access_tenants()]
        if cached is None or self._tenant is None:
            return admit(self._windows(), generation_keys=generations)
        tenant_id, address = self._tenant.value.id, _address_asked()
        return admit(
            self._windows(),
            generation_keys=[*generations, generation_key(tenant_id, cached.generation)],
            cache_key=answer_key(tenant_id, address),
            known_generation=_generation_known(address),
        )

    def _windows(self) -> list[Window]:
        if getattr(self._view, "uncounted", False):
            return []
        actor = self._actor.value if self._actor else None
        summary = self._tenant.value if self._tenant else None
        tenant_id = summary.id if summary else actor.tenant_id if actor else None
        counted_by = actor.principal if actor else f"address:{request.remote_addr}"
        windows = []
        if tenant_id is not None:
            size = summary.api_requests_per_minute if summary else None
            windows.append(window(Limit.API, str(tenant_id), size=size))
        windows += [
            window(limit, counted_by) for limit in getattr(self._view, "limits", ()) if limit not in TENANT_LIMITS
        ]
        return windows

    def _access_tenants(self) -> list[UUID]:
        tenant_ids = [self._actor.value.tenant_id if self._actor else None, self._tenant and self._tenant.value.id]
        return [tenant_id for tenant_id in tenant_ids if tenant_id is not None]

    def _is_outdated(self, admission: Admission) -> bool:
        """Forget what is no longer the newest state; True when there was any."""
        now = time.monotonic()
        entries = [entry for entry in (self._actor, self._tenant) if entry is not None]
        newest = admission.generations or [""] * len(entries)
        outdated = False
        for entry, generation in zip(entries, newest, strict=False):
            fresh = (
                entry.generation == generation
                if admission.generations
                else now - entry.loaded_at < _KEPT_WITHOUT_REDIS_SECONDS
            )
            if not fresh:
                outdated = True
                kept = "kept_actors" if entry is self._actor else "kept_tenants"
                current_app.extensions[kept].drop(self._credential_key if entry is self._actor else self._slug)
        return outdated

    def _enter(self) -> None:
        actor = self._actor.value if self._actor else None
        g.actor = actor
        if actor:
            set_log_context(principal=actor.principal)
        tenant_id = self._tenant.value.id if self._tenant else actor.tenant_id if actor else None
        g.tenant = self._tenant.value if self._tenant else None
        if tenant_id is not None:
            set_log_context(tenant_id=str(tenant_id))
            g.around.enter_context(tenant(tenant_id))


def _credential() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The Authorization header must read `Bearer <token>`.")
        return token.strip()
    return request.headers.get("X-API-Key", "").strip()


def _load_actor(kept: _KeptEntries[Actor], credential: str, credential_key: bytes) -> _Entry[Actor]:
    # The generation is read before the row, so that a change in between is noticed by the next request.
    tenant_id = auth.tenant_of(credential)
    generation = _current_generation(tenant_id) if tenant_id else ""
    actor = auth.authenticate(credential)
    if actor is None:
        log.info("credential.refused")
        raise Unauthenticated("This credential is not valid: it is malformed, unknown, expired or revoked.")
    return kept.put(credential_key, actor, generation)


def _load_tenant(kept: _KeptEntries[TenantSummary], slug: str) -> _Entry[TenantSummary] | None:
    summary = tenant_summary(slug)
    if summary is None:
        return None
    generation = _current_generation(summary.id)
    # Read once more now that the generation is known; a tenant is looked up once a minute, so this costs nothing.
    return kept.put(slug, tenant_summary(slug) or summary, generation)


def _current_generation(tenant_id: UUID) -> str:
    try:
        value = redis.client.get(generation_key(tenant_id, Generation.ACCESS))
    except RedisError:
        return ""
    return value.decode() if isinstance(value, bytes) else ""


def _address_asked() -> str:
    return f"{request.path}?{request.query_string.decode('latin-1')}"


def _generation_known(address: str) -> str:
    """The generation in the client's `If-None-Match`, where that is an ETag of this very address."""
    for etag in request.if_none_match:
        generation = str(etag).partition(".")[0]
        if f'"{etag}"' == generation_etag(generation, address):
            return generation
    return ""


def _from_cache(cached: Cached, admission: Admission) -> Response | None:
    if not admission.generations:
        return None  # Redis is away
    generation, address = admission.generations[-1], _address_asked()
    etag = generation_etag(generation, address)
    if etag.strip('"') in request.if_none_match:
        return not_modified(etag)
    if admission.cached_body is not None:
        return Response(admission.cached_body, content_type="application/json", headers={"ETag": etag})
    g.keep = (cached, generation, address)
    return None


# — after the view ————————————————————————————————————————————————————————————————————————————————


def _finish(response: Response) -> Response:
    response = _keep(response) if "keep" in g else make_conditional(response)
    headers = response.headers
    headers["X-Request-ID"] = g.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    if g.get("actor"):
        headers["Cache-Control"] = "private, no-cache"
    elif "Cache-Control" not in headers and response.status_code >= 400:  # noqa: PLR2004
        headers["Cache-Control"] = "no-store"
    if current_app.config["FORCE_HTTPS"]:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    _allow_origin(response)
    describe(response, int(time.time()))
    _log_line(response)
    return response


def _keep(response: Response) -> Response:
    if response.status_code != 200:  # noqa: PLR2004
        return response
    cached, generation, address = g.keep
    keep_answer(
        answer_key(g.tenant.id, address), generation=generation, body=response.get_data(), seconds=cached.seconds
    )
    response.headers["ETag"] = generation_etag(generation, address)
    return response


def _allow_origin(response: Response) -> None:
    origin = request.headers.get("Origin")
    if origin and origin in current_app.config["CORS_ORIGINS"]:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers.add("Vary", "Origin")
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
            response.headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key, X-Request-ID"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        response.headers["Access-Control-Expose-Headers"] = (
            "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
        )


def _log_line(response: Response) -> None:
    route = request.url_rule.rule if request.url_rule else "(none)"
    fields = {
        "method": request.method,
        "route": route,
        "status": response.status_code,
        "milliseconds": round((time.perf_counter() - g.started) * 1000, 2),
    }
    if "error_code" in g:
        fields["code"] = g.error_code
    log.info("request.finished", extra=fields)


def _end(_: BaseException | None) -> None:
    around: ExitStack | None = g.pop("around", None)
    if around is not None:
        around.close()
