"""What is kept in Redis, for how long, and what empties it; and the ETags of every GET.

Kept are finished bytes and plain values, never ORM objects. What is kept belongs to a *generation* of its tenant: a
number that `touch` replaces after the commit of every write, so that nothing ever has to be searched for and deleted.
A reader fetches the generation before it asks the database, so an answer made of older rows can't be kept under a
newer number. Nothing that depends on the person goes in.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast
from uuid import UUID

import orjson
from flask import Response, g, make_response, request
from marshmallow import Schema
from redis.exceptions import RedisError
from sqlalchemy import text

from app.core.database import on_commit, transaction
from app.core.errors import PreconditionFailed
from app.core.limits import limits
from app.core.schemas import whole_body
from app.core.tenancy import current_tenant_id
from app.extensions import db, redis

log = logging.getLogger(__name__)
_View = TypeVar("_View", bound=Callable[..., Any])

# How long an answer may be stale if the process died between its commit and the new generation.
SECONDS_KEPT = 60
# Values that this process has met: the generation each belongs to, the value, and when it is forgotten.
_at_hand: dict[str, tuple[str, Any, float]] = {}
_NOTHING_AT_HAND = ("", None, 0.0)
_MOST_AT_HAND = 10_000


class Generation(StrEnum):
    """What changes together, per tenant."""

    ACCESS = "access"
    CATALOGUE = "catalogue"
    INVENTORY = "inventory"


@dataclass(frozen=True, slots=True)
class Cached:
    """The mark of a view whose answers are kept: under which generation, and for how many seconds."""

    generation: Generation
    seconds: int
    arguments: Schema | None


def cached(
    generation: Generation, *, arguments: type[Schema] | None = None, seconds: int = SECONDS_KEPT
) -> Callable[[_View], _View]:
    """Mark a GET whose answer is the same for all members of the tenant until `generation` moves.

    With `arguments`, the schema of its query, the view is asked before Flask begins: it must read those alone, and
    nothing of Flask's request.
    """

    def mark(view: _View) -> _View:
        known = Cached(generation, seconds, arguments() if arguments else None)
        view.cached = known  # type: ignore[attr-defined]  # wraps() hands it on
        return view

    return mark


@lru_cache(maxsize=20_000)
def generation_key(tenant_id: UUID, generation: Generation) -> str:
    """Where the generation's number stands."""
    return f"generation:{{{tenant_id}}}:{generation}"


def touch(generation: Generation, tenant_id: UUID | None = None) -> None:
    """Give the tenant a new generation once the present transaction has committed."""
    key, gate = generation_key(tenant_id or current_tenant_id(), generation), limits().gate
    on_commit(lambda: gate.move(key))


def answer_key(tenant_id: UUID, path_and_query: str) -> str:
    """Where the answer to a GET is kept."""
    return f"answer:{{{tenant_id}}}:{address_digest(path_and_query)}"


def remembered(name: str, generation: Generation, compute: Callable[[], Any], *, seconds: int = SECONDS_KEPT) -> Any:
    """A plain value (anything JSON holds) that is computed once for each generation of the tenant."""
    tenant_id = current_tenant_id()
    key = f"value:{{{tenant_id}}}:{_digest(name.encode())}"
    stamp, value, forgotten_at = _at_hand.get(key, _NOTHING_AT_HAND)
    if stamp == _generation_of_request(generation) and time.monotonic() < forgotten_at:
        return value
    stamp, value = _remembered_by_all(key, generation, compute, seconds=seconds)
    if stamp:
        if len(_at_hand) >= _MOST_AT_HAND:
            _at_hand.clear()
        _at_hand[key] = (stamp, value, time.monotonic() + seconds)
    return value


def note_generation(generation: Generation, number: str) -> None:
    """Tell what the present request has learned from Redis: values of this generation need not be asked for again."""
    g.generation = (generation, number)


def _generation_of_request(generation: Generation) -> str | None:
    noted, number = g.get("generation", (None, None))
    return number if noted is generation else None


def _remembered_by_all(
    key: str, generation: Generation, compute: Callable[[], Any], *, seconds: int
) -> tuple[str, Any]:
    """A value that all processes share, with its generation, which is empty where Redis knows none or is away."""
    tenant_id = current_tenant_id()
    try:
        current, kept = cast("list[bytes | None]", redis.client.mget(generation_key(tenant_id, generation), key))
    except RedisError:
        return "", compute()
    stamp, _, payload = (kept or b"").partition(b"\n")
    if current and stamp == current:
        return current.decode(), orjson.loads(payload)
    value = compute()
    if current:
        _keep_value(key, current, value, seconds)
    return (current or b"").decode(), value


def _keep_value(key: str, stamp: bytes, value: Any, seconds: int) -> None:
    try:
        redis.client.set(key, stamp + b"\n" + orjson.dumps(value), ex=seconds)
    except RedisError as error:
        log.warning("cache.keep_failed", extra={"error": type(error).__name__})


def uncached(view: _View) -> _View:
    """Let nobody keep the answers of a GET that is about this very moment; they have no ETag."""

    @wraps(view)
    def fresh(*args: Any, **kwargs: Any) -> Any:
        response = make_response(view(*args, **kwargs))
        response.headers["Cache-Control"] = "no-store"
        return response

    fresh.is_uncached = True  # type: ignore[attr-defined]  # the OpenAPI document says so
    return fresh  # type: ignore[return-value]  # wraps() keeps the view's own signature


def etag_of(body: bytes) -> str:
    """The strong ETag of an answer's bytes."""
    return f'"{_digest(body)}"'


def generation_etag(generation: str, path_and_query: str) -> str:
    """The strong ETag of an answer that is the same until its generation moves."""
    return f'"{generation}.{address_digest(path_and_query)}"'


@lru_cache(maxsize=10_000)
def address_digest(path_and_query: str) -> str:
    """What stands for an address in keys and ETags; the address itself may be long."""
    return _digest(path_and_query.encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def make_conditional(response: Response) -> Response:
    """Give a GET's answer its ETag, and turn it into a 304 where the client has it already."""
    if request.method not in {"GET", "HEAD"} or response.status_code != 200 or response.is_streamed:  # noqa: PLR2004
        return response
    if response.headers.get("Cache-Control") == "no-store":
        return response
    etag = response.headers.get("ETag") or etag_of(response.get_data())
    response.headers["ETag"] = etag
    # Weakly compared: proxies that compress make a strong ETag weak.
    return not_modified(etag) if request.if_none_match.contains_weak(etag.strip('"')) else response


def not_modified(etag: str) -> Response:
    """The empty 304."""
    response = Response(status=304, headers={"ETag": etag})
    del response.headers["Content-Type"]
    return response


def if_match(
    show: Callable[..., Any], *, shows_it: bool = True, hold: Callable[..., object] | None = None
) -> Callable[[_View], _View]:
    """Let a write of one object honour `If-Match`: refused unless `show`, its GET view, still gives that ETag.

    Writes of one address come one after the other, with `If-Match` or without, so that none of them slips in between
    the comparison and the write. What changes by other addresses as well is locked by `hold`, which is given what the
    view is. `shows_it` is False where a PATCH answers with something else than the object.

    Raises:
        PreconditionFailed: the object has changed since the client read it.
    """

    def wrap(view: _View) -> _View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            # Read before the lock is taken, so that a client that sends its body slowly holds nobody up.
            whole_body(request)
            with transaction():
                _lock_address()
                if hold is not None:
                    hold(**(request.view_args or {}))
                if "If-Match" in request.headers:
                    _compare(show(**(request.view_args or {})))
                response = make_response(view(*args, **kwargs))
                return _with_new_etag(response) if shows_it else response

        guarded.is_conditional = True  # type: ignore[attr-defined]  # the OpenAPI document says so
        guarded.shows_it = shows_it  # type: ignore[attr-defined]  # the same
        return guarded  # type: ignore[return-value]  # wraps() keeps the view's own signature

    return wrap


def _with_new_etag(response: Response) -> Response:
    """A change that answers with the object, as its GET now shows it, tells the ETag for the next change."""
    if request.method == "PATCH" and response.status_code == 200:  # noqa: PLR2004
        response.headers["ETag"] = etag_of(response.get_data())
    return response


def _lock_address() -> None:
    db.session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:path, 0))"), {"path": request.path})


def _compare(shown: Response) -> None:
    if etag_of(shown.get_data()).strip('"') not in request.if_match:
        raise PreconditionFailed("It has changed since you read it: fetch it again, then repeat.")
