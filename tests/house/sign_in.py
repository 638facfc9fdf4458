"""What signs somebody in: of a library's people and groups, made anew for whoever needs one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.auth import service as auth
from app.auth.models import MagicLink, SignInMethod
from app.auth.service.sign_in import _hash
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import queries as people
from app.members.models import User
from tests.auth.people import EMAIL, PASSWORD
from tests.conftest import Library
from tests.house.contract import made

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Credentials:
    """What opens one library."""

    library: Library

    def email(self) -> str:
        """The address of somebody with a password."""
        with self.library.app.app_context(), as_tenant(self.library.id):
            is_there = people.user_by_email(EMAIL) is not None
            db.session.remove()
        if not is_there:
            body = {"type": "reader", "name": "Anna Smith", "email": EMAIL, "password": PASSWORD}
            made(self.library.post("/users", body, role="admin"))
        return EMAIL

    def refresh_token(self) -> str:
        """One that counts."""
        with self._somebody() as person:
            return auth.begin_session(person, method=SignInMethod.COMMAND).refresh_token

    def magic_token(self) -> str:
        """One that has been mailed, if anybody asks."""
        token = f"mag_{next(_numbers)}"
        with self._somebody() as person, transaction() as session:
            expires_at = utc_now() + timedelta(minutes=15)
            session.add(MagicLink(user_id=person.id, token_hash=_hash(token), expires_at=expires_at))
        return token

    def join_code(self) -> str:
        """Of a group of its own."""
        group = made(self.library.post("/groups", {"name": "Class 3b"}, role="admin"))
        return str(self.library.post(f"/groups/{group}/join-code", {}, role="admin").json["join_code"])

    @contextmanager
    def _somebody(self) -> Iterator[User]:
        body = {"type": "reader", "name": "Somebody"}
        user_id = UUID(made(self.library.post("/users", body, role="admin")))
        with self.library.app.app_context(), as_tenant(self.library.id), acting_as(SYSTEM):
            person = people.user(user_id)
            assert person is not None
            yield person
            db.session.remove()
