"""The upkeep of what sign-in leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from app.auth import tasks
from app.auth.models import UsedIdToken
from app.core.database import transaction
from app.core.tenancy import tenant
from tests.auth.people import EMAIL, add_person, execute, log_in, refresh, signed_in
from tests.conftest import Library


def sign_in_in_every_way(library: Library) -> None:
    """Leave behind one row of each kind."""
    add_person(library)
    log_in(library)
    library.post("/auth/magic-links", {"email": EMAIL}, role=None)
    with library.app.app_context(), tenant(library.id), transaction() as session:
        session.add(UsedIdToken(token_hash=b"x" * 32, expires_at=datetime.now(UTC) + timedelta(minutes=5)))


def left(owner: Engine) -> list[tuple[int, int, int]]:
    counted = ", ".join(
        f"(SELECT count(*) FROM {table})" for table in ("user_sessions", "magic_links", "used_id_tokens")
    )
    return [tuple(row) for row in execute(owner, f"SELECT {counted}")]


def run(library: Library) -> None:
    with library.app.app_context():
        tasks.forget.run()


def make_old(owner: Engine, age: str) -> None:
    execute(owner, f"UPDATE user_sessions SET expires_at = now() - interval '{age}'")
    execute(owner, f"UPDATE magic_links SET created_at = now() - interval '{age}'")
    execute(owner, f"UPDATE used_id_tokens SET expires_at = now() - interval '{age}'")


def test_what_has_been_over_for_a_week_is_forgotten_in_every_tenant(
    library: Library, other_library: Library, owner: Engine
) -> None:
    for each in (library, other_library):
        sign_in_in_every_way(each)
    make_old(owner, "169 hours")

    run(library)

    assert left(owner) == [(0, 0, 0)]


def test_what_counts_or_was_over_lately_is_kept(library: Library, owner: Engine) -> None:
    sign_in_in_every_way(library)
    run(library)
    counting = left(owner)
    make_old(owner, "167 hours")
    run(library)

    assert (counting, left(owner)) == ([(1, 1, 1)], [(1, 1, 1)])


@pytest.mark.parametrize(("age", "kept"), [("167 hours", 2), ("169 hours", 1)])
def test_a_session_that_was_ended_a_week_ago_is_forgotten_and_one_that_goes_on_is_not(
    library: Library, owner: Engine, age: str, kept: int
) -> None:
    add_person(library)
    log_in(library)
    execute(owner, f"UPDATE user_sessions SET ended_at = now() - interval '{age}'")
    begun = signed_in(library)

    run(library)

    assert execute(owner, "SELECT count(*) FROM user_sessions") == [(kept,)]
    assert refresh(library, begun["refresh_token"]).status_code == 200
