"""What happens when a client repeats a POST: the key's row and the effect are one transaction.

An answer may hold a secret that is shown once, such as a new key. So what is kept is encrypted under a key made from
the client's own `Idempotency-Key`, of which the table holds only a hash: the rows alone tell nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, InvalidToken
from flask import Response, g, make_response, request
from sqlalchemy import ForeignKeyConstraint, Index, delete, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import utc_now
from app.core.database import transaction
from app.core.errors import Conflict, DomainError, Invalid
from app.core.schemas import whole_body
from app.core.security import ActorKind, current_actor
from app.core.spool import is_stream, spooled_body
from app.core.tenancy import TenantScoped, own
from app.extensions import Model, db
from app.settings import current_settings

_View = TypeVar("_View", bound=Callable[..., Any])
KEPT_FOR = timedelta(hours=24)
# Where the gateway names headers that came in several lines, which WSGI has as one.
REPEATED_HEADERS = "library.repeated_headers"
_KEPT_HEADERS = ("Location", "Content-Type", "Cache-Control")


class IdempotencyKeyReused(DomainError):
    """This `Idempotency-Key` was used for another request."""

    status: ClassVar[HTTPStatus] = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency_key_reused"


class IdempotencyInProgress(Conflict):
    """The first request with this `Idempotency-Key` is still running."""

    code = "idempotency_in_progress"


class IdempotencyKey(TenantScoped, Model):
    """An answer that a repeated POST gets again."""

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int]
    sealed_answer: Mapped[bytes]
    # Whom the answer tells of: it goes with them.
    person_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["users.tenant_id", "users.id"],
            name="fk_idempotency_keys_person",
            ondelete="CASCADE",
        ),
        Index("ix_idempotency_keys_person", "tenant_id", "person_id"),
    )


def repeatable(view: _View) -> _View:
    """Mark a POST that may be sent again as it is: it takes an `Idempotency-Key`, and needs to keep nothing for it.

    For what hands out tokens: an answer that is kept, however well, is one more place to steal them from, and what a
    refusal changes (a session that ends because its token was used twice) must stay.
    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        _key_of_request()
        return view(*args, **kwargs)

    checked.is_idempotent = True  # type: ignore[attr-defined]  # a test asks every POST for it
    checked.keeps_no_answer = True  # type: ignore[attr-defined]  # the OpenAPI document says so
    return checked  # type: ignore[return-value]  # wraps() keeps the view's own signature


def idempotent(view: _View) -> _View:
    """Let a POST be repeated safely with an `Idempotency-Key`; without one, run it as it is.

    Only answers that report a done thing are kept: a refusal changed nothing, and may well succeed when repeated.

    Raises:
        IdempotencyInProgress: the first request with this key is still running.
        IdempotencyKeyReused: the key came with another address or body before.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Any:
        key = _key_of_request()
        if key is None:
            return view(*args, **kwargs)
        # Before there is a transaction, so that a client that sends slowly keeps none open.
        _body()
        with transaction():
            return _first_or_again(key, lambda: make_response(view(*args, **kwargs)))

    once.is_idempotent = True  # type: ignore[attr-defined]  # a test asks every POST for it
    return once  # type: ignore[return-value]  # wraps() keeps the view's own signature


def is_repeated() -> bool:
    """True where the answer to the present request is kept; it is given again even if its time ends meanwhile."""
    key = _key_of_request()
    if key is not None:
        with transaction():
            g.kept_answer = _kept_under(hashlib.sha256(b"row" + _secret(key)).digest())
    return g.get("kept_answer") is not None


def tells_of(person_id: UUID) -> None:
    """Let the answer to the present request, where one is kept, be forgotten together with this person."""
    g.answer_tells_of = person_id


def _key_of_request() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if "HTTP_IDEMPOTENCY_KEY" in request.environ.get(REPEATED_HEADERS, ()):
        raise Invalid.field("Idempotency-Key", "Give it once.")
    if not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        raise Invalid.field("Idempotency-Key", "Must be 1 to 255 printable ASCII characters.")
    return key


def _first_or_again(key: str, run: Callable[[], Response]) -> Response:
    secret = _secret(key)
    key_hash = hashlib.sha256(b"row" + secret).digest()
    # Keyed: a body may hold a password, which could be guessed from a plain hash of it.
    content = f"{request.method} {request.full_path}\n".encode() + _body()
    request_hash = hmac.digest(_material(b"request", secret), content, "sha256")
    _lock(key_hash)
    kept = g.get("kept_answer") or _kept_under(key_hash)
    if kept:
        replayed = _replayed(kept, secret)
        if not hmac.compare_digest(kept.request_hash, request_hash):
            raise IdempotencyKeyReused("This Idempotency-Key was used for another request; take a new one.")
        return replayed
    db.session.execute(delete(IdempotencyKey).where(own(IdempotencyKey), IdempotencyKey.key_hash == key_hash))
    answer = run()
    if answer.status_code < HTTPStatus.BAD_REQUEST:
        _keep(answer, key_hash=key_hash, request_hash=request_hash, secret=secret)
    return answer


def _body() -> bytes:
    """The body, or what stands for a stream: its hash, which was reckoned while it came in."""
    return b"stream " + spooled_body(request).digest if is_stream(request) else whole_body(request)


def _kept_under(key_hash: bytes) -> IdempotencyKey | None:
    is_it = (IdempotencyKey.key_hash == key_hash, IdempotencyKey.created_at > utc_now() - KEPT_FOR)
    return db.session.scalar(select(IdempotencyKey).where(own(IdempotencyKey), *is_it))


def _secret(key: str) -> bytes:
    return f"{_whose()}\n{key}".encode()


def _whose() -> str:
    """The principal, or the address of a caller who is nobody yet."""
    actor = current_actor()
    return f"address:{request.remote_addr}" if actor.kind is ActorKind.ANONYMOUS else actor.principal


def _lock(key_hash: bytes) -> None:
    number = int.from_bytes(key_hash[:8], signed=True)
    if not db.session.scalar(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": number}):
        raise IdempotencyInProgress("The first request with this Idempotency-Key is still running; ask again shortly.")


def _keep(answer: Response, *, key_hash: bytes, request_hash: bytes, secret: bytes) -> None:
    headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    content = orjson.dumps([headers, answer.get_data(as_text=True)])
    db.session.add(
        IdempotencyKey(
            key_hash=key_hash,
            request_hash=request_hash,
            status=answer.status_code,
            sealed_answer=_seal(secret).encrypt(content),
            person_id=g.get("answer_tells_of"),
        )
    )


def _replayed(kept: IdempotencyKey, secret: bytes) -> Response:
    try:
        headers, body = orjson.loads(_seal(secret).decrypt(kept.sealed_answer))
    except InvalidToken as error:
        raise IdempotencyKeyReused(
            "The request with this Idempotency-Key was done, but its answer can't be read any more, since the service's"
            " secret has changed. Look at what it made, and take a new key for what comes next."
        ) from error
    return Response(body, kept.status, headers={**headers, "Idempotent-Replayed": "true"})


def _seal(secret: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(_material(b"", secret)))


def _material(purpose: bytes, secret: bytes) -> bytes:
    """What takes both to reckon: the service's secret and the client's own."""
    return hmac.digest(current_settings().secret_key.encode(), b"idempotency" + purpose + secret, "sha256")


def forget_old_answers() -> int:
    """Delete the current tenant's answers that are older than a day; returns their number."""
    with transaction() as session:
        too_old = IdempotencyKey.created_at <= utc_now() - KEPT_FOR
        gone = session.execute(delete(IdempotencyKey).where(own(IdempotencyKey), too_old))
    return int(gone.rowcount)  # type: ignore[attr-defined]  # a DELETE's result has it
