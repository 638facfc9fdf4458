"""Passwords: how they are kept (argon2id), which are refused, and how many are reckoned at a time.

To reckon one takes some 30 ms and 19 MiB. So at most half of a process's threads
do it at once and whoever comes then is asked to come back: the other threads go on reading for everybody else.
"""

from __future__ import annotations

import math
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from app.core.errors import Unavailable
from app.settings import current_settings

MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 128
# The second of the settings that the OWASP Password Storage Cheat Sheet gives for argon2id.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# zxcvbn's score of what falls within a million guesses, such as "password1234" or "qwertyuiop12".
_GUESSED: Final = 1
# zxcvbn reads no more: its time grows with the square of the length, and what is so long is not guessed by its end.
_ESTIMATED_CHARACTERS: Final = 72
# It looks up every part in every reading of signs and digits as letters: "4" and "@" as "a", "1" as "i" and as "l". A
# password of all such signs has hundreds of readings and would take ten seconds; so much takes a tenth of one.
_MOST_LOOKED_UP: Final = 8 * _ESTIMATED_CHARACTERS**2
# zxcvbn keeps the personal words in a dictionary of its module's, where another thread would find them.
_estimating = threading.Lock()
# Verified where there is no account, so that a stranger can't tell by the time. The password is nobody's.
_NOBODYS: Final = _HASHER.hash("")
_reckoning: dict[int, threading.BoundedSemaphore] = {}


class SignInBusy(Unavailable):
    """Too many passwords are being checked at the moment; try again in a second."""

    code = "sign_in_busy"


def is_common(password: str, *, personal: Iterable[str] = ()) -> bool:
    """True for what is guessed first: known passwords, patterns, and the account's own name or address.

    The beginning decides: 72 characters, and fewer where many signs could stand for letters.
    """
    beginning = password[:_ESTIMATED_CHARACTERS]
    while _readings(beginning) * len(beginning) ** 2 > _MOST_LOOKED_UP:
        beginning = beginning[:-1]
    words = [word[:_ESTIMATED_CHARACTERS] for word in personal]
    with _estimating:
        return int(zxcvbn(beginning, user_inputs=words)["score"]) <= _GUESSED


def _readings(text: str) -> int:
    """About how many readings zxcvbn tries: each letter is one of the signs for it that are there."""
    return math.prod(max(1, len(set(text).intersection(signs))) for signs in L33T_TABLE.values())


def hash_password(password: str) -> str:
    """What is stored instead of the password.

    Raises:
        SignInBusy: too many are reckoned at the moment.
    """
    with one_of_few():
        return _HASHER.hash(_typed(password))


def verify_password(kept: str | None, password: str) -> bool:
    """True when this is the password that was stored; where none was, False after just as long.

    Raises:
        SignInBusy: too many are reckoned at the moment.
    """
    with one_of_few():
        try:
            return _HASHER.verify(_NOBODYS if kept is None else kept, _typed(password)) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def _typed(password: str) -> str:
    """The same for every keyboard: some send "ü" as one character and some as two (RFC 8265, OpaqueString)."""
    return unicodedata.normalize("NFC", password)


def is_outdated(kept: str) -> bool:
    """True where passwords are stored with other settings by now."""
    return _HASHER.check_needs_rehash(kept)


@contextmanager
def one_of_few() -> Iterator[None]:
    """Take one of the places for looking at and reckoning passwords.

    Raises:
        SignInBusy: all are taken.
    """
    few = max(1, current_settings().web_threads // 2)
    places = _reckoning.setdefault(few, threading.BoundedSemaphore(few))
    if not places.acquire(blocking=False):
        raise SignInBusy("Too many passwords are being checked at the moment; try again.", retry_after_seconds=1)
    try:
        yield
    finally:
        places.release()
