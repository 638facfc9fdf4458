"""docs/access.md, the table of who may do what, and a library with everybody in it who stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from werkzeug.test import TestResponse

from app.auth import service as auth
from app.auth.models import SignInMethod
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import service as members
from app.tenants.models import PLATFORM_ID
from tests.auth.people import PASSWORD
from tests.conftest import Library
from tests.house.contract import Json, Operation, made, things_of
from tests.house.sign_in import Credentials

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
            if len(cells) == 1:  # for everybody
                cells *= len(ROLES)
            yield Row(operation, found[4].strip(), dict(zip(ROLES, cells, strict=True)))


@dataclass
class World:
    """A library with somebody of each role, and a thing of each kind that stands in some relation to each of them."""

    library: Library
    ids: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    # What is sent where the description's example could only be refused, by operation.
    bodies: dict[str, Callable[[], Json]] = field(default_factory=dict)

    @classmethod
    def of(cls, library: Library) -> World:
        """Let everybody in."""
        credentials = Credentials(library)
        world = cls(library)
        world.bodies = {
            f"POST {TENANT}/auth/login": lambda: {"email": credentials.email(), "password": PASSWORD},
            f"POST {TENANT}/auth/refresh": lambda: {"refresh_token": credentials.refresh_token()},
            f"POST {TENANT}/auth/magic-links/redeem": lambda: {"token": credentials.magic_token()},
            f"POST {TENANT}/auth/join": lambda: {
                "join_code": credentials.join_code(),
                "first_name": "Kim",
                "last_initial": "L",
            },
        }
        for role in PEOPLE:
            world.renew(role)
        world.tokens |= {role: library.key(role) for role in PROGRAMS}
        world.tokens["platform_admin"] = Library(library.app, "platform", PLATFORM_ID).key("platform_admin")
        return world

    def renew(self, role: str) -> None:
        """Let somebody else act for a role from now on; whoever did may have signed out or be gone."""
        if role in PEOPLE:
            self.ids[role], self.tokens[role] = token_of(self.library, **PEOPLE[role])

    def things(self, role: str, relation: str) -> dict[str, str]:
        """Fresh things for one call, so that none is missed that an earlier call took away."""
        things = things_of(self.library)
        if relation == "(oneself)":
            return {**things, "user_id": self.ids[role]}
        if relation in ("(a linked reader)", "(a linked reader's)"):
            things["user_id"] = things["reader_id"]
            self._made("PUT", f"/users/{self.ids['guardian']}/readers/{things['reader_id']}")
        if relation in ("(one's own)", "(a reader in one's group)", "(a reader's in one's group)"):
            owned = self.library.post("/groups", {"name": "Class 3b", "owner_id": self.ids["educator"]}, role="admin")
            things["group_id"] = owned.get_json()["id"]
            self._made("PUT", f"/groups/{things['group_id']}/members/{things['user_id']}")
        if "'s" in relation and relation != "(the library's)":
            owner = self.ids.get(role) if relation == "(one's own)" else things["user_id"]
            self.library.patch(f"/collections/{things['collection_id']}", {"owner_id": owner})
        if relation == "(one's own)" and role in ("reader", "student"):
            things |= self._of_reader(self.ids[role], things)
        return things

    def _of_reader(self, reader_id: str, things: dict[str, str]) -> dict[str, str]:
        """What this reader has on loan, and waits for."""
        copy = made(self.library.post(f"/books/{things['book_id']}/copies", {"barcode": f"M-{things['isbn']}"}))
        loan = self.library.post("/loans", {"reader_id": reader_id, "copy_id": copy})
        waited_for = made(self.library.post("/books", {"title": "Dune", "authors": [{"name": "Frank Herbert"}]}))
        hold = self.library.post("/holds", {"reader_id": reader_id, "book_id": waited_for})
        return {"loan_id": made(loan), "hold_id": made(hold)}

    def _made(self, method: str, path: str) -> None:
        assert self.library.call(method, path, role="admin").status_code == 204

    def _body(self, operation: Operation, role: str, things: dict[str, str]) -> Json | None:
        if operation.name in self.bodies:
            return self.bodies[operation.name]()
        body: Json | None = _lending(role, things).get(operation.name, operation.body)
        return body

    def ask(self, operation: Operation, role: str, things: dict[str, str], *, slug: str | None = None) -> TestResponse:
        """Call an operation as somebody of a role; `slug` is another tenant's."""
        body = self._body(operation, role, things)
        headers = {} if role == "stranger" else {"Authorization": f"Bearer {self.tokens[role]}"}
        return self.library.app.test_client().open(
            operation.address(slug or self.library.slug, things),
            method=operation.method,
            headers=headers,
            json=body,
            query_string={each["name"]: each["example"] for each in operation.query_parameters if each.get("required")},
        )


def _lending(role: str, things: dict[str, str]) -> dict[str, Json]:
    """What lends something, and lets somebody wait: staff say who."""
    reader = {"reader_id": things["reader_id"]}
    return {
        f"POST {TENANT}/loans": {**reader, "barcode": things["barcode"]},
        f"POST {TENANT}/holds": {
            "book_id": things["book_id"],
            **({} if role in ("reader", "student") else reader),
        },
    }


def token_of(library: Library, **fields: str) -> tuple[str, str]:
    """The id and an access token of somebody new."""
    with library.app.app_context(), as_tenant(library.id):
        person = members.create_user(name="Somebody", **fields)
        token = auth.begin_session(person, method=SignInMethod.COMMAND).access_token
        db.session.remove()
    return str(person.id), token
