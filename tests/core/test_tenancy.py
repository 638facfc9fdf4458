"""The wall between libraries, tried with raw SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from app.auth import service as auth
from app.auth.models import ServiceAccount
from app.core.database import Question, TransactionChangedTenant, transaction
from app.core.tenancy import NoTenant, current_tenant_id, tenant
from app.extensions import db
from tests.conftest import Library

COUNT = "SELECT count(*) FROM service_accounts"


@pytest.fixture
def two(in_app: Flask, library: Library, other_library: Library) -> tuple[UUID, UUID]:
    """Two tenants; the first has one service account, the second two."""
    for each, number in ((library, 1), (other_library, 2)):
        for index in range(number):
            with tenant(each.id):
                auth.create_service_account(name=f"{each.slug} {index}", role="lms")
    db.session.remove()
    return library.id, other_library.id


def test_raw_sql_sees_one_tenant(two: tuple[UUID, UUID]) -> None:
    for tenant_id, number in zip(two, (1, 2), strict=True):
        with tenant(tenant_id), transaction() as session:
            assert session.scalar(text(COUNT)) == number
            assert session.connection().scalar(text(COUNT)) == number
            assert session.execute(select(ServiceAccount.__table__)).all()[0].tenant_id == tenant_id
        with tenant(tenant_id):
            assert Question(text(COUNT)).all() == [(number,)]


def test_without_a_tenant_raw_sql_sees_nothing(two: tuple[UUID, UUID]) -> None:
    with transaction() as session:
        assert session.scalar(text(COUNT)) == 0
    assert Question(text(COUNT)).all() == [(0,)]


def test_a_connection_that_served_a_tenant_forgets_it(two: tuple[UUID, UUID]) -> None:
    with tenant(two[1]):
        assert Question(text(COUNT)).all() == [(2,)]
        with transaction() as session:
            assert session.scalar(text(COUNT)) == 2

    for engine in db.engines.values():
        with engine.connect() as connection:
            assert connection.scalar(text(COUNT)) == 0


def test_a_row_for_another_tenant_is_refused(two: tuple[UUID, UUID]) -> None:
    insert = text("INSERT INTO service_accounts (tenant_id, id, name, role) VALUES (:tenant, :id, 'forged', 'lms')")
    values = {"tenant": two[1], "id": UUID(int=7)}

    with tenant(two[0]), pytest.raises(ProgrammingError, match="row-level security"), transaction() as session:
        session.execute(insert, values)
    with pytest.raises(ProgrammingError, match="row-level security"), transaction() as session:
        session.execute(insert, values)


def test_a_row_can_not_be_moved_to_another_tenant(two: tuple[UUID, UUID]) -> None:
    with tenant(two[0]), pytest.raises(ProgrammingError, match="row-level security"), transaction() as session:
        session.execute(text("UPDATE service_accounts SET tenant_id = :other"), {"other": two[1]})


@pytest.mark.parametrize("statement", ["UPDATE service_accounts SET name = 'mine'", "DELETE FROM service_accounts"])
def test_another_tenants_rows_are_out_of_reach(two: tuple[UUID, UUID], statement: str) -> None:
    with tenant(two[0]), transaction() as session:
        session.execute(text(statement))

    with tenant(two[1]), transaction() as session:
        found = session.scalar(text("SELECT count(*) FROM service_accounts WHERE name <> 'mine'"))
    assert found == 2


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE service_accounts DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON service_accounts",
        "TRUNCATE service_accounts",
        "SET ROLE library_owner",
        "CREATE TABLE stray (id integer)",
        "UPDATE events SET type = 'forged'",
        "DELETE FROM events",
    ],
)
def test_the_applications_role_can_not_step_around_the_wall(two: tuple[UUID, UUID], statement: str) -> None:
    with (
        tenant(two[0]),
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction() as session,
    ):
        session.execute(text(statement))


def test_one_transaction_never_changes_tenant(two: tuple[UUID, UUID]) -> None:
    with tenant(two[0]), pytest.raises(TransactionChangedTenant), transaction(), tenant(two[1]), transaction():
        pass


def test_a_question_within_a_transaction_never_changes_tenant_either(two: tuple[UUID, UUID]) -> None:
    with tenant(two[0]), transaction() as session:
        assert len(session.scalars(select(ServiceAccount)).all()) == 1
        with tenant(two[1]), pytest.raises(TransactionChangedTenant):
            session.scalars(select(ServiceAccount))
        with tenant(two[1]), pytest.raises(TransactionChangedTenant):
            Question(text(COUNT)).all()


def test_reading_as_one_tenant_after_the_other_never_mixes_them(two: tuple[UUID, UUID]) -> None:
    for _ in range(2):
        for tenant_id, number in zip(two, (1, 2), strict=True):
            with tenant(tenant_id):
                found = db.session.scalars(select(ServiceAccount)).all()
                assert [account.tenant_id for account in found] == [tenant_id] * number
                assert db.session.scalar(text(COUNT)) == number


def test_reading_after_the_tenant_was_left_sees_nothing(two: tuple[UUID, UUID]) -> None:
    with tenant(two[1]):
        assert db.session.scalar(text(COUNT)) == 2

    assert db.session.scalar(text(COUNT)) == 0


def test_a_transaction_begun_by_adding_a_row_belongs_to_its_own_tenant(two: tuple[UUID, UUID]) -> None:
    with tenant(two[1]):
        assert db.session.scalar(text(COUNT)) == 2

    with tenant(two[0]), transaction() as session:
        session.add(ServiceAccount(name="Added first", role="lms"))
        assert session.scalar(text(COUNT)) == 2


def test_outside_of_any_tenant_there_is_none() -> None:
    with pytest.raises(NoTenant):
        current_tenant_id()


def test_the_tenant_is_left_with_its_block() -> None:
    one, other = UUID(int=1), UUID(int=2)
    seen = []

    with tenant(one):
        with leaving_by_an_error(), tenant(other):
            seen.append(current_tenant_id())
            raise ZeroDivisionError
        seen.append(current_tenant_id())

    assert seen == [other, one]


@contextmanager
def leaving_by_an_error() -> Iterator[None]:
    with pytest.raises(ZeroDivisionError):
        yield
