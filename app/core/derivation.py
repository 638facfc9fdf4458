"""Keys made of the service's secrets, one for each purpose, so that what is done with one tells nothing of another."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES: Final = 32
# Those of some thousand tenants; each takes microseconds to make again.
_KEPT_KEYS: Final = 10_000


@lru_cache(maxsize=_KEPT_KEYS)
def derived_key(secret: bytes, *, purpose: bytes, of: bytes | None = None) -> bytes:
    """The key (32 bytes) for a purpose, and for one owner where it is `of` somebody (HKDF-SHA256, RFC 5869)."""
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=of, info=purpose).derive(secret)
