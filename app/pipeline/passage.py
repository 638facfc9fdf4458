"""One request's way in: identity, tenant, permission, limits, cache.

Who a credential belongs to and what a slug means are kept in each process. Redis says with every request whether that
is still the newest state (the `access` generation of the tenant), so a revoked key stops working at once in all
processes; with Redis away, what is kept counts for a second.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import urandom
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError

from app.auth import service as auth
from app.core.admission import Admission, Window, WindowState
from app.core.cache import Cached, Generation, address_digest, answer_key, generation_etag, generation_key
from app.core.errors import DomainError, Forbidden, NotFound, Unauthenticated
from app.core.limits import TENANT_LIMITS, Limit, Limits, RateLimited, address_counter, describe
from app.core.metrics import count_request
from app.core.security import Access, Actor, Permission
from app.tenants.queries import TenantSummary, tenant_summary

log = logging.getLogger("request")
_Kept = TypeVar("_Kept")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_QUOTED = re.compile(r'"([^"]*)"')
# What is kept is asked anew after this time in any case; it also bounds how late the last use of a key is noted.
_KEPT_SECONDS = 60.0
_KEPT_WITHOUT_REDIS_SECONDS = 1.0
_KEPT_ENTRIES = 10_000
# Who repeats a refused credential, such as a program whose key was revoked, costs PostgreSQL nothing for as long.
_REFUSED_SECONDS = 5.0
# A page of fifty books seldom has 100 kB. Larger ones are for whoever takes a list home; kept under every filter that
# anybody thinks of, they would drive everything else out of Redis. Their ETags hold all the same.
_MOST_KEPT_BYTES = 128 * 1024
_NO_CREDENTIAL = "Send a key or an access token: `Authorization: Bearer …`."
_HSTS = "max-age=31536000; includeSubDomains"


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_Kept]):
    value: _Kept
    generation: str
    loaded_at: float


class _KeptEntries(Generic[_Kept]):
    """What a process keeps under a key, for some time, and for as long as its generation has not moved."""

    def __init__(self, *, seconds: float = _KEPT_SECONDS) -> None:
        self._seconds = seconds
        self._entries: dict[Any, _Entry[_Kept]] = {}

    def get(self, key: Any) -> _Entry[_Kept] | None:
        entry = self._entries.get(key)
        return entry if entry and time.monotonic() - entry.loaded_at < self._seconds else None

    def put(self, key: Any, value: _Kept, generation: str) -> _Entry[_Kept]:
        if len(self._entries) >= _KEPT_ENTRIES:
            self._entries.clear()
        self._entries[key] = entry = _Entry(value, generation, time.monotonic())
        return entry

    def drop(self, key: Any) -> None:
        self._entries.pop(key, None)


class Guard:
    """What all passages of a process share."""

    def __init__(self, *, limits: Limits, redis: Redis, insists_on_https: bool) -> None:
        """Begin with nothing kept."""
        self.limits = limits
        self.insists_on_https = insists_on_https
        self.actors = _KeptEntries[Actor]()
        # Apart from those that are valid, so that invented ones drive none of these out.
        self.refused = _KeptEntries[None](seconds=_REFUSED_SECONDS)
        self.tenants = _KeptEntries[TenantSummary]()
        self._redis = redis

    def current_generations(self, tenant_ids: Sequence[UUID]) -> list[str]:
        """The `access` generation of each tenant, "" for one that has none; empty where Redis is away."""
        if not tenant_ids:
            return []
        try:
            found = self._redis.mget([generation_key(each, Generation.ACCESS) for each in tenant_ids])
        except RedisError:
            return []
        return [value.decode() if value else "" for value in cast("list[bytes | None]", found)]

    def current_generation(self, tenant_id: UUID) -> str:
        """The same for one tenant; "" also where Redis is away."""
        return next(iter(self.current_generations([tenant_id])), "")

    def headers(self, request_id: str, states: Sequence[WindowState], *, is_private: bool) -> list[tuple[str, str]]:
        """The headers that every answer carries."""
        headers = [
            ("X-Request-ID", request_id),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ]
        if is_private:
            headers.append(("Cache-Control", "private, no-cache"))
        if self.insists_on_https:
            headers.append(("Strict-Transport-Security", _HSTS))
        headers += describe(states)
        return headers


def request_id_of(environ: Mapping[str, Any]) -> str:
    """The caller's own request id where it is one, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else urandom(16).hex()


def log_request(*, method: str, route: str, status: int, seconds: float, **ids: str) -> None:
    """The one line of a request, and its count; by the route, for the address may tell what somebody looked for."""
    if log.isEnabledFor(logging.INFO):
        fields = {"method": method, "route": route, "status": status, "milliseconds": round(seconds * 1000, 2), **ids}
        # Made by hand: to find out the calling line, as `log.info` does, takes longer than all the rest.
        named = {"name": log.name, "levelno": logging.INFO, "levelname": "INFO", "msg": "request.finished"}
        log.handle(logging.makeLogRecord(named | fields))
    count_request(method=method, route=route, status=status, seconds=seconds)


class Passage:
    """One request on its way in; `admit` lets it through or raises."""

    def __init__(self, guard: Guard, view: Callable[..., Any], slug: str | None, environ: Mapping[str, Any]) -> None:
        """Take the view that is asked for, with its marks, and the tenant's slug in the address, if there is one."""
        self._guard = guard
        self._view = view
        self._slug = slug
        self._environ = environ
        self._access: Access = view.access  # type: ignore[attr-defined]  # whoever makes a passage has looked
        self._credential = ""
        self._credential_key = b""
        self._actor: _Entry[Actor] | None = None
        self._tenant: _Entry[TenantSummary] | None = None
        self.cached: Cached | None = getattr(view, "cached", None)
        self.admission: Admission | None = None
        self.is_settled = False
        self._known_generation = ""

    @property
    def actor(self) -> Actor | None:
        """Who is asking."""
        return self._actor.value if self._actor else None

    @property
    def tenant(self) -> TenantSummary | None:
        """The tenant in the address."""
        return self._tenant.value if self._tenant else None

    @property
    def tenant_id(self) -> UUID | None:
        """The tenant the work is done in: the address's, else the caller's own."""
        if self._tenant:
            return self._tenant.value.id
        return self._actor.value.tenant_id if self._actor else None

    @property
    def query_string(self) -> str:
        """The query as it was sent."""
        return str(self._environ.get("QUERY_STRING", ""))

    @property
    def address(self) -> str:
        """The address asked for, query included: what a cached answer is kept under."""
        return f"{self._environ.get('PATH_INFO', '')}?{self.query_string}"

    def admit(self) -> None:
        """Let the request through, loading whatever is not kept.

        Raises:
            Unauthenticated, NotFound, Forbidden, RateLimited, LimitUnavailable: as the contract says.
        """
        if self.admission is None:
            self._identify()
            self._authorise_by_newest()
            self._count_by_newest()
        if self.forget_outdated(self._counted().generations):
            self._identify()
            self._authorise()
        self.is_settled = True

    def admit_kept(self) -> bool:
        """The same with what is kept alone; False where the database has to be asked, and `admit` must go on."""
        self._read_credential()
        self._actor = self._guard.actors.get(self._credential_key)
        self._tenant = self._guard.tenants.get(self._slug)
        if self._actor is None or self._tenant is None:
            return False
        self._authorise()
        self._count()
        self.is_settled = not self.forget_outdated(self._counted().generations)
        return self.is_settled

    def may_go_on(self) -> bool:
        """True while the same request would still be let through; for answers that last, asked now and then."""
        try:
            self.check_again()
        except DomainError:
            return False
        return True

    def check_again(self) -> None:
        """Make sure that the request, admitted some time ago, would still be let through.

        Raises:
            Unauthenticated, NotFound, Forbidden: it would not.
        """
        self.forget_outdated(self._guard.current_generations(self._access_tenants()))
        self._identify()
        self._authorise()

    def client_has(self, generation: str) -> bool:
        """True when the client's `If-None-Match` names this address in this generation."""
        return bool(self._known_generation) and self._known_generation == generation

    def keep(self, body: bytes) -> str:
        """Keep the view's answer for whoever asks the same; its ETag."""
        if self.cached is None or self.tenant is None:
            raise ValueError("Only answers of views marked as cached are kept.")
        generation, address = self._counted().generations[-1], self.address
        # Pages further on are seldom asked for twice; a client that reads a whole list must not fill Redis with it.
        if "cursor=" not in address and len(body) <= _MOST_KEPT_BYTES:
            key = answer_key(self.tenant.id, address)
            self._guard.limits.gate.keep(key, generation=generation, body=body, seconds=self.cached.seconds)
        return generation_etag(generation, address)

    def _read_credential(self) -> None:
        scheme, _, token = self._environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme and (scheme.lower() != "bearer" or not token.strip()):
            raise Unauthenticated("The Authorization header must read `Bearer <token>`.")
        self._credential = token.strip() if scheme else self._environ.get("HTTP_X_API_KEY", "").strip()
        self._credential_key = hashlib.sha256(self._credential.encode("utf-8", "replace")).digest()

    def _identify(self) -> None:
        # What is public is open to whoever sends an outdated credential along, too: to sign in, most of all.
        if not self._access.is_public:
            self._read_credential()
        if self._credential:
            self._actor = self._guard.actors.get(self._credential_key) or self._load_actor()
        elif not (self._access.is_public or self._access.opened_by):
            raise Unauthenticated(_NO_CREDENTIAL)
        if self._slug is not None:
            self._tenant = self._guard.tenants.get(self._slug) or self._load_tenant(self._slug)

    def _load_actor(self) -> _Entry[Actor]:
        # The generation is read before the row, so that a change in between is noticed by the next request.
        tenant_id = auth.tenant_of(self._credential)
        generations = self._guard.current_generations([tenant_id] if tenant_id else [])
        refused = self._guard.refused.get(self._credential_key)
        if refused is None or generations != [refused.generation]:
            actor = auth.authenticate(self._credential)
            if actor is not None:
                return self._guard.actors.put(self._credential_key, actor, "".join(generations))
            if generations:  # else Redis is away, and nothing would tell when it becomes valid
                self._guard.refused.put(self._credential_key, None, generations[0])
        raise Unauthenticated("This credential is not valid: it is malformed, unknown, expired or revoked.")

    def _load_tenant(self, slug: str) -> _Entry[TenantSummary] | None:
        found = tenant_summary(slug)
        if found is None:
            return None
        generation = self._guard.current_generation(found.id)
        # Read once more now that the generation is known; a tenant is looked up once a minute, so this costs nothing.
        return self._guard.tenants.put(slug, tenant_summary(slug) or found, generation)

    def _authorise(self) -> None:
        actor = self.actor
        if actor and actor.has_expired:
            raise Unauthenticated("This credential has expired.")
        if self._slug is not None:
            self._check_tenant(actor)
        permission = self._access.permission
        if permission is None:
            return
        if actor is None:
            self._check_opened()
        elif not actor.may(permission):
            raise Forbidden(f"Your role does not allow this; it takes the permission '{permission}'.")

    def _authorise_by_newest(self) -> None:
        """Let what is kept only ever open the door: before it refuses, the newest state is looked up."""
        try:
            self._authorise()
        except DomainError:
            if not self.forget_outdated(self._guard.current_generations(self._access_tenants())):
                raise
            self._identify()
            self._authorise()

    def _check_opened(self) -> None:
        """Refuse strangers unless the tenant has opened this to them."""
        opened_by = self._access.opened_by
        if not (opened_by and self.tenant and getattr(self.tenant, opened_by)):
            raise Unauthenticated(_NO_CREDENTIAL)

    def _check_tenant(self, actor: Actor | None) -> None:
        found = self.tenant
        runs_the_service = actor is not None and actor.may(Permission.TENANTS_MANAGE)
        is_member = found is not None and actor is not None and actor.tenant_id == found.id
        is_open = found is not None and found.is_active and actor is None
        if found is None or not (is_member or runs_the_service or is_open):
            raise NotFound("There is no such tenant.")

    def _count(self) -> None:
        generations = [generation_key(tenant_id, Generation.ACCESS) for tenant_id in self._access_tenants()]
        if self.cached is None or self._tenant is None:
            self.admission = self._guard.limits.admit(self._windows(), generation_keys=generations)
            return
        tenant_id, address = self._tenant.value.id, self.address
        self._known_generation = self._generation_in_etag(address)
        self.admission = self._guard.limits.admit(
            self._windows(),
            generation_keys=[*generations, generation_key(tenant_id, self.cached.generation)],
            cache_key=answer_key(tenant_id, address),
            known_generation=self._known_generation,
        )

    def _count_by_newest(self) -> None:
        """Count; where a limit refuses, make sure that it is still the tenant's."""
        try:
            self._count()
        except RateLimited as full:
            if not self.forget_outdated(full.generations):
                raise
            self._identify()
            self._authorise()
            self._count()

    def _windows(self) -> list[Window]:
        if getattr(self._view, "uncounted", False):
            return []
        actor, tenant_id, limits = self.actor, self.tenant_id, self._guard.limits
        windows = []
        size = self._tenant.value.api_requests_per_minute if self._tenant else None
        if actor and (self._tenant is None or actor.tenant_id != tenant_id):
            # Those who run the service are counted at home: a tenant at its limit can't keep them out.
            tenant_id, size = actor.tenant_id, actor.api_requests_per_minute
        counted_by = actor.principal if actor else address_counter(self._environ.get("REMOTE_ADDR", ""))
        own = [limit for limit in getattr(self._view, "limits", ()) if limit not in TENANT_LIMITS]
        # Strangers can't use up what the tenant's own people have: they count for themselves, where nothing else does.
        if tenant_id is not None and (actor or not own):
            windows.append(
                limits.window(Limit.API, str(tenant_id) if actor else f"{tenant_id}:{counted_by}", size=size)
            )
        return windows + [limits.window(limit, counted_by) for limit in own]

    def _access_tenants(self) -> list[UUID]:
        """Whose `access` generation decides: the caller's tenant's, then the address's."""
        actor, summary = self.actor, self.tenant
        tenant_ids = [actor.tenant_id] if actor and actor.tenant_id else []
        return [*tenant_ids, summary.id] if summary and summary.id not in tenant_ids else tenant_ids

    def _generation_in_etag(self, address: str) -> str:
        """The generation in the client's `If-None-Match`, where that is an ETag of this very address."""
        given = self._environ.get("HTTP_IF_NONE_MATCH")
        if given:
            digest = address_digest(address)
            for etag in _QUOTED.findall(given):
                generation, _, rest = etag.partition(".")
                if rest == digest:
                    return str(generation)
        return ""

    def _counted(self) -> Admission:
        assert self.admission is not None  # noqa: S101 - for the type checker: counted just before
        return self.admission

    def forget_outdated(self, generations: Sequence[str]) -> bool:
        """Forget what is no longer the newest state; True when there was any."""
        # What follows the access generations, if anything, is the cached answer's.
        newest = dict(zip(self._access_tenants(), generations, strict=False))
        was_outdated = False
        if self._actor and not self._is_fresh(self._actor, newest.get(cast("UUID", self._actor.value.tenant_id))):
            self._guard.actors.drop(self._credential_key)
            was_outdated = True
        if self._tenant and not self._is_fresh(self._tenant, newest.get(self._tenant.value.id)):
            self._guard.tenants.drop(self._slug)
            was_outdated = True
        return was_outdated

    @staticmethod
    def _is_fresh(entry: _Entry[Any], newest: str | None) -> bool:
        if newest is None:  # Redis is away
            return time.monotonic() - entry.loaded_at < _KEPT_WITHOUT_REDIS_SECONDS
        return entry.generation == newest
