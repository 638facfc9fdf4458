"""What an OpenID Connect issuer vouches for: the check of an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

An issuer's keys are found by discovery and kept in the process. A key that is not among them is looked for once more,
for issuers change their keys; but not again and again, for anybody can name a key that is none. While an issuer is
away, what is kept goes on serving, and nobody who can be served by it waits for the issuer.
"""

from __future__ import annotations

import hmac
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import jwt
import orjson
import requests
from flask import Flask, current_app
from urllib3.exceptions import HTTPError as TransportError

from app.core.errors import RETRY_AFTER_SECONDS, Unauthenticated, Unavailable
from app.core.text import CONTROL_CHARACTERS, EMAIL_ADDRESS
from app.settings import Settings, current_settings

log = logging.getLogger(__name__)

# Only such as need the issuer's private key: with a symmetric one, whoever may check a token could make one. Which of
# them a key signs by, its own description decides; where that does not say, RS256 for RSA, as OpenID Connect has it.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LONGEST_TOKEN: Final = 16_384
# The clocks of issuers and of ours need not agree to the second.
LEEWAY_SECONDS: Final = 30
FRESH_SECONDS: Final = 3600.0
USABLE_SECONDS: Final = 24 * 3600.0
# Between two looks for an unknown key, and after a failure where there are keys to go on with.
PAUSE_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 3.0
_MOST_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 16 * 1024
_LONGEST_SUBJECT: Final = 255
_LONGEST_EMAIL: Final = 254
_LONGEST_NAME: Final = 200
_TIMES: Final = ("exp", "iat", "nbf")
_REQUIRED: Final = ["iss", "sub", "aud", "exp", "iat"]


class InvalidIdToken(Unauthenticated):
    """This is no ID token that counts here: of a foreign issuer, for somebody else, outdated, or not whole."""

    code = "invalid_id_token"


class IssuerUnavailable(Unavailable):
    """The issuer's keys, by which an ID token is checked, can't be had at the moment."""

    code = "issuer_unavailable"

    def __init__(self) -> None:
        """Say so, with the pause after which a try is worth it."""
        super().__init__("The issuer of this ID token does not answer at the moment; try again shortly.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, as an issuer vouches for."""

    issuer: str
    subject: str
    email: str
    name: str | None
    expires_at: datetime


def init_app(app: Flask, settings: Settings) -> None:
    """Keep the keys of each issuer from now on; none is asked before a token names it."""
    app.extensions["issuers"] = {
        issuer: Issuer(issuer, needs_tls=settings.is_production) for issuer in settings.oidc_issuers
    }


def verified_identity(id_token: str, *, nonce: str | None) -> Identity:
    """Check an ID token; not within a transaction, since the issuer may have to be asked for its keys.

    `nonce` is what the client sent to the issuer: where one of both names one, the other must name the same.

    Raises:
        InvalidIdToken: it is none that counts here; the text says why.
        IssuerUnavailable: the issuer's keys can't be had.
    """
    if len(id_token) > LONGEST_TOKEN:
        raise InvalidIdToken(f"An ID token has at most {LONGEST_TOKEN} characters.")
    header, issuer = _named(id_token)
    audiences = current_settings().oidc_issuers.get(issuer)
    if audiences is None:
        raise InvalidIdToken("This ID token is of an issuer that is not accepted here.")
    key = _issuers()[issuer].key(header)
    claims = _signed_claims(id_token, key, issuer=issuer, audiences=audiences)
    _check_party(claims, audiences)
    _check_nonce(claims.get("nonce"), nonce)
    return Identity(
        issuer=issuer,
        subject=_subject(claims),
        email=_verified_email(claims),
        name=_name(claims),
        expires_at=_expiry(claims),
    )


def _issuers() -> dict[str, Issuer]:
    found: dict[str, Issuer] = current_app.extensions["issuers"]
    return found


# — the token ——————————————————————————————————————————————————————————————————————————————————————


def _named(id_token: str) -> tuple[dict[str, Any], str]:
    """The header, and the issuer that the token says it is of, before any of it is believed."""
    try:
        header = jwt.get_unverified_header(id_token)
        issuer = jwt.decode(id_token, options={"verify_signature": False}).get("iss")
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
        raise InvalidIdToken("This is no ID token.") from error
    if header.get("alg") not in ALGORITHMS:
        raise InvalidIdToken("This ID token is signed in a way that is not accepted.")
    # RFC 9068 names access tokens so, that they are not taken for ID tokens.
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidIdToken("This is a token of another kind than ID tokens.")
    return header, issuer if isinstance(issuer, str) else ""


def _signed_claims(id_token: str, key: jwt.PyJWK, *, issuer: str, audiences: frozenset[str]) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            # The key's own, which fits its kind: what the header says decides nothing.
            [key.algorithm_name],
            issuer=issuer,
            audience=audiences,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidIdToken("This ID token has expired.") from error
    except jwt.InvalidAudienceError as error:
        raise InvalidIdToken("This ID token is for another audience.") from error
    except jwt.MissingRequiredClaimError as error:
        raise InvalidIdToken(f"This ID token lacks the claim {error.claim}.") from error
    except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError) as error:
        raise InvalidIdToken("This ID token is not valid yet.") from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise InvalidIdToken("This ID token has no valid signature of its issuer, or no valid claims.") from error
    # PyJWT takes "1795884660" and true for times as well.
    if any(type(claims.get(name, 0)) not in (int, float) for name in _TIMES):
        raise InvalidIdToken("This ID token has no valid times.")
    return claims


def _expiry(claims: dict[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidIdToken("This ID token has no valid times.") from error


def _check_party(claims: dict[str, Any], audiences: frozenset[str]) -> None:
    """Several audiences want an authorised party, and where there is one, it must be ours."""
    party, audience = claims.get("azp"), claims["aud"]
    is_shared = isinstance(audience, list) and len(audience) > 1
    if (party is not None or is_shared) and not (isinstance(party, str) and party in audiences):
        raise InvalidIdToken("This ID token was issued to another party.")


def _check_nonce(claimed: Any, sent: str | None) -> None:
    if claimed is None and sent is None:
        return
    if not (isinstance(claimed, str) and sent is not None and hmac.compare_digest(_bytes(claimed), _bytes(sent))):
        raise InvalidIdToken("The nonce is not the one in this ID token.")


def _bytes(text: str) -> bytes:
    """JSON can spell half of a surrogate pair, which is no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _subject(claims: dict[str, Any]) -> str:
    subject: str = claims["sub"]
    if not subject or len(subject) > _LONGEST_SUBJECT or CONTROL_CHARACTERS.search(subject):
        raise InvalidIdToken("This ID token names nobody.")
    return subject


def _verified_email(claims: dict[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or len(email) > _LONGEST_EMAIL or not _is_email(email):
        raise InvalidIdToken("This ID token holds no e-mail address; ask the issuer for the scope 'email'.")
    is_verified = claims.get("email_verified")
    # Some issuers write the boolean as text.
    if is_verified is not True and is_verified != "true":
        raise InvalidIdToken("The issuer has not verified the e-mail address in this ID token.")
    return email


def _is_email(text: str) -> bool:
    return re.fullmatch(EMAIL_ADDRESS, text) is not None and not CONTROL_CHARACTERS.search(text)


def _name(claims: dict[str, Any]) -> str | None:
    """The name, where there is one that can be stored; it decides nothing."""
    name = claims.get("name")
    words = " ".join(name.split()) if isinstance(name, str) else ""
    return None if CONTROL_CHARACTERS.search(words) else words[:_LONGEST_NAME].rstrip() or None


# — the keys ———————————————————————————————————————————————————————————————————————————————————————


@dataclass
class Issuer:
    """One issuer's keys, as this process knows them."""

    url: str
    needs_tls: bool
    # To connect, and for each piece of an answer; the whole of it may take twice as long.
    timeout_seconds: float = TIMEOUT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str | None, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float = -math.inf
    _due_at: float = -math.inf
    _fetching: threading.Lock = field(default_factory=threading.Lock)

    def key(self, header: dict[str, Any]) -> jwt.PyJWK:
        """The key that a token's header names.

        Raises:
            InvalidIdToken: the issuer has none of this name that signs as the header says.
            IssuerUnavailable: no keys are known, and none can be had.
        """
        found = self._known(header)
        if found is not None and self._age() < FRESH_SECONDS:
            return found
        # Who has a key that still counts waits for no fetch of another; the others, as long as two answers may take.
        if self._fetching.acquire(timeout=0 if found else 4 * self.timeout_seconds):
            try:
                self._fetch_if_due()
            finally:
                self._fetching.release()
            found = self._known(header)
        elif found is None:
            raise IssuerUnavailable
        if found is not None:
            return found
        if self._age() >= USABLE_SECONDS:
            raise IssuerUnavailable
        raise InvalidIdToken("This ID token is signed with a key that is not its issuer's.")

    def _known(self, header: dict[str, Any]) -> jwt.PyJWK | None:
        if self._age() >= USABLE_SECONDS:
            return None
        keys, kid = self._keys, header.get("kid")
        found = keys.get(kid) if kid or len(keys) != 1 else next(iter(keys.values()))
        return found if found is not None and found.algorithm_name == header["alg"] else None

    def _age(self) -> float:
        return self.clock() - self._fetched_at

    def _fetch_if_due(self) -> None:
        """Ask the issuer, unless that was done a moment ago."""
        if self.clock() < self._due_at:
            return
        try:
            self._keys = self._fetched()
            self._fetched_at = self.clock()
        except _Failed as failure:
            log.warning("issuer.unavailable", extra={"issuer": self.url, "reason": str(failure)})
        # Without keys nobody can sign in, so that is tried again as soon as clients are told to.
        self._due_at = self.clock() + (PAUSE_SECONDS if self._age() < USABLE_SECONDS else RETRY_AFTER_SECONDS)

    def _fetched(self) -> dict[str | None, jwt.PyJWK]:
        discovered = self._get(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
        if discovered.get("issuer") != self.url:
            raise _Failed("calls itself otherwise than OIDC_ISSUERS does")
        keys = self._get(str(discovered.get("jwks_uri"))).get("keys")
        made = [key for each in keys for key in _signing_key(each)] if isinstance(keys, list) else []
        if not made:
            raise _Failed("has no key to check signatures by")
        return {key.key_id: key for key in made}

    def _get(self, url: str) -> dict[str, Any]:
        if not url.startswith("https://" if self.needs_tls else ("https://", "http://")):
            raise _Failed("names no https address")
        until = time.monotonic() + 2 * self.timeout_seconds
        try:
            # Not followed elsewhere: keys are the issuer's own, or none.
            with requests.get(url, timeout=self.timeout_seconds, stream=True, allow_redirects=False) as answer:
                if answer.status_code != requests.codes.ok:
                    raise _Failed(f"answers {answer.status_code}")
                found = orjson.loads(_body(answer, until=until))
        except (requests.RequestException, TransportError, OSError, ValueError) as error:
            raise _Failed(f"fails with {type(error).__name__}") from error
        if not isinstance(found, dict):
            raise _Failed("answers with no JSON object")
        return found


class _Failed(Exception):
    """The issuer does not answer, or not as an issuer does; the text goes on after its name."""


def _body(answer: requests.Response, *, until: float) -> bytes:
    """Read an answer up to a size and a moment, whatever the speed at which it drips in."""
    body = b""
    # `read1` gives what has arrived; `iter_content` would wait until a piece is full.
    while piece := answer.raw.read1(_PIECE_BYTES, decode_content=True):
        body += piece
        if len(body) > _MOST_BYTES:
            raise _Failed("answers without end")
        if time.monotonic() > until:
            raise _Failed("answers too slowly")
    return body


def _signing_key(described: Any) -> list[jwt.PyJWK]:
    """The key of a description, as a list; empty for what is no key to check signatures by."""
    # With a "d" it is a private key, which is everybody's once it stands there.
    if not isinstance(described, dict) or described.get("use", "sig") != "sig" or "d" in described:
        return []
    if not isinstance(described.get("kid"), str | None):
        return []
    try:
        key = jwt.PyJWK(described)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError):
        return []
    return [key] if key.algorithm_name in ALGORITHMS else []
