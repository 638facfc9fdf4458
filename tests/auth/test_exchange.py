"""Signing in with an ID token: what follows once it has been verified, and the whole way with a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from app.auth.service import InvalidCredentials, InvalidIdToken, SignedIn
from app.auth.service.issuers import Identity
from app.auth.service.sign_in import sign_in_as
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from tests.auth.issuer import AUDIENCE, LocalIssuer, local_issuer
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

Exchange = Callable[..., SignedIn]


@pytest.fixture
def exchange(library: Library) -> Exchange:
    """Signs in whom an issuer has vouched for, as a request to the library would."""

    def run(
        id_token: str = "head.claims.signature",  # noqa: S107 - no password
        *,
        email: str = EMAIL,
        name: str | None = "Anna Smith",
        may_register: bool = True,
        at: Library = library,
    ) -> SignedIn:
        soon = datetime.now(UTC) + timedelta(minutes=5)
        identity = Identity(issuer="https://issuer.example", subject="1", email=email, name=name, expires_at=soon)
        with at.app.app_context(), tenant(at.id), acting_as(SYSTEM):
            try:
                return sign_in_as(identity, id_token=id_token, may_register=may_register)
            finally:
                db.session.remove()

    return run


def test_somebody_known_is_signed_in(library: Library, exchange: Exchange, owner: Engine) -> None:
    user_id = add_person(library)

    begun = exchange(email=EMAIL.upper(), may_register=False)

    me = bearing(library, begun.access_token).json
    assert (begun.user_id, me["id"], me["name"]) == (user_id, str(user_id), "Anna Smith")
    assert refresh(library, begun.refresh_token).status_code == 200
    assert events(owner, "user.signed_in") == [(user_id, "system", {"method": "oidc"})]


def test_somebody_new_becomes_a_reader_where_the_tenant_lets_them(library: Library, exchange: Exchange) -> None:
    begun = exchange(email="li.wei@example.org", name="Li Wei")

    me = bearing(library, begun.access_token).json
    assert (me["role"], me["name"]) == ("reader", "Li Wei")
    assert (me["profile"]["type"], me["profile"]["email"]) == ("reader", "li.wei@example.org")


def test_somebody_without_a_name_gets_one_of_the_address(library: Library, exchange: Exchange) -> None:
    begun = exchange(email="li.wei@example.org", name=None)

    assert bearing(library, begun.access_token).json["name"] == "li.wei"


def test_somebody_new_is_refused_where_the_tenant_does_not(library: Library, exchange: Exchange, owner: Engine) -> None:
    with pytest.raises(InvalidCredentials):
        exchange(may_register=False)

    assert execute(owner, "SELECT id FROM users") == []
    assert events(owner, "user.sign_in_refused") == [(None, "system", {"method": "oidc"})]


def test_somebody_who_is_kept_out_stays_out(library: Library, exchange: Exchange, owner: Engine) -> None:
    user_id = add_person(library)
    change(library, user_id, is_active=False)

    with pytest.raises(InvalidCredentials):
        exchange()

    assert execute(owner, "SELECT id FROM user_sessions") == []
    assert events(owner, "user.sign_in_refused") == [(user_id, "system", {"method": "oidc"})]


def test_a_token_counts_once_whatever_is_done_to_its_signature(
    library: Library, exchange: Exchange, owner: Engine
) -> None:
    exchange("head.claims.signature")

    for again in ("head.claims.signature", "head.claims.another", "head.claims."):
        with pytest.raises(InvalidIdToken):
            exchange(again)

    assert events(owner, "user.sign_in_refused") == [(None, "system", {"method": "oidc"})] * 3
    assert exchange("head.other_claims.signature").user_id


def test_a_token_counts_once_in_each_tenant(library: Library, other_library: Library, exchange: Exchange) -> None:
    assert exchange().user_id != exchange(at=other_library).user_id


def test_a_token_that_was_refused_counts_no_more_either(library: Library, exchange: Exchange) -> None:
    with pytest.raises(InvalidCredentials):
        exchange(may_register=False)
    add_person(library)

    with pytest.raises(InvalidIdToken):
        exchange(may_register=False)


def test_of_one_token_at_once_one_exchange_wins(library: Library, exchange: Exchange, owner: Engine) -> None:
    def outcome() -> str:
        try:
            exchange()
        except InvalidIdToken:
            return "used"
        return "signed in"

    assert sorted(at_once(6, outcome)) == ["signed in"] + ["used"] * 5
    assert execute(owner, "SELECT count(*) FROM users") == [(1,)]
    assert execute(owner, "SELECT count(*) FROM user_sessions") == [(1,)]


def test_two_first_exchanges_at_once_make_one_account(library: Library, exchange: Exchange, owner: Engine) -> None:
    names = iter(f"head.claims{number}.signature" for number in range(6))

    begun = at_once(6, lambda: exchange(next(names)))

    assert len({each.user_id for each in begun}) == 1
    assert [bearing(library, each.access_token).status_code for each in begun] == [200] * 6
    assert execute(owner, "SELECT count(*) FROM users") == [(1,)]


def test_whoever_registered_with_somebody_elses_address_loses_the_account_to_its_owner(
    library: Library, exchange: Exchange, owner: Engine
) -> None:
    add_person(library, email_is_verified=False)
    theirs = signed_in(library)

    owners = exchange()

    assert str(owners.user_id) == theirs["user"]["id"]
    assert events(owner, "user.email_verified") == [(owners.user_id, "system", {"had_password": True})]
    assert bearing(library, owners.access_token).status_code == 200
    assert told(bearing(library, theirs["access_token"])) == (401, "unauthenticated")
    assert told(log_in(library)) == (401, "invalid_credentials")


def test_an_account_that_an_administrator_made_keeps_its_password_and_sessions(
    library: Library, exchange: Exchange
) -> None:
    add_person(library)
    before = signed_in(library)

    exchange()

    assert bearing(library, before["access_token"]).status_code == 200
    assert log_in(library, password=PASSWORD).status_code == 200


def test_what_is_shown_of_a_sign_in_is_not_its_tokens(exchange: Exchange) -> None:
    begun = exchange()

    assert begun.access_token not in repr(begun)
    assert begun.refresh_token not in repr(begun)


# — by an issuer's own tokens ——————————————————————————————————————————————————————————————————————


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    """An issuer of the tests' own."""
    with local_issuer() as running:
        yield running


@pytest.fixture
def trusting(make_app: Callable[..., Flask], issuer: LocalIssuer) -> Library:
    """A library with self-registration, of a service that trusts the issuer."""
    app = make_app(OIDC_ISSUERS=f"{issuer.url}={AUDIENCE}")
    return add_library(app, "riverside", settings={"self_registration": True})


def send(library: Library, id_token: str, **body: Any) -> Answer:
    return library.post("/auth/oidc", {"id_token": id_token, **body}, role=None)


def test_an_id_token_makes_a_reader_and_signs_them_in(trusting: Library, issuer: LocalIssuer) -> None:
    answer = send(trusting, issuer.token(nonce="n-1"), nonce="n-1")

    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.json["user"]["type"], answer.json["user"]["email"]) == ("reader", "rea@example.org")
    assert bearing(trusting, answer.json["access_token"]).json["name"] == "Rea Reader"
    assert refresh(trusting, answer.json["refresh_token"]).status_code == 200


def test_an_id_token_that_is_sent_again_is_refused(trusting: Library, issuer: LocalIssuer) -> None:
    token = issuer.token()

    assert send(trusting, token).status_code == 200
    assert told(send(trusting, token)) == (401, "invalid_id_token")


def test_an_id_token_that_is_none_is_refused(trusting: Library, issuer: LocalIssuer) -> None:
    token = issuer.token()

    for wrong in (token[:-4], issuer.token(aud="elsewhere"), issuer.token(email_verified=False), "a.b.c", "\u00e9"):
        assert told(send(trusting, wrong)) == (401, "invalid_id_token")
    assert told(send(trusting, token, nonce="another")) == (401, "invalid_id_token")
    assert told(send(trusting, "x" * 16_385)) == (422, "invalid_input")


def test_nobody_new_comes_in_where_the_tenant_has_not_opened_it(trusting: Library, issuer: LocalIssuer) -> None:
    closed = add_library(trusting.app, "hillside")
    refused = send(closed, issuer.token(sub="1"))
    user_id = add_person(closed, email="rea@example.org", password=None)

    assert told(refused) == (401, "invalid_credentials")
    assert send(closed, issuer.token(sub="2")).json["user"]["id"] == str(user_id)


def test_while_the_issuer_is_away_the_client_is_asked_to_come_back(trusting: Library, issuer: LocalIssuer) -> None:
    issuer.answers["/keys"] = (500, b"")

    refused = send(trusting, issuer.token())

    assert told(refused) == (503, "issuer_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
