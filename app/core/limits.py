"""How many calls are allowed: the named limits, what each is counted by, and what the client is told.

Flask-Limiter holds the storage and the strategy. The strategy is ours, registered with `limits`, because it answers for
all limits of a request in one round trip (`core/admission.py`); Flask-Limiter's own decorators would take one each.
With Redis away, reads are counted in each process's memory; limits that guard sign-in stay closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from flask import Flask, current_app, g
from limits import RateLimitItem
from limits.storage import RedisStorage, Storage
from limits.strategies import STRATEGIES, RateLimiter
from limits.util import WindowStats

from app.core.admission import Admission, Gate, RedisAway, Window, WindowState
from app.core.errors import DomainError, Unavailable
from app.extensions import limiter
from app.settings import Rate, Settings

_View = TypeVar("_View", bound=Callable[..., Any])
STRATEGY = "sliding-window"
WHOLE_SECOND_US = 1_000_000


_KEPT_WINDOWS = 20_000
# What a provider gives to one client at least (RFC 6177).
_IPV6, _CLIENT_BITS = 6, 64


class Limit(StrEnum):
    """The policies, under the names that clients see."""

    API = "api"
    INGESTION = "ingestion"
    AUTH = "auth"
    SESSION = "session"
    CATALOGUE_READ = "catalogue_read"
    INVENTORY_WRITE = "inventory_write"
    INVENTORY_READ = "inventory_read"


# These are counted for the whole tenant, of strangers for each address; the others for each principal, or address where
# nobody is signed in.
TENANT_LIMITS = frozenset({Limit.API, Limit.INGESTION})
# A tenant's own number is one by the minute or the hour, as its name says, whatever the default's window.
OWN_WINDOW_SECONDS = {Limit.API: 60, Limit.INGESTION: 3600}
CLOSED_WITHOUT_REDIS = frozenset({Limit.AUTH, Limit.SESSION})


class RateLimited(DomainError):
    """A limit is used up; `Retry-After` says for how long."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"

    def __init__(self, admission: Admission) -> None:
        """Name the policy that refuses and the pause it asks for."""
        state = admission.refused or admission.states[0]
        self.states = admission.states
        self.generations = admission.generations
        window, wait = state.window, seconds(state.wait_us)
        super().__init__(
            f"The limit '{window.policy}' of {window.limit} in {window.window_seconds} s is used up; "
            f"try again in {wait} s.",
            headers={"Retry-After": str(wait)},
        )


class LimitUnavailable(Unavailable):
    """The limits can't be read at the moment, and this is not answered without them."""

    code = "limit_unavailable"


class SlidingWindow(RateLimiter):
    """The strategy behind Flask-Limiter: exact sliding windows in Redis, all limits of a request at once."""

    def __init__(self, storage: Storage) -> None:
        """Work on the Redis client of `storage`."""
        super().__init__(storage)
        if not isinstance(storage, RedisStorage):
            raise TypeError("This strategy counts in Redis; set REDIS_URL.")
        # Set with the app's settings, over the app's own client.
        self.gate: Gate

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Count a hit; False when it is refused."""
        return self.gate.ask([_window_of(item, identifiers, cost)]).refused is None

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """True when a hit of `cost` would be accepted."""
        return self.gate.ask([_window_of(item, identifiers, 0)]).states[0].remaining >= cost

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When one more hit fits (epoch seconds), and how many fit at once."""
        state = self.gate.ask([_window_of(item, identifiers, 0)]).states[0]
        return WindowStats(time.time() + state.wait_us / WHOLE_SECOND_US, state.remaining)


STRATEGIES[STRATEGY] = SlidingWindow  # type: ignore[assignment]  # typed as the built-in ones; any RateLimiter will do


def _window_of(item: RateLimitItem, identifiers: Sequence[str], cost: int) -> Window:
    return Window("other", item.key_for(*identifiers), item.amount, item.get_expiry(), cost)


def init_app(app: Flask, settings: Settings) -> None:
    """Bind Flask-Limiter to Redis with the strategy above and keep the configured rates."""
    app.config.update(
        RATELIMIT_STORAGE_URI=settings.limits_storage_url,
        RATELIMIT_STRATEGY=STRATEGY,
        RATELIMIT_STORAGE_OPTIONS={"socket_connect_timeout": 0.25, "socket_timeout": 0.25},
    )
    limiter.init_app(app)
    # Its own checks around each request go: the pipeline asks the strategy, once for all limits of the request.
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        _remove_limiters_own(hooks)
    gate = Gate(app.extensions["redis"], processes=settings.web_processes)
    if isinstance(limiter.limiter, SlidingWindow):
        limiter.limiter.gate = gate
    rates = {
        Limit.API: settings.api_rate,
        Limit.INGESTION: settings.ingestion_rate,
        Limit.AUTH: settings.auth_rate,
        Limit.SESSION: settings.session_rate,
        Limit.CATALOGUE_READ: settings.catalogue_rate,
        Limit.INVENTORY_WRITE: settings.inventory_write_rate,
        Limit.INVENTORY_READ: settings.inventory_read_rate,
    }
    app.extensions["limits"] = Limits(gate=gate, rates=rates)


def _remove_limiters_own(hooks: dict[Any, list[Any]]) -> None:
    hooks[None] = [hook for hook in hooks[None] if getattr(hook, "__self__", None) is not limiter]


class Limits:
    """The configured rates, and the gate that counts against them."""

    def __init__(self, *, gate: Gate, rates: Mapping[Limit, Rate]) -> None:
        """Keep both; windows are the same for all requests of a caller, so the latest callers' are kept."""
        self.gate = gate
        self.rates = rates
        self.window = lru_cache(maxsize=_KEPT_WINDOWS)(self._window)

    def _window(self, limit: Limit, counted_by: str, *, size: int | None = None, cost: int = 1) -> Window:
        """A limit for one counter; `size` is the tenant's own number where it has one."""
        rate = Rate(size, OWN_WINDOW_SECONDS[limit]) if size else self.rates[limit]
        return Window(
            policy=limit.value,
            key=f"limit:{STRATEGY}:{limit.value}:{counted_by}",
            limit=rate.limit,
            window_seconds=rate.window_seconds,
            cost=cost,
            closed_without_redis=limit in CLOSED_WITHOUT_REDIS,
        )

    def admit(self, windows: Sequence[Window], **cache: Any) -> Admission:
        """Count the request against `windows` and fetch what the cache has, all at once.

        Raises:
            RateLimited: one of the windows is full; nothing was counted.
            LimitUnavailable: Redis is away and one of the windows must not be guessed.
        """
        try:
            admission = self.gate.ask(windows, **cache)
        except RedisAway as error:
            if any(each.closed_without_redis for each in windows):
                raise LimitUnavailable("This is closed while its limit can't be checked; try again shortly.") from error
            admission = self.gate.count_alone(windows)
        if admission.refused:
            raise RateLimited(admission)
        return admission


def limits() -> Limits:
    """The limits of the current app."""
    found: Limits = current_app.extensions["limits"]
    return found


def limited(*limits: Limit) -> Callable[[_View], _View]:
    """Mark a view with the limits it counts against, beside `api`, which covers every call of a tenant."""

    def mark(view: _View) -> _View:
        view.limits = limits  # type: ignore[attr-defined]  # functions carry attributes; wraps() hands them on
        return view

    return mark


def uncounted(view: _View) -> _View:
    """Mark a view that counts against nothing: asking how much is left."""
    view.uncounted = True  # type: ignore[attr-defined]  # functions carry attributes; wraps() hands them on
    return view


def charge(limit: Limit, counted_by: str, *, size: int | None = None, cost: int) -> None:
    """Count a hit whose cost only the body tells.

    Raises:
        RateLimited: it does not fit; nothing was counted.
    """
    asked = limits().window(limit, counted_by, size=size, cost=cost)
    try:
        admission = limits().admit([asked])
    except RateLimited as full:
        g.limit_states = (*g.get("limit_states", ()), *full.states)
        raise
    g.limit_states = (*g.get("limit_states", ()), *admission.states)


@lru_cache(maxsize=_KEPT_WINDOWS)
def address_counter(address: str) -> str:
    """What a stranger's calls are counted by: the address, or of IPv6 the network, where all are one client's."""
    try:
        known = ip_address(address)
    except ValueError:
        return f"address:{address}"
    return f"address:{ip_network((known, _CLIENT_BITS), strict=False) if known.version == _IPV6 else known}"


def seconds(wait_us: int) -> int:
    """Microseconds as whole seconds, rounded up: a client that waits so long is not refused again."""
    return max(1, -(-wait_us // WHOLE_SECOND_US))


def describe(states: Sequence[WindowState]) -> list[tuple[str, str]]:
    """The limit headers: every policy, and the state of the tightest one (draft-ietf-httpapi-ratelimit-headers)."""
    if not states:
        return []
    tightest = min(states, key=lambda state: state.remaining / state.window.limit)
    wait = seconds(tightest.wait_us)
    return [
        ("RateLimit-Policy", ", ".join([_policy(each.window) for each in states])),
        ("RateLimit", f'"{tightest.window.policy}";r={tightest.remaining};t={wait}'),
        ("X-RateLimit-Limit", str(tightest.window.limit)),
        ("X-RateLimit-Remaining", str(tightest.remaining)),
        ("X-RateLimit-Reset", str(int(time.time()) + wait)),
    ]


@lru_cache(maxsize=_KEPT_WINDOWS)
def _policy(window: Window) -> str:
    return f'"{window.policy}";q={window.limit};w={window.window_seconds}'
