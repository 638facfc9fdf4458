"""Passwords of accounts: refused where they are guessed first, and reckoned before the transaction that writes them.

To look at a password and to hash it takes a tenth of a second. Within the transaction it would hold a connection, and
the locks that others wait for, as long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from app.core.errors import Invalid
from app.core.passwords import hash_password, is_common, one_of_few, verify_password
from app.events import service as events
from app.events.models import EventLevel
from app.members.models import User


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What an account is to keep of a password; None where it is to have none."""

    kept: str | None = field(repr=False)


NO_PASSWORD: Final = NewPassword(None)


def new_password(password: str | None, *, personal: Iterable[str | None]) -> NewPassword:
    """Reckon what an account is to keep of a password; not within a transaction.

    Raises:
        Invalid: it is guessed first, what is `personal` and the words in it among them.
        SignInBusy: too many passwords are reckoned at the moment.
    """
    if password is None:
        return NO_PASSWORD
    guessed = {word for each in personal if each for word in (each, *re.findall(r"\w+", each))}
    with one_of_few():
        is_guessed = is_common(password, personal=guessed)
    if is_guessed:
        raise Invalid.field("password", "Is among those that are guessed first; choose another one.")
    return NewPassword(hash_password(password))


def check_present_password(person: User, given: str | None) -> None:
    """Let only go on who knows the password that somebody has.

    Raises:
        Invalid: it is another one.
        SignInBusy: too many passwords are reckoned at the moment.
    """
    if given is None or not verify_password(person.password_hash, given):
        events.record("user.password_refused", subject_id=person.id, level=EventLevel.WARNING)
        raise Invalid.field("current_password", "Must be the present password.")
