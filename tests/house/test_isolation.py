"""Nothing of one tenant can be reached from another, by any operation there is."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import OUTSIDE_ROW_LEVEL_SECURITY
from tests.conftest import Library
from tests.house.contract import operations, things_of

NUMBERS = {"number", "first", "second"}


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


def test_every_id_of_another_tenant_is_not_found(
    app: Flask, library: Library, other_library: Library, foreign: dict[str, str], owner: Engine
) -> None:
    before = fingerprint(owner, other_library)

    for operation in operations(app):
        unknown = set(operation.path_parameters) - set(foreign)
        assert not unknown, f"Teach things_of() in tests/house/contract.py to make these: {unknown}"
        if not set(operation.path_parameters) - NUMBERS:
            continue
        body = operation.body
        path = operation.address(library.slug, foreign).removeprefix(f"/api/v1/tenants/{library.slug}")
        answer = library.call(operation.method, path, role="admin", **({"json": body} if body is not None else {}))
        assert answer.status_code == 404, f"{operation.name} lets another tenant's thing be seen: {answer.text}"
        assert answer.get_json()["code"] == "not_found", operation.name

    assert fingerprint(owner, other_library) == before


def test_every_operation_on_another_tenant_is_not_found(
    app: Flask, library: Library, other_library: Library, foreign: dict[str, str], owner: Engine
) -> None:
    headers = {"Authorization": f"Bearer {library.key('admin')}"}
    before = fingerprint(owner, other_library)

    for operation in operations(app):
        if "{slug}" not in operation.path or operation.is_public:
            continue
        body = operation.body
        answer = app.test_client().open(
            operation.address(other_library.slug, foreign), method=operation.method, headers=headers, json=body
        )
        assert answer.status_code == 404, f"{operation.name} answers {answer.status_code} to a stranger to the tenant."
        assert answer.get_json()["detail"] == "There is no such tenant."

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
