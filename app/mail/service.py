"""Sending mail: promised within a transaction, written when it is sent, tried again until it is sent.

A domain says once how mails of its kind are written (`writes`) and promises one by `promise`; the promise is a row of
its transaction. A worker takes the row for some minutes, lets the mail be written, hands it to the mail server and
deletes the row. So each promised mail goes out at least once: of two workers one takes it, but a worker that is killed
after handing it over and before deleting the row leaves it to another, who sends it again.

A mail server that is away costs nothing but time: after growing pauses a mail is tried again for a day. What the server
will never take is given up at once. Either is an event of the tenant's: `<kind>.given_up`.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.clock import utc_now
from app.core.database import transaction
from app.core.queue import HARD_LIMIT_SECONDS, TaskName, enqueue
from app.core.tenancy import current_tenant_id, tenant
from app.events import service as events
from app.events.models import EventLevel
from app.extensions import redis
from app.mail.models import QueuedMail
from app.settings import Environment, current_settings
from app.tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)

# No task lives longer, so whoever took a mail has sent it by then or never will.
_TAKEN_FOR: Final = timedelta(seconds=HARD_LIMIT_SECONDS)
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_MOST_DOUBLINGS: Final = 7
_TRIED_FOR: Final = timedelta(hours=24)
# For each word of the conversation, of which there are seven: the last mail of a task ends within its time limit.
_TIMEOUT_SECONDS: Final = 10
SEND_SECONDS: Final = 20.0
# A server that hangs takes a worker's time with every look at it; so nobody looks for as long.
_SERVER_PAUSE: Final = timedelta(seconds=30)
PAUSED_KEY: Final = "mail:paused"
# "Closing transmission channel", which may come in answer to anything.
_CLOSING: Final = 421
_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in plain text."""

    to: str
    subject: str
    text: str


class _ServerAway(Exception):
    """The mail server can't be reached, does not answer, or takes mail from nobody at the moment."""


class _Refused(Exception):
    """The mail server does not take this mail."""

    def __init__(self, *, is_final: bool) -> None:
        """Say whether it never will."""
        super().__init__()
        self.is_final = is_final


class NoEncryption(smtplib.SMTPException):
    """The server offers no encryption, and is not told a password without."""


class NoMailServer(smtplib.SMTPException):
    """`SMTP_URL` is not set."""


Writer = Callable[[UUID], Mail | None]
_writers: dict[str, Writer] = {}


def writes(kind: str) -> Callable[[Writer], Writer]:
    """Register how mails of a kind are written: given what it is about, the mail, or None where there is none to send.

    It runs as the tenant, just before the mail is sent, and once more for each further try.
    """

    def register(writer: Writer) -> Writer:
        _writers[kind] = writer
        return writer

    return register


def promise(kind: str, subject_id: UUID) -> None:
    """Have a mail of this kind sent about this thing, once the present transaction has committed.

    A mail of the same kind about the same thing that still waits is the same mail, and no longer waits. One that is
    just being sent may be too old already: another one follows it.
    """
    promise_many(kind, [subject_id])


def promise_many(kind: str, subject_ids: Collection[UUID]) -> None:
    """The same about each of several things, in one statement."""
    if not subject_ids:
        return
    rows = [{"tenant_id": current_tenant_id(), "kind": kind, "subject_id": each} for each in subject_ids]
    statement = insert(QueuedMail).values(rows)
    anew = {"attempts": 0, "due_at": func.now(), "created_at": func.now()}
    with transaction() as session:
        session.execute(statement.on_conflict_do_update(constraint="pk_mail_queue", set_=anew))
        enqueue(TaskName.MAIL_SEND)


def send_due_mails(*, seconds: float = SEND_SECONDS) -> int:
    """Send what is due, one mail after the other, unless the server is away; returns how many were sent.

    Where `seconds` do not suffice, another task goes on.
    """
    until = time.monotonic() + seconds
    sent = 0
    if _is_paused():
        return sent
    while (taken := _take_next()) is not None:
        try:
            sent += _send(taken)
        except _ServerAway:
            # The others keep their turn: each would only wait for the same server.
            _pause()
            return sent
        if time.monotonic() >= until:
            enqueue(TaskName.MAIL_SEND)
            return sent
    return sent


# — the queue ——————————————————————————————————————————————————————————————————————————————————————

_NEXT: Final = select(QueuedMail.tenant_id, QueuedMail.kind, QueuedMail.subject_id)
_ACTIVE: Final = select(Tenant.id).where(Tenant.status == TenantStatus.ACTIVE)


def _take_next() -> Row[Any] | None:
    """The mail that is due the longest, for this worker alone.

    As a row and not as an entity, since it is to stay as it was when it was taken.
    """
    now = utc_now()
    following = (
        # Of a tenant that is suspended, nothing is sent; what waits goes with it.
        _NEXT.where(QueuedMail.due_at <= now, QueuedMail.tenant_id.in_(_ACTIVE))
        .order_by(QueuedMail.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("following")
    )
    statement = (
        update(QueuedMail)
        .where(*_is(following.c))
        .values(attempts=QueuedMail.attempts + 1, due_at=now + _TAKEN_FOR)
        .returning(*QueuedMail.__table__.c)
    )
    with transaction() as session:
        return session.execute(statement).one_or_none()


def _try_later(taken: Row[Any]) -> None:
    pause = min(_FIRST_PAUSE * 2 ** min(taken.attempts - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE)
    with transaction() as session:
        session.execute(update(QueuedMail).where(*_is_still(taken)).values(due_at=utc_now() + pause))


def _give_up(taken: Row[Any]) -> None:
    with transaction():
        if _forget(taken):
            events.record(f"{taken.kind}.given_up", subject_id=taken.subject_id, level=EventLevel.ERROR)


def _forget(taken: Row[Any]) -> bool:
    """Delete a mail from the queue; False where it was promised anew meanwhile, and stays."""
    with transaction() as session:
        return session.scalar(delete(QueuedMail).where(*_is_still(taken)).returning(QueuedMail.kind)) is not None


def _is_still(taken: Row[Any]) -> tuple[ColumnElement[bool], ...]:
    return *_is(taken), QueuedMail.due_at == taken.due_at


def _is(mail: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        QueuedMail.tenant_id == mail.tenant_id,
        QueuedMail.kind == mail.kind,
        QueuedMail.subject_id == mail.subject_id,
    )


def _is_paused() -> bool:
    with suppress(RedisError):
        return bool(redis.client.exists(PAUSED_KEY))
    return False


def _pause() -> None:
    with suppress(RedisError):
        redis.client.set(PAUSED_KEY, 1, ex=_SERVER_PAUSE)


# — a mail —————————————————————————————————————————————————————————————————————————————————————————


def _send(taken: Row[Any]) -> bool:
    """Send a mail that was taken; False where there is none to send, or it goes out later or not at all.

    Raises:
        _ServerAway: so that another mail would not go out either.
    """
    told = {"kind": taken.kind, "subject_id": str(taken.subject_id)}
    with tenant(taken.tenant_id):
        try:
            message = _written(taken)
        except Exception:
            # Whatever is wrong with this one, the others are to be sent.
            log.exception("mail.not_written", extra=told)
            _after_failure(taken)
            return False
        try:
            if message is not None:
                _hand_over(message)
        except (_Refused, _ServerAway) as failure:
            # Only the error's kind: what a mail server says often names the address.
            error = type(failure.__cause__).__name__
            log.warning("mail.failed", extra={**told, "attempts": taken.attempts, "error": error})
            _after_failure(taken, is_final=isinstance(failure, _Refused) and failure.is_final)
            if isinstance(failure, _ServerAway):
                raise
            return False
        _forget(taken)
        if message is not None:
            log.info("mail.sent", extra=told)
        return message is not None


def _after_failure(taken: Row[Any], *, is_final: bool = False) -> None:
    if is_final or utc_now() - taken.created_at > _TRIED_FOR:
        _give_up(taken)
    else:
        _try_later(taken)


def _written(taken: Row[Any]) -> EmailMessage | None:
    """The mail as it is sent.

    Raises:
        KeyError: nobody has said how mails of this kind are written: the worker may be older than who promised it.
        ValueError: it would be to nobody or to several, or have a line end in its head.
    """
    mail = _writers[taken.kind](taken.subject_id)
    if mail is None:
        return None
    sender = current_settings().mail_from
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(mail.text)
    if [each.addr_spec for each in message["To"].addresses] != [mail.to]:
        raise ValueError("A mail is to one address.")
    return message


# — the mail server ————————————————————————————————————————————————————————————————————————————————


def _hand_over(message: EmailMessage) -> None:
    """Give a mail to the server of `SMTP_URL`; without one, outside production, to the log.

    Raises:
        _Refused: the server does not take this one.
        _ServerAway: it takes none.
    """
    settings = current_settings()
    if settings.smtp_url is None and settings.environment is not Environment.PRODUCTION:
        shown = {"to": message["To"], "subject": message["Subject"], "text": message.get_content()}
        log.warning("mail.shown", extra=shown)
        return
    try:
        with _connected(settings.smtp_url) as server:
            try:
                server.send_message(message)
            # The last: the address is not ASCII, and the server knows no other addresses.
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPNotSupportedError) as error:
                if (code := _code(error)) == _CLOSING:
                    raise
                raise _Refused(is_final=code >= _PERMANENT) from error
    except (smtplib.SMTPException, OSError) as error:
        raise _ServerAway from error


def _code(error: smtplib.SMTPException) -> int:
    """What the server answered; as if it had refused for good where it was not asked."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, _)] = error.recipients.values()
        return code
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else _PERMANENT


@contextmanager
def _connected(url: str | None) -> Iterator[smtplib.SMTP]:
    """A conversation with the server, encrypted where it can be; a password is told to none without.

    Raises:
        SMTPException, OSError: there is no server, or none that can be trusted, or it lets nobody in.
    """
    if url is None:
        log.error("mail.no_server", extra={"advice": "Set SMTP_URL; until then no mail is sent."})
        raise NoMailServer
    parts, context = urlsplit(url), ssl.create_default_context()
    host, is_encrypted = parts.hostname or "", parts.scheme == "smtps"
    server = (
        smtplib.SMTP_SSL(host, parts.port or 465, timeout=_TIMEOUT_SECONDS, context=context)
        if is_encrypted
        else smtplib.SMTP(host, parts.port or 587, timeout=_TIMEOUT_SECONDS)
    )
    try:
        server.ehlo_or_helo_if_needed()
        if not is_encrypted and server.has_extn("starttls"):
            server.starttls(context=context)
            is_encrypted = True
        if parts.username:
            if not is_encrypted:
                raise NoEncryption
            server.login(unquote(parts.username), unquote(parts.password or ""))
        yield server
        # The mail is the server's: how it says goodbye does not matter.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        server.close()
