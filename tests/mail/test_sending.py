"""Mail: promised in a transaction, written when it is sent, sent once, and later where the server is away."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.clock import new_id
from app.core.database import transaction
from app.core.tenancy import current_tenant_id
from app.core.tenancy import tenant as as_tenant
from app.events.service import seal_events
from app.extensions import db, redis
from app.mail import service
from app.mail.service import Mail, promise, send_due_mails, writes
from app.tenants import service as tenants
from tests.conftest import Library
from tests.mail.server import MailServer, certificate, free_port, mail_server

KIND = "test"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
def written() -> Iterator[list[UUID]]:
    """What mails of the tests' kind were written about; about nothing there is none."""
    about: list[UUID] = []

    def write(subject_id: UUID) -> Mail | None:
        about.append(subject_id)
        if subject_id == UUID(int=0):
            return None
        return Mail("anna@example.org", "Bücher für Anna", f"Number {len(about)}")

    with writing(KIND, write):
        yield about


@contextmanager
def writing(kind: str, write: Callable[[UUID], Mail | None]) -> Iterator[None]:
    """Mails of this kind are written so within the block."""
    writes(kind)(write)
    try:
        yield
    finally:
        del service._writers[kind]


@pytest.fixture
def at_server(make_app: Callable[..., Flask], server: MailServer) -> Library:
    """A tenant of an app that sends by the server."""
    return opened(make_app(SMTP_URL=server.url, MAIL_FROM="library@example.org"))


def opened(app: Flask, slug: str = "riverside") -> Library:
    with app.app_context():
        made = tenants.create_tenant(slug=slug, name=slug.title(), kind="library")
        db.session.remove()
    return Library(app, slug, made.id)


def promised(library: Library, subject_id: UUID | None = None, *, kind: str = KIND) -> UUID:
    subject_id = subject_id or new_id()
    with library.app.app_context(), as_tenant(library.id):
        promise(kind, subject_id)
        db.session.remove()
    return subject_id


def sent(library: Library) -> int:
    with library.app.app_context():
        number = send_due_mails()
        db.session.remove()
    return number


def queue(owner: Engine) -> list[tuple[int, float]]:
    """The attempts of each mail that waits, and in how many seconds it is due."""
    with owner.connect() as connection:
        found = connection.execute(
            text("SELECT attempts, extract(epoch FROM due_at - now())::float AS due FROM mail_queue ORDER BY due_at")
        ).all()
    return [(row.attempts, row.due) for row in found]


def let_pass(library: Library, owner: Engine, time: timedelta) -> None:
    """Make everything that waits so much older."""
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE mail_queue SET due_at = due_at - :time, created_at = created_at - :time"), {"time": time}
        )
    with library.app.app_context():
        redis.client.delete(service.PAUSED_KEY)


def told(library: Library) -> list[tuple[str, str]]:
    """Of what is given up, the audit trail's subject and level."""
    with library.app.app_context():
        seal_events()
        db.session.remove()
    items = library.get("/events", query_string={"type": "test.given_up"}, role="admin").json["items"]
    return [(each["subject"]["id"], each["level"]) for each in items]


# — what is sent ———————————————————————————————————————————————————————————————————————————————————


def test_a_promised_mail_is_sent_once(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    subject_id = promised(at_server)

    assert (sent(at_server), sent(at_server)) == (1, 0)

    [mail] = server.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("anna@example.org", "library@example.org", "Bücher für Anna")
    assert mail.get_content() == "Number 1\r\n"
    assert mail["Date"]
    assert mail["Message-ID"].endswith("@example.org>")
    assert written == [subject_id]
    assert queue(owner) == []


def test_a_promise_that_is_rolled_back_is_none(at_server: Library, written: list[UUID], owner: Engine) -> None:
    def break_off() -> None:
        with transaction():
            promise(KIND, new_id())
            raise ZeroDivisionError

    with at_server.app.app_context(), as_tenant(at_server.id), pytest.raises(ZeroDivisionError):
        break_off()

    assert queue(owner) == []


def test_the_same_promise_twice_is_one_mail(at_server: Library, server: MailServer, written: list[UUID]) -> None:
    promised(at_server, promised(at_server))

    assert sent(at_server) == 1
    assert len(server.mails) == 1


def test_where_there_is_nothing_to_write_nothing_is_sent(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    promised(at_server, UUID(int=0))

    assert sent(at_server) == 0
    assert (server.mails, queue(owner)) == ([], [])


def test_many_workers_send_each_mail_once(at_server: Library, server: MailServer, written: list[UUID]) -> None:
    for _ in range(10):
        promised(at_server)

    workers = [threading.Thread(target=sent, args=[at_server]) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()

    assert len(server.mails) == len(set(written)) == 10


# — what is not a mail —————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    "mail",
    [
        Mail("anna@example.org\nBcc: everybody@example.org", "Hello", "Anna"),
        Mail("anna@example.org", "Hello\r\nBcc: everybody@example.org", "Anna"),
        Mail("anna@example.org, everybody@example.org", "Hello", "Anna"),
        Mail("Anna <anna@example.org>", "Hello", "Anna"),
        Mail("", "Hello", "Anna"),
        Mail("anna@example.org", "Hello", "\ud800"),
    ],
    ids=["line end in the address", "line end in the subject", "two addresses", "a name", "no address", "no text"],
)
def test_what_is_no_mail_to_one_address_is_not_sent_and_keeps_no_other_waiting(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine, mail: Mail
) -> None:
    with writing("crooked", lambda _: mail):
        promised(at_server, kind="crooked")
        promised(at_server)

        assert sent(at_server) == 1

    assert [each["Subject"] for each in server.mails] == ["Bücher für Anna"]
    assert [attempts for attempts, _ in queue(owner)] == [1]


def test_a_writer_that_fails_keeps_no_other_mail_waiting(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    def fail(_: UUID) -> Mail | None:
        raise ZeroDivisionError

    with writing("broken", fail):
        promised(at_server, kind="broken")
        promised(at_server)

        assert sent(at_server) == 1

    assert [attempts for attempts, _ in queue(owner)] == [1]


def test_a_mail_that_only_newer_workers_can_write_waits_for_one(
    at_server: Library, server: MailServer, owner: Engine
) -> None:
    promised(at_server, kind="unheard of")

    assert sent(at_server) == 0
    assert [attempts for attempts, _ in queue(owner)] == [1]


def test_an_address_that_is_not_ascii_is_sent_as_it_is(at_server: Library, server: MailServer) -> None:
    with writing("abroad", lambda _: Mail("bücherfreund@bücher.example", "Hello", "Grüße")):
        promised(at_server, kind="abroad")

        assert sent(at_server) == 1

    [mail] = server.mails
    assert mail["To"] == "bücherfreund@bücher.example"
    assert "SMTPUTF8" in server.options[0]
    assert mail.get_content() == "Grüße\r\n"


def test_where_the_server_knows_only_ascii_other_addresses_are_given_up(
    make_app: Callable[..., Flask], owner: Engine
) -> None:
    with mail_server(enable_SMTPUTF8=False) as server, writing("test", lambda _: Mail("ü@example.org", "Hello", "You")):
        library = opened(make_app(SMTP_URL=server.url))
        subject_id = promised(library)

        assert sent(library) == 0

    assert (server.mails, queue(owner)) == ([], [])
    assert told(library) == [(str(subject_id), "error")]


# — a server on a bad day ——————————————————————————————————————————————————————————————————————————


def test_a_server_that_is_away_gets_the_mail_later_with_growing_pauses(
    make_app: Callable[..., Flask], written: list[UUID], owner: Engine
) -> None:
    library = opened(make_app(SMTP_URL=f"smtp://127.0.0.1:{free_port()}"))
    promised(library)
    pauses = []
    for _ in range(9):
        assert sent(library) == 0
        [(_, due)] = queue(owner)
        pauses.append(due)
        let_pass(library, owner, timedelta(seconds=due + 1))

    assert pauses == pytest.approx([30, 60, 120, 240, 480, 960, 1920, 3600, 3600], abs=5)
    assert len(written) == 9


def test_one_look_at_a_server_that_is_away_is_enough_for_half_a_minute(
    make_app: Callable[..., Flask], written: list[UUID], owner: Engine
) -> None:
    library = opened(make_app(SMTP_URL=f"smtp://127.0.0.1:{free_port()}"))
    for _ in range(3):
        promised(library)

    sent(library)
    sent(library)

    assert sorted(attempts for attempts, _ in queue(owner)) == [0, 0, 1]
    with library.app.app_context():
        assert redis.client.ttl(service.PAUSED_KEY) in range(25, 31)


@pytest.mark.parametrize("word", ["RCPT", "DATA"])
def test_a_mail_that_is_put_off_keeps_no_other_waiting_and_goes_out_later(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine, word: str
) -> None:
    server.answers = {word: "451 Greylisted, try again later"}
    promised(at_server)
    promised(at_server)
    assert sent(at_server) == 0
    assert [attempts for attempts, _ in queue(owner)] == [1, 1]

    server.answers = {}
    let_pass(at_server, owner, timedelta(minutes=1))

    assert sent(at_server) == 2


@pytest.mark.parametrize("word", ["RCPT", "DATA"])
def test_a_mail_that_is_refused_for_good_is_given_up_at_once_and_the_audit_trail_says_so(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine, word: str
) -> None:
    server.answers = {word: "550 No such user"}
    subject_id = promised(at_server)
    promised_to_others = promised(at_server)

    assert sent(at_server) == 0

    assert queue(owner) == []
    assert sorted(told(at_server)) == sorted([(str(subject_id), "error"), (str(promised_to_others), "error")])


@pytest.mark.parametrize(
    "answers",
    [
        {"MAIL": "550 You are not known here"},
        {"MAIL": "451 Try again later"},
        {"RCPT": "421 Closing down"},
        {"DATA": "421 Closing down"},
    ],
    ids=str,
)
def test_a_server_that_takes_no_mail_of_ours_is_as_good_as_away(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine, answers: dict[str, str]
) -> None:
    server.answers = answers
    promised(at_server)
    promised(at_server)

    assert sent(at_server) == 0

    assert sorted(attempts for attempts, _ in queue(owner)) == [0, 1]


def test_after_a_day_it_is_given_up_and_the_audit_trail_says_so(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    server.answers = {"RCPT": "451 Greylisted, try again later"}
    subject_id = promised(at_server)
    let_pass(at_server, owner, timedelta(hours=23))
    assert sent(at_server) == 0
    assert len(queue(owner)) == 1

    let_pass(at_server, owner, timedelta(hours=2))
    assert sent(at_server) == 0

    assert queue(owner) == []
    assert told(at_server) == [(str(subject_id), "error")]


def test_how_the_server_says_goodbye_does_not_matter(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    server.answers = {"QUIT": "554 Go away"}
    promised(at_server)

    assert sent(at_server) == 1
    assert queue(owner) == []


def test_a_server_that_hangs_is_not_waited_for(
    make_app: Callable[..., Flask], written: list[UUID], owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        library = opened(make_app(SMTP_URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}"))
        promised(library)
        begun = time.monotonic()

        assert sent(library) == 0
        assert time.monotonic() - begun < 3

    assert [attempts for attempts, _ in queue(owner)] == [1]


# — encryption and passwords ———————————————————————————————————————————————————————————————————————


def encrypted_from_the_start(context: ssl.SSLContext) -> dict[str, Any]:
    # aiosmtpd takes for encrypted what was so by command only, and would ask for no password otherwise.
    return {"encrypted_by": context, "auth_require_tls": False}


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_what_is_sent_and_who_sends_it_is_encrypted(
    make_app: Callable[..., Flask], written: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    trusted, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    by_command = {"tls_context": context, "require_starttls": True}

    with mail_server(**(encrypted_from_the_start(context) if scheme == "smtps" else by_command)) as server:
        library = opened(make_app(SMTP_URL=f"{scheme}://li%40brary:p%40ss%20word@127.0.0.1:{server.port}"))
        promised(library)

        assert sent(library) == 1

    assert server.encrypted == [True]
    assert server.logins == [(b"li@brary", b"p@ss word")]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("fault", ["nobody has signed it", "it is another host's"])
def test_a_server_whose_certificate_does_not_hold_is_told_nothing(
    make_app: Callable[..., Flask],
    written: list[UUID],
    tmp_path: Path,
    owner: Engine,
    *,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    fault: str,
) -> None:
    trusted, context = certificate(tmp_path, host="127.0.0.1" if fault.startswith("nobody") else "192.0.2.1")
    if not fault.startswith("nobody"):
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))

    with mail_server(
        **(encrypted_from_the_start(context) if scheme == "smtps" else {"tls_context": context})
    ) as server:
        library = opened(make_app(SMTP_URL=f"{scheme}://library:p%40ss%20word@127.0.0.1:{server.port}"))
        promised(library)

        assert sent(library) == 0

    assert (server.mails, server.logins) == ([], [])
    assert [attempts for attempts, _ in queue(owner)] == [1]


def test_a_password_is_not_told_without_encryption(
    make_app: Callable[..., Flask], written: list[UUID], owner: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    with mail_server(auth_require_tls=False) as server:
        library = opened(make_app(SMTP_URL=f"smtp://library:p%40ss%20word@127.0.0.1:{server.port}"))
        promised(library)

        assert sent(library) == 0

    assert (server.mails, server.logins) == ([], [])
    assert '"error":"NoEncryption"' in capsys.readouterr().err
    assert [attempts for attempts, _ in queue(owner)] == [1]


@pytest.mark.usefixtures("written")
def test_a_server_that_does_not_let_us_in_gets_the_mail_later(
    make_app: Callable[..., Flask],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Engine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trusted, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with mail_server(tls_context=context) as server:
        library = opened(make_app(SMTP_URL=f"smtp://library:wrong@127.0.0.1:{server.port}"))
        promised(library)

        assert sent(library) == 0

    assert server.mails == []
    assert '"error":"SMTPAuthenticationError"' in capsys.readouterr().err
    assert [attempts for attempts, _ in queue(owner)] == [1]


# — workers ————————————————————————————————————————————————————————————————————————————————————————


def test_a_mail_that_another_worker_is_taking_keeps_no_other_waiting(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    taken, other = promised(at_server), promised(at_server)

    with owner.begin() as connection:
        connection.execute(text("SELECT FROM mail_queue WHERE subject_id = :id FOR UPDATE"), {"id": taken})

        assert sent(at_server) == 1

    assert written == [other]


def test_what_a_killed_worker_had_taken_is_sent_by_another(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    promised(at_server)
    with at_server.app.app_context():
        assert service._take_next() is not None
        db.session.remove()
    let_pass(at_server, owner, timedelta(seconds=115))
    assert sent(at_server) == 0

    let_pass(at_server, owner, timedelta(seconds=10))

    assert sent(at_server) == 1


def test_what_is_promised_anew_while_it_is_sent_is_sent_anew(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    subject_id = promised(at_server)

    def promise_anew() -> None:
        server.while_taking = lambda: None
        promised(at_server, subject_id)

    server.while_taking = promise_anew

    assert sent(at_server) == 2
    assert [mail.get_content() for mail in server.mails] == ["Number 1\r\n", "Number 2\r\n"]
    assert queue(owner) == []


def test_what_is_promised_anew_does_not_wait_for_the_next_try(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    server.answers = {"RCPT": "451 Greylisted, try again later"}
    subject_id = promised(at_server)
    sent(at_server)
    server.answers = {}

    promised(at_server, subject_id)

    assert sent(at_server) == 1
    assert queue(owner) == []


def test_a_worker_that_was_too_slow_leaves_the_mail_to_who_has_taken_it_since(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    promised(at_server)

    def let_another_take_it() -> None:
        let_pass(at_server, owner, timedelta(seconds=121))
        with at_server.app.app_context():
            assert service._take_next() is not None
            db.session.remove()

    server.while_taking = let_another_take_it

    assert sent(at_server) == 1
    assert [attempts for attempts, _ in queue(owner)] == [2]


def test_when_its_time_is_over_a_worker_leaves_the_rest_to_the_next_task(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    for _ in range(3):
        promised(at_server)

    with at_server.app.app_context():
        assert send_due_mails(seconds=0) == 1
        db.session.remove()

    assert len(queue(owner)) == 2
    assert sent(at_server) == 2


# — tenants ————————————————————————————————————————————————————————————————————————————————————————


def test_a_suspended_tenants_mails_are_not_sent_and_keep_no_other_waiting(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    promised(at_server)
    with at_server.app.app_context(), as_tenant(at_server.id):
        tenants.suspend_tenant(at_server.id)
        db.session.remove()
    hillside = opened(at_server.app, "hillside")
    subject_id = promised(hillside)

    assert sent(at_server) == 1

    assert written == [subject_id]
    assert len(queue(owner)) == 1


def test_a_purged_tenants_mails_are_gone(
    at_server: Library, server: MailServer, written: list[UUID], owner: Engine
) -> None:
    promised(at_server)
    with at_server.app.app_context():
        tenants.purge_tenant(at_server.id)
        db.session.remove()

    assert sent(at_server) == 0
    assert (server.mails, queue(owner)) == ([], [])


def test_a_mail_is_written_as_its_tenant(at_server: Library, server: MailServer) -> None:
    hillside = opened(at_server.app, "hillside")
    seen = []

    def write(_: UUID) -> Mail | None:
        seen.append(current_tenant_id())
        return None

    with writing("test", write):
        promised(at_server)
        promised(hillside)
        sent(at_server)

    assert seen == [at_server.id, hillside.id]


# — without a server ———————————————————————————————————————————————————————————————————————————————


def test_in_development_the_mail_is_shown_in_the_log(
    library: Library, written: list[UUID], caplog: pytest.LogCaptureFixture
) -> None:
    promised(library)

    assert sent(library) == 1

    [shown] = [record.__dict__ for record in caplog.records if record.getMessage() == "mail.shown"]
    assert (shown["to"], shown["text"]) == ("anna@example.org", "Number 1\n")


def test_in_production_the_mail_waits_for_a_server(
    make_app: Callable[..., Flask], server: MailServer, written: list[UUID], owner: Engine
) -> None:
    secrets = {
        "APP_ENV": "production",
        "SECRET_KEY": "the secret of a production that is none, and long enough",
        "PII_KEYS": "k1:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
    }
    without = opened(make_app(**secrets))
    promised(without)
    assert sent(without) == 0
    assert [attempts for attempts, _ in queue(owner)] == [1]

    let_pass(without, owner, timedelta(minutes=1))
    with_server = make_app(**secrets, SMTP_URL=server.url, MAIL_FROM="library@example.org")

    assert sent(Library(with_server, without.slug, without.id)) == 1
    assert len(server.mails) == 1
