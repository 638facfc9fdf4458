"""Writing personal data anew under the newest key of `PII_KEYS`, while the service runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from sqlalchemy import func, select

from app.core import pii
from app.core.database import transaction
from app.core.sets import table_of
from app.core.tenancy import own
from app.events import service as events
from app.extensions import db
from app.members.models import User
from app.members.service.users import rewrite

# Few enough that nobody who wants to change one of them waits long.
_AT_ONCE: Final = 100
_PAUSE_SECONDS: Final = 0.1


def outdated_rows() -> int:
    """How many of the tenant's people are kept under an older key."""
    statement = select(func.count()).where(own(User), User.key_id != pii.newest_key_id())
    return db.session.scalar(statement) or 0


def rotate_personal_data() -> Iterator[int]:
    """Rewrite the tenant's people, some at a time; gives the number of each time.

    Raises:
        UnreadablePersonalData: a key is no longer in `PII_KEYS`; what was rewritten before stays so.
    """
    total = 0
    while outdated_rows():
        for some in _rewritten_in_passing():
            total += some
            yield some
        # Whoever is left is being changed, by a process with an older key in front maybe.
        time.sleep(_PAUSE_SECONDS)
    if total:
        events.record("secrets.rotated", users=total, key_id=pii.newest_key_id())


def _rewritten_in_passing() -> Iterator[int]:
    """Rewrite everybody once whom nobody else is changing: two who wait for each other's rows would wait for ever."""
    after = UUID(int=0)
    while True:
        with transaction() as session:
            people = session.scalars(
                select(User)
                .where(own(User), User.key_id != pii.newest_key_id(), User.id > after)
                .order_by(User.id)
                .limit(_AT_ONCE)
                .with_for_update(of=table_of(User), skip_locked=True)
            ).all()
            if not people:
                return
            rewrite(people)
            after = people[-1].id
        yield len(people)
