"""The form of a service account's key: `lib_<prefix>_<tenant><secret>`, all in letters and digits.

The prefix (10 characters) tells keys apart in lists and logs, the next 22 are the tenant's id, the last 43 are 256
random bits. Random as it is, a fast hash suffices to store it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass
from uuid import UUID

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX_LENGTH = 10
_TENANT_LENGTH = 22
_SECRET_LENGTH = 43
_FORM = re.compile(
    rf"(lib_[0-9A-Za-z]{{{_PREFIX_LENGTH}}})_([0-9A-Za-z]{{{_TENANT_LENGTH}}})[0-9A-Za-z]{{{_SECRET_LENGTH}}}"
)


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What a key says of itself before it is believed."""

    prefix: str
    tenant_id: UUID
    hash: bytes


def new_key(tenant_id: UUID) -> tuple[str, KeyParts]:
    """A fresh key and what is stored of it."""
    prefix = "lib_" + "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX_LENGTH))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    key = f"{prefix}_{_encode(tenant_id.int)}{secret}"
    return key, KeyParts(prefix, tenant_id, hash_of(key))


def parse_key(text: str) -> KeyParts | None:
    """The parts of a key; None where the text is not one."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    number = _decode(match[2])
    return None if number >> 128 else KeyParts(match[1], UUID(int=number), hash_of(text))


def hash_of(key: str) -> bytes:
    """What is stored instead of the key."""
    return hashlib.sha256(key.encode()).digest()


def _encode(number: int) -> str:
    digits = []
    for _ in range(_TENANT_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number * len(_ALPHABET) + _ALPHABET.index(character)
    return number
