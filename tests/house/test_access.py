"""Who may do what, tried on every operation by everybody and held against the table in docs/access.md.

The table is what people read; the test only does what it says. A row is an operation, or an operation on a thing that
stands in some relation to the caller; a cell says what a caller of that role gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.auth import service as auth
from app.auth.models import SignInMethod
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import service as members
from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.house.contract import Operation, operations, things_of

TABLE = Path(__file__).parents[2] / "docs" / "access.md"
PEOPLE = {
    "reader": {"type": "reader"},
    "student": {"type": "student"},
    "guardian": {"type": "guardian"},
    "educator": {"type": "staff", "role": "educator"},
    "librarian": {"type": "staff", "role": "librarian"},
    "admin": {"type": "staff", "role": "admin"},
}
PROGRAMS = ("read_only", "kiosk", "lms")
ROLES = ["stranger", *PEOPLE, *PROGRAMS, "platform_admin"]
YES, NOT_APPLICABLE = "yes", "–"
# Such an answer lasts until somebody ends it.
STREAMS = "/stream"
# What the table writes as `T`.
TENANT = "/api/v1/tenants/{slug}"


@dataclass(frozen=True)
class Row:
    """What the table says of an operation on a thing in some relation to the caller."""

    operation: str
    relation: str
    cells: dict[str, str]

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.operation} {self.relation}".strip()


def rows() -> Iterator[Row]:
    for line in TABLE.read_text().splitlines():
        found = re.fullmatch(r"\| `(\w+) (T?)([^`]*)`([^|]*)\|(.*)\|", line)
        if found:
            operation = f"{found[1]} {TENANT if found[2] else ''}{found[3]}"
            cells = [cell.strip() for cell in found[5].split("|")]
            yield Row(operation, found[4].strip(), dict(zip(ROLES, cells, strict=True)))


@dataclass
class World:
    """A library with somebody of each role, and a thing of each kind that stands in some relation to each of them."""

    library: Library
    ids: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def renew(self, role: str) -> None:
        """Let somebody else act for a role from now on; whoever did may have signed out or be gone."""
        if role in PEOPLE:
            self.ids[role], self.tokens[role] = token_of(self.library, **PEOPLE[role])

    def things(self, role: str, relation: str) -> dict[str, str]:
        """Fresh things for one call, so that none is missed that an earlier call took away."""
        things = things_of(self.library)
        if relation == "(oneself)":
            return {**things, "user_id": self.ids[role]}
        if relation == "(a linked reader)":
            self._made("PUT", f"/users/{self.ids['guardian']}/readers/{things['reader_id']}")
        if relation in ("(one's own)", "(a reader in one's group)"):
            owned = self.library.post("/groups", {"name": "Class 3b", "owner_id": self.ids["educator"]}, role="admin")
            things["group_id"] = owned.get_json()["id"]
            self._made("PUT", f"/groups/{things['group_id']}/members/{things['user_id']}")
        return things

    def _made(self, method: str, path: str) -> None:
        assert self.library.call(method, path, role="admin").status_code == 204

    def ask(self, operation: Operation, role: str, things: dict[str, str]) -> TestResponse:
        """Call an operation as somebody of a role, with what its description sends."""
        headers = {} if role == "stranger" else {"Authorization": f"Bearer {self.tokens[role]}"}
        return self.library.app.test_client().open(
            operation.address(self.library.slug, things),
            method=operation.method,
            headers=headers,
            json=operation.body,
            query_string={each["name"]: each["example"] for each in operation.query_parameters if each.get("required")},
        )


def token_of(library: Library, **fields: str) -> tuple[str, str]:
    """The id and an access token of somebody new."""
    with library.app.app_context(), as_tenant(library.id):
        person = members.create_user(name="Somebody", **fields)
        token = auth.begin_session(person, method=SignInMethod.COMMAND).access_token
        db.session.remove()
    return str(person.id), token


@pytest.fixture
def world(library: Library) -> World:
    made = World(library)
    for role in PEOPLE:
        made.renew(role)
    made.tokens |= {role: library.key(role) for role in PROGRAMS}
    made.tokens["platform_admin"] = Library(library.app, "platform", PLATFORM_ID).key("platform_admin")
    return made


def told(answer: TestResponse) -> str:
    """What the table calls an answer: done, or refused by the state of things, is a yes; the rest is its status."""
    is_done = answer.status_code < 400 or answer.status_code == 409
    return YES if is_done or answer.get_json()["code"] == "no_cover" else str(answer.status_code)


def test_the_table_has_every_operation_and_nothing_else(app: Flask) -> None:
    listed, known = {row.operation for row in rows()}, {operation.name for operation in named(app)}

    assert listed == known, f"Add to docs/access.md: {sorted(known - listed)}; take out: {sorted(listed - known)}"


def named(app: Flask) -> Iterator[Operation]:
    """The operations, but those that sign somebody in, which is how one gets a role."""
    return (operation for operation in operations(app) if not operation.is_public)


def test_nobody_may_anything_in_another_tenant(app: Flask, world: World, other_library: Library) -> None:
    things = things_of(other_library)
    for role in world.tokens.keys() - {"platform_admin"}:
        headers = {"Authorization": f"Bearer {world.tokens[role]}"}
        for operation in named(app):
            if "{slug}" in operation.path:
                answer = app.test_client().open(
                    operation.address(other_library.slug, things),
                    method=operation.method,
                    headers=headers,
                    json=operation.body,
                )
                assert answer.status_code == 404, f"{role}: {operation.name} {answer.text}"
                assert answer.get_json()["detail"] == "There is no such tenant."


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_what_the_table_says(app: Flask, world: World, role: str) -> None:
    known = {operation.name: operation for operation in named(app)}
    kept: dict[str, dict[str, str]] = {}
    wrong = []
    for row in rows():
        expected = row.cells[role]
        if expected == NOT_APPLICABLE or (row.operation.endswith(STREAMS) and expected == YES):
            continue
        if row.relation not in kept:
            kept[row.relation] = world.things(role, row.relation)
        operation = known[row.operation]
        answer = world.ask(operation, role, kept[row.relation])
        if operation.method != "GET" and expected == YES:
            kept.clear()
            world.renew(role)
        if told(answer) != expected:
            wrong.append(f"{row.name}: {expected} expected, {answer.status_code} {answer.text[:200]}")

    assert not wrong, f"{role}:\n" + "\n".join(wrong)
