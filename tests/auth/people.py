"""People of the tests' libraries, what they ask, and the time that passes for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.security import Role
from app.core.tenancy import tenant
from app.extensions import db
from app.members import service as members
from app.members.models import UserType
from app.tenants import service as tenants
from tests.conftest import Answer, Library

EMAIL = "anna.smith@example.org"
PASSWORD = "otters swim at dawn"  # pragma: allowlist secret
_PATIENCE_SECONDS = 30.0
_Answer = TypeVar("_Answer")


def add_person(library: Library, **fields: Any) -> UUID:
    """A reader with the address and the password above, unless `fields` say otherwise."""
    given: dict[str, Any] = {"name": "Anna Smith", "email": EMAIL, "password": PASSWORD, "role": Role.READER, **fields}
    with library.app.app_context(), tenant(library.id):
        given["password"] = members.new_password(given["password"], personal=[])
        person = members.make_user(given.pop("kind", UserType.READER), **given)
        db.session.remove()
    return person.id


def change(library: Library, user_id: UUID, **changes: Any) -> None:
    """Change somebody as an administrator would."""
    with library.app.app_context(), tenant(library.id):
        members.update_user(user_id, changes, password=members.changed_password(user_id, changes))
        db.session.remove()


def add_library(app: Flask, slug: str, **fields: Any) -> Library:
    """A tenant of an app of the test's own."""
    with app.app_context():
        made = tenants.create_tenant(slug=slug, name=slug.title(), kind="library", **fields)
        db.session.remove()
    return Library(app, slug, made.id)


def elsewhere(library: Library, app: Flask) -> Library:
    """The same tenant, as another process serves it."""
    return Library(app, library.slug, library.id, library.keys)


def log_in(library: Library, *, address: str = "127.0.0.1", **body: Any) -> Answer:
    """Ask for tokens, as the person above unless `body` says otherwise."""
    account = {} if {"email", "username"} & body.keys() else {"email": EMAIL}
    given = {**account, "password": PASSWORD, **body}
    return library.post("/auth/login", given, role=None, environ_overrides={"REMOTE_ADDR": address})


def signed_in(library: Library, **body: Any) -> Any:
    """The tokens of somebody who has just signed in."""
    answer = log_in(library, **body)
    assert answer.status_code == 200, answer.text
    return answer.json


def refresh(library: Library, token: Any) -> Answer:
    """Ask for the next tokens."""
    return library.post("/auth/refresh", {"refresh_token": token}, role=None)


def bearing(library: Library, token: str, path: str = "/auth/me", method: str = "GET", **options: Any) -> Answer:
    """Call with an access token."""
    return library.call(method, path, role=None, headers={"Authorization": f"Bearer {token}"}, **options)


def told(answer: Answer) -> tuple[int, str]:
    """A refusal's status and code."""
    return answer.status_code, answer.json["code"]


def execute(owner: Engine, statement: str, **values: Any) -> list[Any]:
    """Do something in the database past the application, such as letting time pass; the rows it gives, if any."""
    with owner.begin() as connection:
        found = connection.execute(text(statement), values)
        return list(found) if found.returns_rows else []


def events(owner: Engine, event_type: str) -> list[Any]:
    """What the audit trail says of a type of event: whom it is about, by whom, and the particulars."""
    return execute(
        owner, "SELECT subject_id, actor_kind, data FROM events WHERE type = :type ORDER BY id", type=event_type
    )


def at_once(times: int, ask: Callable[[], _Answer]) -> Sequence[_Answer]:
    """Ask the same in threads that begin together."""
    start = Barrier(times)

    def run() -> _Answer:
        start.wait(_PATIENCE_SECONDS)
        return ask()

    with ThreadPoolExecutor(times) as threads:
        running = [threads.submit(run) for _ in range(times)]
        return [each.result(_PATIENCE_SECONDS) for each in running]
