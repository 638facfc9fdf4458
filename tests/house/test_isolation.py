"""Nothing of one tenant can be reached from another, by any operation there is."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, product

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import OUTSIDE_ROW_LEVEL_SECURITY
from tests.conftest import Library
from tests.house.access import NOT_APPLICABLE, ROLES, World, rows
from tests.house.contract import Operation, operations, things_of

NUMBERS = {"number", "first", "second"}
UNKNOWN, FORBIDDEN, NOT_FOUND = (401, "unauthenticated"), (403, "forbidden"), (404, "not_found")


@pytest.fixture
def foreign(other_library: Library) -> dict[str, str]:
    """One thing of each kind, all of them another tenant's."""
    return things_of(other_library)


def fingerprint(owner: Engine, library: Library) -> dict[str, str]:
    """All rows of a tenant, table by table."""
    with owner.connect() as connection:
        tables = connection.scalars(
            text(
                "SELECT table_name FROM information_schema.columns"
                " WHERE column_name = 'tenant_id' AND table_schema = 'public'"
            )
        ).all()
        question = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t WHERE tenant_id = :tenant"
        return {
            table: str(connection.scalar(text(question.format(table)), {"tenant": library.id}))
            for table in tables
            if table not in OUTSIDE_ROW_LEVEL_SECURITY
        }


def places_for(operation: Operation) -> list[set[str]]:
    """Which of its path's ids may be another tenant's: each of them alone, any of them together."""
    ids = [name for name in operation.path_parameters if name not in NUMBERS]
    return [set(chosen) for size in range(1, len(ids) + 1) for chosen in combinations(ids, size)]


def refusals() -> dict[tuple[str, str], tuple[int, str]]:
    """What each role is told at an operation on another tenant's thing, by the rule that docs/access.md has for it."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows():
        for role, cell in row.cells.items():
            told[row.operation, role] |= {cell} - {NOT_APPLICABLE}
    return {
        asked: UNKNOWN if asked[1] == "stranger" else FORBIDDEN if cells == {"403"} else NOT_FOUND
        for asked, cells in told.items()
    }


def test_every_id_of_another_tenant_is_not_found_by_anybody(
    app: Flask, library: Library, other_library: Library, foreign: dict[str, str], owner: Engine
) -> None:
    world, expected, wrong = World.of(library), refusals(), []
    # The group is the educator's and the reader in it, so that only what is foreign keeps them from anything.
    own = world.things("educator", "(one's own)")
    before = fingerprint(owner, other_library)

    for operation in operations(app):
        unknown = set(operation.path_parameters) - set(foreign)
        assert not unknown, f"Teach things_of() in tests/house/contract.py to make these: {unknown}"
        for places, role in product(places_for(operation), ROLES):
            things = {**own, **{name: foreign[name] for name in places}}
            answer = world.ask(operation, role, things)
            if (answer.status_code, (answer.get_json() or {}).get("code")) != expected[operation.name, role]:
                wrong.append(f"{role}: {operation.name} with another tenant's {sorted(places)}: {answer.text[:200]}")

    assert not wrong, "\n".join(wrong)
    assert fingerprint(owner, other_library) == before


def test_every_operation_on_another_tenant_is_not_found_by_anybody(
    app: Flask, library: Library, other_library: Library, foreign: dict[str, str], owner: Engine
) -> None:
    world, before, wrong = World.of(library), fingerprint(owner, other_library), []

    for operation, role in product(operations(app), set(ROLES) - {"stranger", "platform_admin"}):
        if "{slug}" not in operation.path or operation.is_public:
            continue
        answer = world.ask(operation, role, foreign, slug=other_library.slug)
        if (answer.status_code, answer.get_json().get("detail")) != (404, "There is no such tenant."):
            wrong.append(f"{role}: {operation.name} {answer.status_code} {answer.text[:200]}")

    assert not wrong, "\n".join(wrong)
    assert fingerprint(owner, other_library) == before


def test_no_list_shows_a_row_of_another_tenant(
    app: Flask, library: Library, other_library: Library, foreign: dict[str, str]
) -> None:
    things_of(library)
    ids = {name: value for name, value in foreign.items() if name.endswith("_id")}

    for operation in operations(app):
        if operation.method != "GET" or operation.path_parameters or "{slug}" not in operation.path:
            continue
        path = operation.address(library.slug, {}).removeprefix(f"/api/v1/tenants/{library.slug}")
        for query in ("", f"?q={other_library.slug}", "?limit=500"):
            answer = library.get(path + query, role="admin")
            shown = [name for name, value in ids.items() if value in answer.text]
            assert not shown, f"{operation.name} shows another tenant's {shown}."
            assert other_library.slug not in answer.get_data(as_text=True).replace(query, ""), operation.name
