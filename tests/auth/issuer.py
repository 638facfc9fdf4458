"""An OpenID Connect issuer of the tests' own: it can change its keys, be away, slow, or talk nonsense."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "app.example.org"
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"
_PATIENCE_SECONDS = 60.0
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class FromNow:
    """A time that a claim names, told from the moment in which its token is made."""

    seconds: float


@cache
def rsa_key(name: str, *, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key; the same for the same name, since to make one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@dataclass
class LocalIssuer:
    """What the issuer does, and what it was asked."""

    name: str
    path: str
    url: str = ""
    keys: dict[str, SigningKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    # Instead of what is asked for, by path.
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    # No answer is given while this is not set.
    may_answer: threading.Event = field(default_factory=threading.Event)
    # Before each answer, and before each byte of it.
    pause_seconds: float = 0.0
    drip_seconds: float = 0.0
    # Hangs up at once, or in the middle of an answer.
    is_away: bool = False
    breaks_off: bool = False

    def new_key(self, kid: str, *, elliptic: bool = False) -> None:
        """Sign with one more key from now on."""
        made: SigningKey = ec.generate_private_key(ec.SECP256R1()) if elliptic else rsa_key(f"{self.name}/{kid}")
        self.keys = {**self.keys, kid: made}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What Google says of somebody; None takes a claim away."""
        now = int(time.time())
        timed = {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in changes.items()}
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "azp": AUDIENCE,
            "sub": "110169484474386276334",
            "email": "rea@example.org",
            "email_verified": True,
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "name": "Rea Reader",
            "picture": "https://lh3.example.com/a/photo",
            "given_name": "Rea",
            "family_name": "Reader",
            "iat": now,
            "exp": now + 3600,
            **timed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def firebase_claims(self) -> dict[str, Any]:
        """What Firebase Authentication says of somebody who has set no name."""
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": AUDIENCE,
            "auth_time": now,
            "user_id": "Xk893u23H9SJ893",
            "sub": "Xk893u23H9SJ893",
            "iat": now,
            "exp": now + 3600,
            "email": "rea@example.org",
            "email_verified": True,
            "firebase": {"identities": {"email": ["rea@example.org"]}, "sign_in_provider": "password"},
        }

    def token(self, *, kid: str = "1", alg: str | None = None, **changes: Any) -> str:
        """An ID token."""
        return self.signed(self.claims(**changes), by=kid, alg=alg)

    def signed(self, claims: dict[str, Any], *, by: str = "1", alg: str | None = None, **header: Any) -> str:
        """A token of these claims, right or wrong, signed by a key; `header` has other members of the header."""
        key = self.keys[by]
        chosen = alg or ("ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256")
        parts = [{"alg": chosen, "kid": by, "typ": "JWT", **header}, claims]
        signed = ".".join(in_base64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{in_base64(jwt.get_algorithm_by_name(chosen).sign(signed.encode(), key))}"

    def answer(self, path: str) -> tuple[int, bytes]:
        """What is answered at a path."""
        self.asked.append(path)
        self.may_answer.wait(_PATIENCE_SECONDS)
        time.sleep(self.pause_seconds)
        if path in self.answers:
            return self.answers[path]
        if path == self.path.rstrip("/") + DISCOVERY:
            return 200, orjson.dumps({"issuer": self.url, "jwks_uri": self.url.removesuffix(self.path) + KEYS})
        if path == KEYS:
            return 200, orjson.dumps({"keys": [self._described(kid) for kid in self.keys]})
        return 404, b"<html>"

    def _described(self, kid: str) -> dict[str, Any]:
        key = self.keys[kid]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            described = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            described = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**described, "kid": kid, "use": "sig"}


def in_base64(content: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def local_issuer(*, name: str = "ours", path: str = "") -> Iterator[LocalIssuer]:
    """An issuer that answers for as long as the block lasts; its address ends with `path`."""
    issuer = LocalIssuer(name, path)
    issuer.new_key("1")
    issuer.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if issuer.is_away:
                issuer.asked.append(self.path)
                return
            status, body = issuer.answer(self.path)
            self.send_response(status)
            self.send_header("Location", f"{issuer.url}/elsewhere")
            self.send_header("Content-Length", str(len(body) + issuer.breaks_off))
            self.end_headers()
            try:
                for piece in [bytes([byte]) for byte in body] if issuer.drip_seconds else [body]:
                    time.sleep(issuer.drip_seconds)
                    self.wfile.write(piece)
            except OSError:
                self.close_connection = True  # the client has hung up

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield issuer
    finally:
        issuer.may_answer.set()
        server.shutdown()
        server.server_close()
