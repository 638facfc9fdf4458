"""Groups of the tests' libraries, and who sees whom."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

from tests.auth.people import execute
from tests.conftest import Answer, Library, Person
from tests.local_stack.processes import wait_until

_PATIENCE_SECONDS = 20


def create(library: Library, *, by: Person | None = None, **fields: Any) -> Answer:
    """Make a group, as an administrator unless `by` says otherwise."""
    return library.post("/groups", {"name": "Class 3b", **fields}, **signed(by))


def created(library: Library, *, by: Person | None = None, **fields: Any) -> str:
    """The id of a new group."""
    answer = create(library, by=by, **fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json["id"])


def signed(by: Person | None) -> dict[str, Any]:
    """What signs a call: a person, or else an administrator."""
    return {"role": "admin"} if by is None else {"token": by.token}


def put(library: Library, group_id: str, user_id: UUID, *, by: Person | None = None) -> Answer:
    """Put somebody into a group."""
    return library.call("PUT", f"/groups/{group_id}/members/{user_id}", **signed(by))


def members(library: Library, group_id: str, *, by: Person | None = None) -> list[str]:
    """Who is in a group."""
    answer = library.get(f"/groups/{group_id}", **signed(by))
    assert answer.status_code == 200, answer.text
    assert answer.json["member_count"] == len(answer.json["members"])
    return [member["id"] for member in answer.json["members"]]


def sees(library: Library, person: Person, user_id: UUID) -> bool:
    """True where that user is there for this person."""
    answer = library.get(f"/users/{user_id}", token=person.token)
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


def fill(owner: Engine, library: Library, group_id: str, readers: int) -> None:
    """Put so many into a group, past the application; they have no profile that could be shown."""
    execute(
        owner,
        "WITH made AS (INSERT INTO users (tenant_id, id, type, sealed_profile, key_id)"
        " SELECT :tenant, gen_random_uuid(), 'reader', '', 'none' FROM generate_series(1, :readers)"
        " RETURNING tenant_id, id), reading AS (INSERT INTO readers (tenant_id, id) SELECT * FROM made"
        " RETURNING tenant_id, id)"
        " INSERT INTO group_members (tenant_id, group_id, user_id) SELECT tenant_id, :group, id FROM reading",
        tenant=library.id,
        group=group_id,
        readers=readers,
    )


def size(owner: Engine, group_id: str) -> int:
    """How many are in a group."""
    [(found,)] = execute(owner, "SELECT count(*) FROM group_members WHERE group_id = :group", group=group_id)
    return int(found)


def ask_while_erasing(owner: Engine, user_id: UUID, ask: Callable[[], Answer]) -> Answer:
    """Ask while somebody is being erased: that has not been committed when it begins, and has when it ends."""
    erase = text("DELETE FROM users WHERE id = :id")
    return ask_while(owner, lambda connection: connection.execute(erase, {"id": user_id}), ask)


def ask_while(owner: Engine, change: Callable[[Connection], Any], ask: Callable[[], Answer]) -> Answer:
    """Ask while something is being changed, which is committed once what is asked waits for it."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as threads, owner.connect() as connection:
        change(connection)
        running = threads.submit(ask)
        with owner.connect() as looking:
            assert wait_until(lambda: bool(looking.scalar(waiting)), timeout_seconds=_PATIENCE_SECONDS)
        connection.commit()
        return running.result(_PATIENCE_SECONDS)
