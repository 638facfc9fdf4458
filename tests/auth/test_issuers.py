"""What counts as an ID token, and what becomes of the issuer's keys."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask

from app.auth.service.issuers import InvalidIdToken, Issuer, IssuerUnavailable, verified_identity
from tests.auth.issuer import AUDIENCE, DISCOVERY, KEYS, FromNow, LocalIssuer, in_base64, local_issuer, rsa_key
from tests.auth.people import add_library
from tests.local_stack.processes import wait_until

HOUR = 3600.0
# Of a machine that has much else to do.
PATIENCE_SECONDS = 20.0
RSA = jwt.algorithms.RSAAlgorithm
EC = jwt.algorithms.ECAlgorithm
# A time that no calendar has.
NEVER = 10**12
# Times that would be right, were they numbers: of the years 2023 and 2100.
EARLIER, LATER = "1700000000", "4102444800"


class Clock:
    """The time as an issuer's keys see it: it passes when a test says so."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """The seconds so far."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trusting(make_app: Callable[..., Flask], issuer: LocalIssuer, clock: Clock) -> Iterator[Flask]:
    """An app that accepts the issuer's tokens for two of its audiences, and asks it by the test's clock."""
    app = make_app(OIDC_ISSUERS=f"{issuer.url}={AUDIENCE},{issuer.url}=ios.example.org")
    app.extensions["issuers"] = {
        issuer.url: Issuer(issuer.url, needs_tls=False, timeout_seconds=PATIENCE_SECONDS, clock=clock)
    }
    with app.app_context():
        yield app


def refused(token: str, *, because: str, nonce: str | None = None) -> None:
    with pytest.raises(InvalidIdToken, match=because) as raised:
        verified_identity(token, nonce=nonce)
    assert not token or token not in raised.value.detail


def unavailable(token: str) -> None:
    with pytest.raises(IssuerUnavailable):
        verified_identity(token, nonce=None)


# — what counts ————————————————————————————————————————————————————————————————————————————————————


def test_a_token_of_google_says_who_it_is(trusting: Flask, issuer: LocalIssuer) -> None:
    found = verified_identity(issuer.token(), nonce=None)

    assert (found.issuer, found.subject) == (issuer.url, "110169484474386276334")
    assert (found.email, found.name) == ("rea@example.org", "Rea Reader")
    assert found.expires_at.timestamp() == pytest.approx(time.time() + 3600, abs=60)


def test_a_token_of_firebase_says_who_it_is(make_app: Callable[..., Flask]) -> None:
    # Its issuers differ by a path, and there is no authorised party, no name, no nonce.
    with local_issuer(path="/my-project") as firebase:
        app = make_app(OIDC_ISSUERS=f"{firebase.url}={AUDIENCE}")
        with app.app_context():
            found = verified_identity(firebase.signed(firebase.firebase_claims()), nonce=None)

    assert (found.subject, found.email, found.name) == ("Xk893u23H9SJ893", "rea@example.org", None)
    assert firebase.asked == ["/my-project/.well-known/openid-configuration", "/keys"]


def test_an_issuer_may_end_with_a_slash(make_app: Callable[..., Flask]) -> None:
    with local_issuer(path="/realms/library/") as running:
        app = make_app(OIDC_ISSUERS=f"{running.url}={AUDIENCE}")
        with app.app_context():
            assert verified_identity(running.token(), nonce=None).issuer == running.url

    assert running.asked[0] == "/realms/library/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "ios.example.org", "azp": "ios.example.org"},
        {"aud": [AUDIENCE]},
        {"aud": [AUDIENCE, "api.example.org"]},
        {"email_verified": "true"},
        {"exp": FromNow(-10)},
        {"exp": FromNow(3600.5)},
        {"iat": FromNow(10)},
        {"nbf": FromNow(0)},
    ],
    ids=str,
)
def test_these_count_as_well(trusting: Flask, issuer: LocalIssuer, changes: dict[str, Any]) -> None:
    assert verified_identity(issuer.token(**changes), nonce=None).email == "rea@example.org"


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_a_key_signs_by_the_algorithm_it_is_described_with(trusting: Flask, issuer: LocalIssuer, alg: str) -> None:
    public = RSA.to_jwk(rsa_key("ours/1").public_key(), as_dict=True)
    issuer.answers[KEYS] = (200, orjson.dumps({"keys": [{**public, "kid": "1", "alg": alg}]}))

    assert verified_identity(issuer.token(alg=alg), nonce=None).subject
    refused(issuer.token(alg="RS256" if alg != "RS256" else "RS512"), because="not its issuer's")


def test_a_token_signed_by_an_elliptic_curve_counts(trusting: Flask, issuer: LocalIssuer) -> None:
    issuer.new_key("2", elliptic=True)

    assert verified_identity(issuer.token(kid="2"), nonce=None).subject


def test_the_nonce_is_the_one_that_was_sent(trusting: Flask, issuer: LocalIssuer) -> None:
    assert verified_identity(issuer.token(nonce="n-1"), nonce="n-1").subject
    refused(issuer.token(nonce="n-1"), nonce="n-2", because="nonce")
    refused(issuer.token(nonce="n-1"), because="nonce")
    refused(issuer.token(nonce=""), because="nonce")
    refused(issuer.token(), nonce="n-1", because="nonce")
    refused(issuer.token(nonce=1), nonce="1", because="nonce")
    refused(issuer.token(nonce="\ud800"), nonce="n-1", because="nonce")


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("  Rea   Reader ", "Rea Reader"),
        ("山田\u3000太郎", "山田 太郎"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("x" * 300, "x" * 200),
        ("   ", None),
        ("Rea\0", None),
        ("Rea\ud800", None),
        (["Rea"], None),
    ],
    ids=ascii,
)
def test_a_name_that_can_not_be_stored_is_none(
    trusting: Flask, issuer: LocalIssuer, claimed: Any, name: str | None
) -> None:
    assert verified_identity(issuer.token(name=claimed), nonce=None).name == name


# — what does not ——————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"exp": FromNow(-3600)}, "expired"),
        ({"nbf": FromNow(3600)}, "not valid yet"),
        ({"iat": FromNow(3600)}, "not valid yet"),
        ({"exp": None}, "lacks the claim exp"),
        ({"iat": None}, "lacks the claim iat"),
        ({"sub": None}, "lacks the claim sub"),
        ({"aud": None}, "lacks the claim aud"),
        ({"iss": None}, "issuer that is not accepted"),
        ({"iss": "https://accounts.example.com"}, "issuer that is not accepted"),
        ({"iss": ["https://accounts.example.com"]}, "issuer that is not accepted"),
        ({"aud": "somebody-else"}, "another audience"),
        ({"aud": AUDIENCE.upper()}, "another audience"),
        ({"aud": []}, "lacks the claim aud"),
        ({"aud": [AUDIENCE, 5]}, "another audience"),
        ({"azp": "somebody-else"}, "another party"),
        ({"azp": [AUDIENCE]}, "another party"),
        ({"aud": [AUDIENCE, "api.example.org"], "azp": None}, "another party"),
        ({"sub": ""}, "names nobody"),
        ({"sub": "x" * 256}, "names nobody"),
        ({"sub": "x\0"}, "names nobody"),
        ({"sub": 5}, "no valid"),
        ({"email": None}, "no e-mail address"),
        ({"email": "not an address"}, "no e-mail address"),
        ({"email": '"<rea>"@example.org'}, "no e-mail address"),
        ({"email": "rea\0@example.org"}, "no e-mail address"),
        ({"email": "rea\ud800@example.org"}, "no e-mail address"),
        ({"email": ["rea@example.org"]}, "no e-mail address"),
        ({"email": f"{'x' * 64}@{'y' * 300}.org"}, "no e-mail address"),
        ({"email_verified": False}, "not verified"),
        ({"email_verified": None}, "not verified"),
        ({"email_verified": "yes"}, "not verified"),
        ({"email_verified": 1}, "not verified"),
        ({"exp": "tomorrow"}, "no valid"),
        ({"exp": LATER}, "no valid times"),
        ({"exp": NEVER}, "no valid times"),
        ({"exp": 10**20}, "no valid times"),
        ({"exp": float("inf")}, "no valid"),
        ({"iat": True}, "no valid times"),
        ({"iat": EARLIER}, "no valid times"),
        ({"nbf": EARLIER}, "no valid times"),
    ],
    ids=ascii,
)
def test_these_do_not_count(trusting: Flask, issuer: LocalIssuer, changes: dict[str, Any], because: str) -> None:
    refused(issuer.token(**changes), because=because)


def test_a_token_without_a_signature_does_not_count(trusting: Flask, issuer: LocalIssuer) -> None:
    refused(jwt.encode(issuer.claims(), "", "none"), because="signed in a way")
    assert issuer.asked == []


def test_the_public_key_is_no_shared_secret(trusting: Flask, issuer: LocalIssuer) -> None:
    public = (
        issuer.keys["1"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    parts = [{"alg": "HS256", "kid": "1"}, issuer.claims()]
    signed = ".".join(in_base64(orjson.dumps(part)) for part in parts)
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), public)

    refused(f"{signed}.{in_base64(signature)}", because="signed in a way")


def test_a_shared_secret_that_an_issuer_publishes_is_no_key(trusting: Flask, issuer: LocalIssuer) -> None:
    secret = b"s" * 32
    described = {"kty": "oct", "k": in_base64(secret), "kid": "2"}
    public = RSA.to_jwk(rsa_key("ours/1").public_key(), as_dict=True)
    issuer.answers[KEYS] = (200, orjson.dumps({"keys": [described, {**public, "kid": "1"}]}))

    refused(jwt.encode(issuer.claims(), secret, "HS256", headers={"kid": "2"}), because="signed in a way")
    assert verified_identity(issuer.token(), nonce=None).subject


def test_a_key_of_another_issuer_does_not_count(trusting: Flask, issuer: LocalIssuer) -> None:
    with local_issuer(name="theirs") as other:
        refused(other.token(iss=issuer.url), because="no valid signature")


def test_two_issuers_do_not_vouch_for_each_other(make_app: Callable[..., Flask], issuer: LocalIssuer) -> None:
    with local_issuer(name="theirs") as other:
        app = make_app(OIDC_ISSUERS=f"{issuer.url}={AUDIENCE},{other.url}=theirs")
        with app.app_context():
            assert verified_identity(other.token(aud="theirs", azp="theirs"), nonce=None).issuer == other.url
            refused(other.token(iss=issuer.url), because="no valid signature")
            refused(other.token(), because="another audience")


def test_a_key_signs_only_as_its_kind_does(trusting: Flask, issuer: LocalIssuer) -> None:
    issuer.new_key("2", elliptic=True)

    refused(issuer.signed(issuer.claims(), by="1", kid="2"), because="not its issuer's")


def test_a_key_that_a_token_brings_along_does_not_count(trusting: Flask, issuer: LocalIssuer) -> None:
    own = rsa_key("forger")
    brought: dict[str, Any] = {
        "jwk": {**RSA.to_jwk(own.public_key(), as_dict=True), "kid": "1"},
        "jku": "http://127.0.0.1:9/keys",
    }
    issuer.answers[KEYS] = issuer.answer(KEYS)
    issuer.keys = {"1": own}

    refused(issuer.signed(issuer.claims(), **brought), because="no valid signature")


def test_what_was_altered_or_cut_off_does_not_count(trusting: Flask, issuer: LocalIssuer) -> None:
    header, payload, signature = issuer.token().split(".")
    other = in_base64(orjson.dumps(issuer.claims(email="ada@example.org")))

    refused(f"{header}.{other}.{signature}", because="no valid signature")
    for cut in (
        f"{header}.{payload}.{signature[:-8]}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        header,
        "",
        "a.b.c",
    ):
        refused(cut, because="no")


@pytest.mark.parametrize(
    "junk", ["é", "\ud800.\ud800.\ud800", "..", "[].[].[]", "W10.W10.W10", "bnVsbA.bnVsbA."], ids=ascii
)
def test_junk_is_no_id_token(trusting: Flask, junk: str) -> None:
    refused(junk, because="no ID token")


def test_json_without_end_is_no_id_token(trusting: Flask) -> None:
    refused(f"{in_base64(b'[' * 4000)}.e30.e30", because="no ID token")


def test_what_is_too_long_is_not_read(trusting: Flask, issuer: LocalIssuer) -> None:
    refused(issuer.token(extra="x" * 16_384), because="at most 16384")
    assert issuer.asked == []


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"typ": None}, {"typ": ["JWT"]}], ids=str)
def test_a_token_of_another_kind_does_not_count(trusting: Flask, issuer: LocalIssuer, header: dict[str, Any]) -> None:
    refused(issuer.signed(issuer.claims(), **header), because="another kind")


# — keys ———————————————————————————————————————————————————————————————————————————————————————————


def test_keys_are_fetched_once_an_hour(trusting: Flask, issuer: LocalIssuer, clock: Clock) -> None:
    for _ in range(5):
        verified_identity(issuer.token(), nonce=None)
    clock.wait(HOUR - 1)
    verified_identity(issuer.token(), nonce=None)
    assert issuer.asked == [DISCOVERY, KEYS]

    clock.wait(2)
    verified_identity(issuer.token(), nonce=None)
    assert issuer.asked == [DISCOVERY, KEYS] * 2


def test_each_app_keeps_keys_of_its_own(make_app: Callable[..., Flask], issuer: LocalIssuer) -> None:
    for _ in range(2):
        with make_app(OIDC_ISSUERS=f"{issuer.url}={AUDIENCE}").app_context():
            verified_identity(issuer.token(), nonce=None)

    assert issuer.asked == [DISCOVERY, KEYS] * 2


def test_a_new_key_of_the_issuer_is_found_and_the_old_one_forgotten(
    trusting: Flask, issuer: LocalIssuer, clock: Clock
) -> None:
    old = issuer.token()
    verified_identity(old, nonce=None)
    issuer.keys = {}
    issuer.new_key("2")
    clock.wait(31)

    assert verified_identity(issuer.token(kid="2"), nonce=None).subject
    refused(old, because="not its issuer's")


def test_junk_keys_cost_the_issuer_one_look_in_half_a_minute(
    trusting: Flask, issuer: LocalIssuer, clock: Clock
) -> None:
    def flood() -> None:
        for number in range(20):
            refused(issuer.signed(issuer.claims(), kid=f"junk-{number}"), because="not its issuer's")

    flood()
    assert issuer.asked.count(KEYS) == 1
    clock.wait(29)
    flood()
    assert issuer.asked.count(KEYS) == 1
    clock.wait(2)
    flood()
    assert issuer.asked.count(KEYS) == 2


def test_many_at_once_ask_once(trusting: Flask, issuer: LocalIssuer) -> None:
    issuer.pause_seconds = 0.1
    token = issuer.token()

    def check(_: int) -> str:
        with trusting.app_context():
            return verified_identity(token, nonce=None).email

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(check, range(8)))

    assert found == ["rea@example.org"] * 8
    assert issuer.asked == [DISCOVERY, KEYS]


def test_kept_keys_serve_while_the_issuer_is_away_for_a_day_at_most(
    trusting: Flask, issuer: LocalIssuer, clock: Clock
) -> None:
    verified_identity(issuer.token(), nonce=None)
    issuer.is_away = True

    clock.wait(24 * HOUR - 1)
    assert verified_identity(issuer.token(), nonce=None).subject
    clock.wait(2)
    unavailable(issuer.token())

    issuer.is_away = False
    clock.wait(30)
    assert verified_identity(issuer.token(), nonce=None).subject


def test_an_issuer_that_is_away_is_asked_again_after_five_seconds(
    trusting: Flask, issuer: LocalIssuer, clock: Clock
) -> None:
    issuer.is_away = True
    for _ in range(3):
        unavailable(issuer.token())
    assert issuer.asked == [DISCOVERY]

    issuer.is_away = False
    clock.wait(5)
    assert verified_identity(issuer.token(), nonce=None).subject


def test_nobody_with_a_kept_key_waits_for_a_slow_issuer(issuer: LocalIssuer, clock: Clock) -> None:
    known = Issuer(issuer.url, needs_tls=False, timeout_seconds=PATIENCE_SECONDS, clock=clock)
    header = {"kid": "1", "alg": "RS256"}
    known.key(header)
    clock.wait(HOUR + 1)
    issuer.may_answer.clear()

    fetching = threading.Thread(target=known.key, args=(header,))
    fetching.start()
    assert wait_until(lambda: len(issuer.asked) == 3, timeout_seconds=PATIENCE_SECONDS)
    for _ in range(20):
        assert known.key(header).key_id == "1"
    # The issuer has not answered all the while: nobody has waited for that.
    assert fetching.is_alive()
    assert issuer.asked == [DISCOVERY, KEYS, DISCOVERY]
    issuer.may_answer.set()
    fetching.join(PATIENCE_SECONDS)
    assert issuer.asked == [DISCOVERY, KEYS] * 2


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({DISCOVERY: (503, b"")}, "answers 503"),
        ({DISCOVERY: (302, b"")}, "answers 302"),
        ({DISCOVERY: (200, b"<html>")}, "fails with JSONDecodeError"),
        ({DISCOVERY: (200, b"[" * 100_000)}, "fails with JSONDecodeError"),
        ({DISCOVERY: (200, b"[]")}, "answers with no JSON object"),
        (
            {DISCOVERY: (200, b'{"issuer": "https://accounts.example.com"}')},
            "calls itself otherwise than OIDC_ISSUERS does",
        ),
        ({KEYS: (302, b"")}, "answers 302"),
        ({KEYS: (404, b"")}, "answers 404"),
        ({KEYS: (200, b"null")}, "answers with no JSON object"),
        ({KEYS: (200, b'{"keys": null}')}, "has no key to check signatures by"),
        (
            {KEYS: (200, b'{"keys": [1, {}, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0"}]}')},
            "has no key to check signatures by",
        ),
        ({KEYS: (200, b" " * 300_000)}, "answers without end"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_issuer_that_is_away_or_talks_nonsense_is_unavailable(
    trusting: Flask,
    issuer: LocalIssuer,
    caplog: pytest.LogCaptureFixture,
    answers: dict[str, tuple[int, bytes]],
    reason: str,
) -> None:
    issuer.answers = answers

    unavailable(issuer.token())

    assert "/elsewhere" not in issuer.asked
    assert [(line.getMessage(), vars(line)["reason"]) for line in caplog.records] == [("issuer.unavailable", reason)]


def test_an_issuer_that_breaks_off_is_unavailable(trusting: Flask, issuer: LocalIssuer) -> None:
    issuer.breaks_off = True

    unavailable(issuer.token())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "http://[",
        "http://\0",
        "http://a:99999999",
        "http://127.0.0.1:9",
    ],
    ids=ascii,
)
def test_an_address_of_keys_that_leads_nowhere_is_none(trusting: Flask, issuer: LocalIssuer, address: str) -> None:
    issuer.answers[DISCOVERY] = (200, orjson.dumps({"issuer": issuer.url, "jwks_uri": address}))

    unavailable(issuer.token())


def test_one_bad_key_does_not_spoil_the_others(trusting: Flask, issuer: LocalIssuer) -> None:
    public = RSA.to_jwk(rsa_key("ours/1").public_key(), as_dict=True)
    bad: list[Any] = [
        None,
        {**public, "kid": []},
        {**public, "kid": 5},
        {**public, "kid": "a", "alg": ["RS256"]},
        {**public, "kid": "b", "use": "enc"},
        {**public, "kid": "b2", "alg": "RSA-OAEP"},
        {**public, "kid": "c", "use": ["sig"]},
        {"kid": "d", "kty": "RSA", "n": 5, "e": None},
        {"kid": "e", "kty": "EC", "crv": "P-256", "x": [], "y": {}},
        {"kid": "f", "kty": ["RSA"]},
    ]
    issuer.answers[KEYS] = (200, orjson.dumps({"keys": [*bad, {**public, "kid": "1"}, *bad]}))

    assert verified_identity(issuer.token(), nonce=None).subject
    refused(issuer.signed(issuer.claims(), kid="b"), because="not its issuer's")


def test_a_private_key_that_an_issuer_publishes_is_none(trusting: Flask, issuer: LocalIssuer) -> None:
    private = {**RSA.to_jwk(rsa_key("ours/1"), as_dict=True), "kid": "1"}
    issuer.answers[KEYS] = (200, orjson.dumps({"keys": [private]}))

    unavailable(issuer.token())


def test_a_key_that_is_too_short_proves_nothing(trusting: Flask, issuer: LocalIssuer) -> None:
    issuer.keys = {"1": rsa_key("short", bits=1024)}

    refused(issuer.token(), because="no valid signature")


def test_a_key_of_another_curve_than_it_says_proves_nothing(trusting: Flask, issuer: LocalIssuer) -> None:
    made = ec.generate_private_key(ec.SECP384R1())
    described = {**EC.to_jwk(made.public_key(), as_dict=True), "kid": "1", "alg": "ES256"}
    issuer.answers[KEYS] = (200, orjson.dumps({"keys": [described]}))
    issuer.keys = {"1": ec.generate_private_key(ec.SECP256R1())}

    refused(issuer.token(), because="no valid signature")


@pytest.mark.parametrize("slow", [{"pause_seconds": 30.0}, {"drip_seconds": 0.05}], ids=str)
def test_a_slow_issuer_is_not_waited_for(issuer: LocalIssuer, slow: dict[str, float]) -> None:
    issuer.answers[DISCOVERY] = (200, b" " * 1000)
    vars(issuer).update(slow)
    known, began = Issuer(issuer.url, needs_tls=False, timeout_seconds=0.2), time.monotonic()

    with pytest.raises(IssuerUnavailable):
        known.key({"kid": "1", "alg": "RS256"})

    assert time.monotonic() - began < 5


def test_in_production_keys_come_by_tls_alone(issuer: LocalIssuer) -> None:
    with pytest.raises(IssuerUnavailable):
        Issuer(issuer.url, needs_tls=True).key({"kid": "1", "alg": "RS256"})

    assert issuer.asked == []


def test_nothing_of_a_token_is_logged(trusting: Flask, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    issuer.is_away = True
    token = issuer.token(nonce="n-0S6_WzA2Mj")

    unavailable(token)
    issuer.is_away = False
    trusting.extensions["issuers"][issuer.url].clock.wait(5)
    refused(token, because="nonce")
    refused(issuer.token(aud="somebody-else"), because="another audience")

    logged = " ".join(str(vars(line)) for line in caplog.records)
    assert "issuer.unavailable" in logged
    for part in (*token.split("."), "rea@example.org", "110169484474386276334", "n-0S6_WzA2Mj", "eyJ"):
        assert part not in logged


def test_a_request_with_a_token_that_does_not_count_is_one_line_of_the_log(
    trusting: Flask, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    library = add_library(trusting, "riverside")
    caplog.clear()

    answer = library.post("/auth/oidc", {"id_token": issuer.token(aud="somebody-else")}, role=None)

    assert answer.status_code == 401
    [line] = caplog.records
    assert "eyJ" not in str(vars(line))
