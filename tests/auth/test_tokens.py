"""Access tokens, and whatever else is sent in their place."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import Engine

from app.auth.service import tokens
from app.core.security import Role
from app.core.tenancy import tenant
from app.extensions import db
from app.members.models import UserType
from app.settings import Settings
from tests.auth.people import add_library, add_person, bearing, elsewhere, execute, log_in, refresh, signed_in, told
from tests.conftest import Library
from tests.core.conftest import LogLines, log_lines

__all__ = ["log_lines"]

REFUSED = (401, "unauthenticated")


def key_of(app: Flask) -> bytes:
    """What signs, as anybody could reckon who knew the service's secret."""
    settings: Settings = app.extensions["settings"]
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"access token").derive(settings.secret_key.encode())


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_an_access_token_names_person_session_and_tenant_and_nothing_personal(library: Library, owner: Engine) -> None:
    user_id = add_person(library)
    token = signed_in(library)["access_token"]
    [(session_id,)] = execute(owner, "SELECT id FROM user_sessions")

    claims = claims_of(token)

    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert claims.keys() == {"iss", "sub", "sid", "tid", "jti", "iat", "exp"}
    assert (claims["sub"], claims["sid"], claims["tid"]) == (str(user_id), str(session_id), str(library.id))
    assert claims["exp"] - claims["iat"] == 900


def test_no_two_access_tokens_are_the_same(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["refresh_token"]

    assert len({refresh(library, token).json["access_token"] for _ in range(3)}) == 3


def test_the_tests_sign_as_the_service_does(library: Library) -> None:
    """Else what follows would be refused for its signature alone."""
    add_person(library)
    claims = claims_of(signed_in(library)["access_token"])

    assert bearing(library, jwt.encode(claims, key_of(library.app), "HS256")).status_code == 200


@dataclass
class Given:
    """What a forger may have got hold of; the key they have not."""

    token: str
    key: bytes

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says."""
        return claims_of(self.token)

    @property
    def signature(self) -> str:
        """Its last part."""
        return self.token.rpartition(".")[2]

    def signed(self, **changes: Any) -> str:
        """The token with other claims (None: without), signed as the service does."""
        changed = {name: value for name, value in {**self.claims, **changes}.items() if value is not None}
        return jwt.encode(changed, self.key, "HS256")

    def headed(self, head: Any, signature: str) -> str:
        """The token with another head."""
        return f"{encoded(head)}.{encoded(self.claims)}.{signature}"


FORGERIES: dict[str, Callable[[Given], str]] = {
    "truncated by a character": lambda given: given.token[:-1],
    "without a signature": lambda given: given.token.rpartition(".")[0],
    "with an empty signature": lambda given: given.token.rpartition(".")[0] + ".",
    "without a head": lambda given: given.token.partition(".")[2],
    "too long": lambda given: given.token + "A" * 1000,
    "far too long": lambda _: "A" * 1_000_000,
    "two in one": lambda given: given.token + "." + given.token,
    "dots": lambda _: "..",
    "a word": lambda _: "null-and-void",
    "half a key": lambda _: "lib_" + "0" * 76,
    "alg none": lambda given: jwt.encode(given.claims, "", "none"),
    "alg none with a signature": lambda given: given.headed({"alg": "none"}, given.signature),
    "alg none, capitalised": lambda given: given.headed({"alg": "nOnE"}, ""),
    "no alg": lambda given: given.headed({"typ": "JWT"}, given.signature),
    "a list for alg": lambda given: given.headed({"alg": ["HS256"]}, given.signature),
    "a number for kid": lambda given: given.headed({"alg": "HS256", "kid": 1}, given.signature),
    "a list for a head": lambda given: given.headed([], given.signature),
    "deep nesting for a head": lambda given: f"{'W1tb' * 200}.e30.{given.signature}",
    "another secret": lambda given: jwt.encode(given.claims, b"x" * 32, "HS256"),
    "another secret and algorithm": lambda given: jwt.encode(given.claims, b"x" * 64, "HS512"),
    "another algorithm": lambda given: jwt.encode(given.claims, given.key * 2, "HS512"),
    "another issuer": lambda given: given.signed(iss="elsewhere"),
    "an audience": lambda given: given.signed(aud="elsewhere"),
    "expired": lambda given: given.signed(exp=given.claims["iat"] - 1),
    "not valid yet": lambda given: given.signed(nbf=given.claims["exp"]),
    "a word for a time": lambda given: given.signed(exp="soon"),
    "a time beyond all": lambda given: given.signed(exp=10**300),
    "a number for an id": lambda given: given.signed(sid=1),
    "a word for an id": lambda given: given.signed(tid="riverside"),
    "another person": lambda given: given.signed(sub=given.claims["sid"]),
    "no session": lambda given: given.signed(sid=given.claims["sub"]),
    "without iss": lambda given: given.signed(iss=None),
    "without sub": lambda given: given.signed(sub=None),
    "without sid": lambda given: given.signed(sid=None),
    "without tid": lambda given: given.signed(tid=None),
    "without iat": lambda given: given.signed(iat=None),
    "without exp": lambda given: given.signed(exp=None),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_no_valid_access_token_is_refused_with_one_line(
    library: Library, log_lines: LogLines, forgery: str
) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]
    forged = FORGERIES[forgery](Given(token, key_of(library.app)))
    before = len(log_lines.all())

    refused = bearing(library, forged)

    assert told(refused) == REFUSED
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="library"'
    [line] = log_lines.all()[before:]
    assert (line["event"], line["status"], line["code"]) == ("request.finished", 401, "unauthenticated")
    assert forged not in log_lines.text
    assert forged not in refused.text
    assert bearing(library, token).status_code == 200


def test_a_token_that_was_valid_before_its_session_ended_is_refused_with_one_line(
    library: Library, log_lines: LogLines
) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]
    bearing(library, token, "/auth/logout", "POST")
    before = len(log_lines.all())

    answers = [told(bearing(library, token)) for _ in range(3)]

    assert answers == [REFUSED] * 3
    assert [line["event"] for line in log_lines.all()[before:]] == ["request.finished"] * 3
    assert token not in log_lines.text


def test_a_token_of_another_tenant_is_a_strangers(library: Library, other_library: Library) -> None:
    for each in (library, other_library):
        add_person(each)
    token = signed_in(other_library)["access_token"]
    claims = claims_of(token) | {"tid": str(library.id)}

    assert told(bearing(library, token, "/books")) == (404, "not_found")
    assert told(bearing(library, jwt.encode(claims, key_of(library.app), "HS256"))) == REFUSED
    assert bearing(other_library, token).status_code == 200


def test_a_refresh_token_is_no_access_token(library: Library) -> None:
    add_person(library)

    assert told(bearing(library, signed_in(library)["refresh_token"])) == REFUSED


def test_a_token_dies_when_its_time_is_over_though_it_is_known_already(library: Library, log_lines: LogLines) -> None:
    user_id = add_person(library)
    claims = claims_of(signed_in(library)["access_token"])
    soon = datetime.now(UTC) + timedelta(seconds=2)
    token = jwt.encode({**claims, "exp": soon}, key_of(library.app), "HS256")
    assert bearing(library, token).status_code == 200

    answers = [bearing(library, token)]
    while answers[-1].status_code == 200 and datetime.now(UTC) < soon + timedelta(seconds=5):
        answers.append(bearing(library, token))

    assert told(answers[-1]) == REFUSED
    assert datetime.now(UTC) >= soon - timedelta(seconds=1)
    [line] = [line for line in log_lines.all() if line.get("status") == 401]
    assert line["principal"] == f"user:{user_id}"


def test_a_token_that_another_machine_has_made_by_a_clock_ahead_is_valid(library: Library) -> None:
    add_person(library)
    claims = claims_of(signed_in(library)["access_token"])

    token = jwt.encode({**claims, "iat": claims["iat"] + 30}, key_of(library.app), "HS256")

    assert bearing(library, token).status_code == 200


def test_with_another_secret_no_token_is_valid(library: Library, make_app: Callable[..., Flask]) -> None:
    add_person(library)
    begun = signed_in(library)
    there = elsewhere(library, make_app(SECRET_KEY="another secret, of which nobody here knows"))

    assert told(bearing(there, begun["access_token"])) == REFUSED
    assert told(refresh(there, begun["refresh_token"])) == (401, "invalid_refresh_token")


def test_how_long_access_tokens_live_is_a_setting(make_app: Callable[..., Flask]) -> None:
    library = add_library(make_app(ACCESS_TOKEN_SECONDS="60"), "riverside")
    add_person(library)

    begun = signed_in(library)

    claims = claims_of(begun["access_token"])
    assert (begun["expires_in"], claims["exp"] - claims["iat"]) == (60, 60)


def test_the_platforms_people_reach_every_tenant_and_a_tenants_admin_no_other(
    library: Library, platform: Library
) -> None:
    add_person(library, kind=UserType.STAFF, role=Role.ADMIN)
    add_person(platform, kind=UserType.STAFF, role=Role.PLATFORM_ADMIN)
    theirs, ours = signed_in(platform)["access_token"], signed_in(library)["access_token"]

    assert bearing(library, theirs, "").status_code == 200
    assert told(bearing(platform, ours, "")) == (404, "not_found")


def test_the_reader_of_refresh_tokens_knows_its_own_tenants_alone(
    in_app: Flask, library: Library, other_library: Library
) -> None:
    with tenant(library.id):
        token = tokens.refresh_token(library.id, 4_294_967_295)
        known = tokens.read_refresh_token(token)
    with tenant(other_library.id):
        foreign = tokens.read_refresh_token(token)
    db.session.remove()

    assert (known, foreign) == ((library.id, 4_294_967_295), None)


# — headers with junk ——————————————————————————————————————————————————————————————————————————————

JUNK = [
    "Bearer",
    "Bearer ",
    "bearer  \t ",
    "Basic YW5uYTpvdHRlcnM=",
    "Digest username=anna",
    "Token abc",
    "abc",
    "Bearer abc def",
    "Bearer \x00\x01\x7f",
    "Bearer \xff\xfe\x80",
    "Bearer \u00e9\u00e8",
    "Bearer lib_\xe9",
    "Bearer ey.\xe9.A",
    "Bearer " + "lib_" * 2000,
    "\x1b[31mBearer abc",
    ",",
    "=",
]


@pytest.mark.parametrize("value", JUNK)
@pytest.mark.parametrize("header", ["HTTP_AUTHORIZATION", "HTTP_X_API_KEY"])
def test_junk_in_a_header_is_no_credential(library: Library, header: str, value: str) -> None:
    for path in ("/auth/me", "/books"):
        refused = library.get(path, role=None, environ_overrides={header: value})

        assert told(refused) == REFUSED


def test_several_credentials_in_one_header_are_none(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]

    both = library.get(
        "/auth/me", role=None, environ_overrides={"HTTP_AUTHORIZATION": f"Bearer {token},Bearer {token}"}
    )

    assert told(both) == REFUSED


def test_the_scheme_is_the_same_however_it_is_capitalised(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]

    for scheme in ("bearer", "BEARER"):
        answer = library.get("/auth/me", role=None, headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == 200


def test_an_access_token_is_taken_as_an_api_key_too(library: Library) -> None:
    add_person(library)
    token = signed_in(library)["access_token"]

    assert library.get("/auth/me", role=None, headers={"X-API-Key": token}).status_code == 200


@pytest.mark.parametrize("value", JUNK)
def test_junk_in_a_header_keeps_nobody_from_signing_in(library: Library, value: str) -> None:
    add_person(library)

    answer = library.post(
        "/auth/login",
        {"email": "anna.smith@example.org", "password": "otters swim at dawn"},  # pragma: allowlist secret
        role=None,
        environ_overrides={"HTTP_AUTHORIZATION": value},
    )

    assert answer.status_code == 200, answer.text


def test_a_stranger_is_told_what_to_send(client: FlaskClient, library: Library) -> None:
    refused = client.get("/api/v1/tenants/riverside/auth/me")

    assert refused.status_code == 401
    assert "Authorization: Bearer" in refused.get_json()["detail"]
    assert log_in(library).status_code == 401
