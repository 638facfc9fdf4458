"""Who may do what, tried on every operation by everybody and held against the table in docs/access.md.

The table is what people read; the test only does what it says. A row is an operation, or an operation on a thing that
stands in some relation to the caller; a cell says what a caller of that role gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.auth.issuer import AUDIENCE, LocalIssuer, local_issuer
from tests.conftest import Library
from tests.house.access import NOT_APPLICABLE, ROLES, TENANT, YES, World, rows
from tests.house.contract import operations
from tests.house.sign_in import Credentials

STREAM = "text/event-stream"


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture
def app(make_app: Callable[..., Flask], issuer: LocalIssuer) -> Flask:
    """The app, which believes the issuer."""
    return make_app(OIDC_ISSUERS=f"{issuer.url}={AUDIENCE}")


@pytest.fixture
def world(library: Library, issuer: LocalIssuer) -> World:
    made, credentials, numbers = World.of(library), Credentials(library), count()
    made.bodies[f"POST {TENANT}/auth/oidc"] = lambda: {
        # Each counts once, so they differ.
        "id_token": issuer.token(email=credentials.email(), jti=str(next(numbers)))
    }
    return made


def told(answer: TestResponse) -> str:
    """What the table calls an answer: done, or refused by the state of things, is a yes; the rest is its status.

    A stream lasts until somebody ends it: its first words are enough.
    """
    if answer.mimetype == STREAM:
        with answer:
            return YES if next(answer.iter_encoded()) else "silence"
    is_done = answer.status_code < 400 or answer.status_code == 409
    return YES if is_done or answer.get_json()["code"] == "no_cover" else str(answer.status_code)


def test_the_table_has_every_operation_and_nothing_else(app: Flask) -> None:
    listed, known = {row.operation for row in rows()}, {operation.name for operation in operations(app)}

    assert listed == known, f"Add to docs/access.md: {sorted(known - listed)}; take out: {sorted(listed - known)}"


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_what_the_table_says(app: Flask, world: World, role: str) -> None:
    known = {operation.name: operation for operation in operations(app)}
    kept: dict[str, dict[str, str]] = {}
    wrong = []
    for row in rows():
        expected = row.cells[role]
        if expected == NOT_APPLICABLE:
            continue
        if row.relation not in kept:
            kept[row.relation] = world.things(role, row.relation)
        operation = known[row.operation]
        answer = world.ask(operation, role, kept[row.relation])
        if operation.method != "GET" and expected == YES:
            kept.clear()
            world.renew(role)
        if (found := told(answer)) != expected:
            wrong.append(f"{row.name}: {expected} expected, {found} {'' if answer.is_streamed else answer.text[:200]}")

    assert not wrong, f"{role}:\n" + "\n".join(wrong)
