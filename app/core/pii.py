"""Personal data: encrypted where it must be read again, hashed where it is only looked up, masked where it is shown.

All keys are derived from the secrets in `PII_KEYS` (HKDF-SHA256, RFC 5869) for one tenant and one purpose: what is kept
of a person in one library can't be matched with what another keeps. The newest secret writes and all of them read, so
that secrets are changed while the service runs: `flask secrets rotate` writes anew what older ones have written.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import idna
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.derivation import derived_key
from app.core.tenancy import current_tenant_id
from app.settings import current_settings

_NONCE_BYTES: Final = 12


class UnreadablePersonalData(RuntimeError):
    """No key in `PII_KEYS` opens this: the key is missing, or the row was changed or moved."""


def newest_key_id() -> str:
    """The id of the key that writes."""
    return current_settings().pii_keys[0][0]


def seal(content: Mapping[str, Any], *, of: UUID) -> tuple[str, bytes]:
    """Encrypt what is kept of a person `of` the current tenant: the key's id, and the bytes for the row beside it."""
    key_id, secret = current_settings().pii_keys[0]
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = AESGCM(_key(secret, "seal"))
    return key_id, nonce + cipher.encrypt(nonce, orjson.dumps(content), of.bytes)


def unseal(key_id: str, sealed: bytes, *, of: UUID) -> dict[str, Any]:
    """What was sealed for this person.

    Raises:
        UnreadablePersonalData: the key is not in `PII_KEYS`, or these are not the person's own bytes.
    """
    secret = dict(current_settings().pii_keys).get(key_id)
    if secret is None:
        raise UnreadablePersonalData(f"PII_KEYS has no key {key_id!r}; put it back, behind the newest.")
    cipher = AESGCM(_key(secret, "seal"))
    try:
        content: dict[str, Any] = orjson.loads(cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.bytes))
    except (InvalidTag, ValueError) as error:  # ValueError: too short to hold anything
        raise UnreadablePersonalData(f"The key {key_id!r} of PII_KEYS does not open this row.") from error
    return content


def look_up_hash(text: str, *, purpose: str) -> bytes:
    """What is stored of a text to find it by: its HMAC-SHA256 under the newest key of the tenant and the purpose."""
    return look_up_hashes(text, purpose=purpose)[0]


def look_up_hashes(text: str, *, purpose: str) -> list[bytes]:
    """The same under every key, the newest first: what may be stored of it while keys are being changed."""
    content = (normalised_address(text) if purpose == "email" else normalised(text)).encode()
    return [
        hmac.digest(_key(secret, f"look up {purpose}"), content, "sha256") for _, secret in current_settings().pii_keys
    ]


def normalised(text: str) -> str:
    """One spelling of a name that people take for the same."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def normalised_address(email: str) -> str:
    """One spelling of an e-mail address, for addresses that are one mailbox and no others.

    The domain is what its owner has registered (IDNA 2008, RFC 5891), where ß is another letter than ss; before the @,
    only case is set aside.
    """
    local, _, domain = unicodedata.normalize("NFC", email).strip().rpartition("@")
    try:
        name = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        name = domain.lower()
    return f"{local.lower()}@{name}"


def masked_email(email: str) -> str:
    """An address to be recognised by whoever knows it: the first character, if there are others, and the domain."""
    local, at, domain = email.rpartition("@")
    return f"{local[0] if len(local) > 1 else ''}***@{domain}" if at else "***"


def _key(secret: bytes, purpose: str) -> bytes:
    return derived_key(secret, purpose=purpose.encode(), of=current_tenant_id().bytes)
