"""Signing in by mail."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask
from sqlalchemy.engine import Engine

from app.core.security import Role
from app.core.tenancy import tenant
from app.extensions import db
from app.mail import service as mail
from app.members.models import UserType
from tests.auth.people import (
    EMAIL,
    PASSWORD,
    add_library,
    add_person,
    at_once,
    bearing,
    change,
    events,
    execute,
    log_in,
    refresh,
    signed_in,
    told,
)
from tests.conftest import Answer, Library
from tests.core.conftest import LogLines, log_lines
from tests.local_stack.stand_in import free_port
from tests.naming import sent_statements

__all__ = ["log_lines"]

WRONG = (401, "invalid_magic_link")
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": "the secret of a production that is none, and long enough",
    "PII_KEYS": "k1:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
    "FORCE_HTTPS": "false",
    "MAIL_FROM": "library@example.org",
}


class Mailbox:
    """Takes every mail that a mail server of the tests' own is given, or refuses it."""

    def __init__(self) -> None:
        """Begin empty."""
        self.mails: list[tuple[str, str]] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's signature
        """Take one."""
        if self.answer.startswith("250"):
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            self.mails.append((envelope.rcpt_tos[0], content.decode()))
        return self.answer


@pytest.fixture
def mailbox() -> Mailbox:
    """Where mails arrive."""
    return Mailbox()


@pytest.fixture
def smtp_url(mailbox: Mailbox) -> Iterator[str]:
    """The address of a mail server that puts them there."""
    # It logs what it is told, addresses too; it is the service's log that is looked at.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    yield f"smtp://127.0.0.1:{server.port}"
    server.stop()


def ask(library: Library, email: str = EMAIL) -> Answer:
    return library.post("/auth/magic-links", {"email": email}, role=None)


def redeem(library: Library, token: Any) -> Answer:
    return library.post("/auth/magic-links/redeem", {"token": token}, role=None)


def send(library: Library) -> int:
    """Do what the worker does."""
    with library.app.app_context():
        sent = mail.send_due_mails()
        db.session.remove()
    return sent


def mailed_token(library: Library, log_lines: LogLines, email: str = EMAIL) -> str:
    """Ask for a link and read it in the log, as in development."""
    assert ask(library, email).status_code == 202
    send(library)
    [token] = re.findall(r"mag_[\w-]+", log_lines.all("mail.shown")[-1]["text"])
    return str(token)


def test_a_mail_signs_in_whoever_has_got_it(library: Library, log_lines: LogLines, owner: Engine) -> None:
    user_id = add_person(library, password=None)

    token = mailed_token(library, log_lines)
    answer = redeem(library, token)

    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["user"]["id"] == str(user_id)
    assert bearing(library, answer.json["access_token"]).status_code == 200
    assert refresh(library, answer.json["refresh_token"]).status_code == 200
    [shown] = log_lines.all("mail.shown")
    assert (shown["to"], shown["subject"]) == (EMAIL, "Sign in to Riverside")
    assert "Hello," in shown["text"]
    assert shown["text"].count(token) == 1
    assert events(owner, "user.signed_in") == [(user_id, "anonymous", {"method": "magic_link"})]


def test_the_mail_holds_an_address_where_one_is_set(
    make_app: Callable[..., Flask], request: pytest.FixtureRequest
) -> None:
    app = make_app(MAGIC_LINK_URL="https://app.example.org/sign-in#{token}")
    log_lines = request.getfixturevalue("log_lines")  # each app sets up the log anew
    library = add_library(app, "riverside")
    add_person(library)

    token = mailed_token(library, log_lines)

    assert f"https://app.example.org/sign-in#{token}\n" in log_lines.all("mail.shown")[0]["text"]


# — nobody can tell ————————————————————————————————————————————————————————————————————————————————


def test_nobody_can_tell_whether_there_is_an_account(
    library: Library, other_library: Library, log_lines: LogLines
) -> None:
    add_person(library)
    closed = add_person(library, email="closed@example.org")
    change(library, closed, is_active=False)
    add_person(other_library, email="elsewhere@example.org")
    ask(library, "first@example.org")

    answers, statements = [], []
    for email in (EMAIL, "nobody@example.org", "closed@example.org", "elsewhere@example.org"):
        with sent_statements() as sent:
            answers.append(ask(library, email))
        statements.append(sent)
    sent_mails = send(library)

    assert [(each.status_code, each.json) for each in answers] == [
        (202, {"message": "If the address belongs to an account, a mail is on its way."})
    ] * 4
    assert statements == [statements[0]] * 4
    assert (sent_mails, [line["to"] for line in log_lines.all("mail.shown")]) == (1, [EMAIL])


@pytest.mark.parametrize("body", [{}, {"email": ""}, {"email": "anna"}, {"email": None}, {"email": [EMAIL]}, []])
def test_what_is_no_address_is_refused(library: Library, body: Any) -> None:
    assert told(library.post("/auth/magic-links", body, role=None)) == (422, "invalid_input")


def test_nobody_has_more_than_five_mails_a_minute_sent_to_an_address(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(AUTH_RATE_LIMIT="5/minute"), "riverside")

    def ask_from(number: int, email: str = EMAIL) -> Answer:
        place = {"REMOTE_ADDR": f"192.0.2.{number}"}
        return library.post("/auth/magic-links", {"email": email}, role=None, environ_overrides=place)

    statuses = [ask_from(number).status_code for number in range(5)]

    assert statuses == [202] * 5
    assert told(ask_from(6)) == (429, "rate_limited")
    assert ask_from(7, "other@example.org").status_code == 202


# — once, in time, and nobody else's ———————————————————————————————————————————————————————————————


def test_a_link_works_once(library: Library, log_lines: LogLines, owner: Engine) -> None:
    add_person(library)
    token = mailed_token(library, log_lines)

    answers = [redeem(library, token) for _ in range(2)]

    assert (answers[0].status_code, told(answers[1])) == (200, WRONG)
    assert execute(owner, "SELECT count(*) FROM user_sessions") == [(1,)]


def test_the_audit_trail_tells_of_links_that_were_asked_for_and_refused(
    library: Library, log_lines: LogLines, owner: Engine
) -> None:
    user_id = add_person(library)
    token = mailed_token(library, log_lines)
    ask(library, "nobody@example.org")
    for each in (token, token, "mag_made_up"):
        redeem(library, each)

    assert events(owner, "user.magic_link_requested") == [(user_id, "anonymous", {}), (None, "anonymous", {})]
    assert events(owner, "user.sign_in_refused") == [(user_id, "anonymous", {"method": "magic_link"})]


def test_of_two_who_use_a_link_at_once_one_is_signed_in(library: Library, log_lines: LogLines, owner: Engine) -> None:
    add_person(library)
    token = mailed_token(library, log_lines)

    answers = at_once(8, lambda: redeem(library, token))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert execute(owner, "SELECT count(*) FROM user_sessions") == [(1,)]


@pytest.mark.parametrize(("minutes", "status"), [(14, 200), (15, 401)])
def test_a_link_works_for_fifteen_minutes_from_its_sending(
    library: Library, log_lines: LogLines, owner: Engine, minutes: int, status: int
) -> None:
    add_person(library)
    token = mailed_token(library, log_lines)
    execute(owner, "UPDATE magic_links SET expires_at = expires_at - make_interval(mins => :age)", age=minutes)

    assert redeem(library, token).status_code == status


def test_a_link_is_no_other_tenants(library: Library, other_library: Library, log_lines: LogLines) -> None:
    for each in (library, other_library):
        add_person(each)
    token = mailed_token(library, log_lines)

    assert told(redeem(other_library, token)) == WRONG
    assert redeem(library, token).status_code == 200


@pytest.mark.parametrize("junk", ["mag_", "mag_" + "A" * 43, "x", "\u00e9", "A" * 1000, "ref_A"])
def test_what_is_no_link_is_refused(library: Library, log_lines: LogLines, junk: str) -> None:
    add_person(library)
    mailed_token(library, log_lines)

    assert told(redeem(library, junk)) == WRONG


@pytest.mark.parametrize("value", ["", None, 1, [], "\x00", "mag_" + "A" * 1_000_000])
def test_what_is_no_text_of_that_length_is_refused(library: Library, value: Any) -> None:
    assert told(redeem(library, value)) == (422, "invalid_input")


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize(
    "changes", [{"is_active": False}, {"email": "new@example.org"}, {"password": "seals sleep at noon"}]
)
def test_a_link_ends_with_the_access_that_it_was_asked_for(
    library: Library, log_lines: LogLines, changes: dict[str, Any], *, is_sent: bool
) -> None:
    user_id = add_person(library)
    if is_sent:
        token = mailed_token(library, log_lines)
        change(library, user_id, **changes)
        if "is_active" in changes:
            change(library, user_id, is_active=True)
        assert told(redeem(library, token)) == WRONG
    else:
        ask(library)
        change(library, user_id, **changes)
        assert send(library) == 0
        assert log_lines.all("mail.shown") == []


def test_somebody_who_is_kept_out_meanwhile_is_not_let_in(library: Library, log_lines: LogLines) -> None:
    user_id = add_person(library)
    token = mailed_token(library, log_lines)
    change(library, user_id, is_active=False)

    assert told(redeem(library, token)) == WRONG


# — the mail server ————————————————————————————————————————————————————————————————————————————————


def test_the_mail_is_sent_by_smtp(make_app: Callable[..., Flask], smtp_url: str, mailbox: Mailbox) -> None:
    library = add_library(make_app(SMTP_URL=smtp_url, MAIL_FROM="library@example.org"), "riverside")
    add_person(library)

    ask(library)
    assert send(library) == 1

    [(to, content)] = mailbox.mails
    [token] = re.findall(r"mag_[\w-]+", content)
    assert to == EMAIL
    assert "From: library@example.org" in content
    assert redeem(library, token).status_code == 200
    assert send(library) == 0


def test_while_the_mail_server_is_away_the_mail_waits_and_goes_out_later_with_a_fresh_link(
    make_app: Callable[..., Flask], smtp_url: str, mailbox: Mailbox, owner: Engine
) -> None:
    library = add_library(make_app(SMTP_URL=smtp_url), "riverside")
    add_person(library)
    mailbox.answer = "451 come back later"

    assert ask(library).status_code == 202
    assert send(library) == 0
    [(first,)] = execute(owner, "SELECT token_hash FROM magic_links")
    execute(owner, "UPDATE mail_queue SET due_at = now()")
    execute(owner, "UPDATE magic_links SET expires_at = now() - interval '1 hour'")
    mailbox.answer = "250 OK"
    assert send(library) == 1

    [(_, content)] = mailbox.mails
    [token] = re.findall(r"mag_[\w-]+", content)
    [(second,)] = execute(owner, "SELECT token_hash FROM magic_links")
    assert first != second
    assert redeem(library, token).status_code == 200
    assert execute(owner, "SELECT * FROM mail_queue") == []


def test_nothing_personal_waits_in_a_queue_or_stands_in_the_log_of_a_production(
    make_app: Callable[..., Flask], smtp_url: str, mailbox: Mailbox, owner: Engine, request: pytest.FixtureRequest
) -> None:
    library = add_library(make_app(**PRODUCTION, SMTP_URL=smtp_url), "riverside")
    log_lines = request.getfixturevalue("log_lines")
    add_person(library)
    mailbox.answer = f"451 no such mailbox yet: {EMAIL}"

    ask(library)
    waiting = str(execute(owner, "SELECT mail_queue::text, magic_links::text FROM mail_queue, magic_links"))
    send(library)
    mailbox.answer = "250 OK"
    execute(owner, "UPDATE mail_queue SET due_at = now()")
    send(library)

    [(_, content)] = mailbox.mails
    [token] = re.findall(r"mag_[\w-]+", content)
    assert redeem(library, token).status_code == 200
    for personal in (EMAIL, "anna", "Anna", "Smith", token):
        assert personal not in waiting
        assert personal not in log_lines.text
    assert len(log_lines.all("mail.failed")) == len(log_lines.all("mail.sent")) == 1


def test_a_production_without_a_mail_server_says_so_and_shows_nothing(
    make_app: Callable[..., Flask], request: pytest.FixtureRequest
) -> None:
    library = add_library(make_app(**PRODUCTION), "riverside")
    log_lines = request.getfixturevalue("log_lines")
    add_person(library)

    ask(library)
    send(library)

    assert len(log_lines.all("mail.no_server")) == 1
    assert EMAIL not in log_lines.text
    assert "mag_" not in log_lines.text


# — whose address it is ————————————————————————————————————————————————————————————————————————————


def test_whoever_registered_with_somebody_elses_address_loses_the_account_to_its_owner(
    make_library: Callable[..., Library], log_lines: LogLines
) -> None:
    library = make_library("riverside", settings={"self_registration": True})
    registered = {"type": "reader", "name": "Mallory", "email": EMAIL, "password": PASSWORD}
    assert library.post("/users", registered, role=None).status_code == 201
    theirs = signed_in(library)
    assert bearing(library, theirs["access_token"]).status_code == 200

    owners = redeem(library, mailed_token(library, log_lines)).json

    assert owners["user"]["id"] == theirs["user"]["id"]
    assert bearing(library, owners["access_token"]).status_code == 200
    assert refresh(library, owners["refresh_token"]).status_code == 200
    assert told(bearing(library, theirs["access_token"])) == (401, "unauthenticated")
    assert told(refresh(library, theirs["refresh_token"])) == (401, "invalid_refresh_token")
    assert told(log_in(library)) == (401, "invalid_credentials")


def test_whoever_has_shown_their_address_once_keeps_what_they_set_afterwards(
    make_library: Callable[..., Library], log_lines: LogLines
) -> None:
    library = make_library("riverside", settings={"self_registration": True})
    library.post("/users", {"type": "reader", "name": "Anna", "email": EMAIL, "password": PASSWORD}, role=None)
    mine = redeem(library, mailed_token(library, log_lines)).json
    path = f"/users/{mine['user']['id']}"
    assert bearing(library, mine["access_token"], path, "PATCH", json={"password": PASSWORD}).status_code == 200
    begun = signed_in(library)

    redeem(library, mailed_token(library, log_lines))

    assert bearing(library, begun["access_token"]).status_code == 200
    assert log_in(library).status_code == 200


@pytest.mark.parametrize(("kind", "role"), [(UserType.READER, Role.READER), (UserType.STAFF, Role.ADMIN)])
def test_an_account_that_an_administrator_made_keeps_its_password_and_sessions(
    library: Library, log_lines: LogLines, kind: UserType, role: Role
) -> None:
    add_person(library, kind=kind, role=role)
    begun = signed_in(library)

    assert redeem(library, mailed_token(library, log_lines)).status_code == 200

    assert bearing(library, begun["access_token"]).status_code == 200
    assert log_in(library).status_code == 200


def test_a_promise_of_a_link_that_is_gone_is_forgotten(library: Library, owner: Engine) -> None:
    user_id = add_person(library)
    ask(library)
    execute(owner, "DELETE FROM users WHERE id = :id", id=user_id)

    with library.app.app_context(), tenant(library.id):
        assert mail.send_due_mails() == 0
        db.session.remove()

    assert execute(owner, "SELECT * FROM mail_queue") == []
