"""The parts of the table: made ahead, taken away, walled off, and emptied with their tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.database import transaction
from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.inventory import service
from app.tenants import service as tenants
from tests.conftest import Library
from tests.inventory.stock import item, stored, write

PARTS = """
SELECT relname, pg_get_expr(relpartbound, c.oid) AS bounds FROM pg_class c JOIN pg_inherits ON inhrelid = c.oid
WHERE inhparent = 'inventory_updates'::regclass
"""


@pytest.fixture
def remade(migrated: dict[str, str], owner: Engine) -> Iterator[Engine]:
    """The owner; the parts are as they were when the test is over."""
    before = parts(owner)
    yield owner
    with owner.begin() as connection:
        tables = connection.scalars(
            text("SELECT relname FROM pg_class WHERE relname LIKE 'inventory_updates\\_%' AND relkind = 'r'")
        ).all()
        connection.execute(text(f"DROP TABLE {', '.join(tables)}"))
        for name, bounds in before.items():
            connection.execute(text(f"CREATE TABLE {name} PARTITION OF inventory_updates {bounds}"))
            connection.execute(text("SELECT wall_inventory_part(:name)"), {"name": name})


def parts(owner: Engine) -> dict[str, str]:
    """The parts of the table, and what is in each."""
    with owner.connect() as connection:
        return {str(row.relname): str(row.bounds) for row in connection.execute(text(PARTS))}


def places(owner: Engine) -> dict[str, int]:
    """The part that each update lies in, by its quantity."""
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT tableoid::regclass::text, quantity FROM inventory_updates"))
        return {name.removeprefix("inventory_updates_"): quantity for name, quantity in rows}


def month(ahead: int) -> date:
    return service._month_after(date.today(), months=ahead)  # noqa: DTZ011 - at most a month wrong, which is no matter


def name_of(ahead: int) -> str:
    return f"inventory_updates_{month(ahead):%Y_%m}"


def make_months(app: Flask) -> int:
    with app.app_context():
        made = service.make_months()
        db.session.remove()
    return made


def test_months_are_made_a_year_back_and_three_ahead(owner: Engine) -> None:
    assert set(parts(owner)) == {
        "inventory_updates_before", "inventory_updates_after", *(name_of(ahead) for ahead in range(-12, 4)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 11, 28), 4, date(2027, 3, 1)),
        (date(2026, 12, 31), 0, date(2026, 12, 1)),
        (date(2026, 12, 31), 1, date(2027, 1, 1)),
        (date(2026, 1, 1), -1, date(2025, 12, 1)),
    ],
)
def test_months_are_counted_over_the_end_of_a_year(day: date, months: int, expected: date) -> None:
    assert service._month_after(day, months=months) == expected


def test_a_month_is_made_once_and_takes_what_lies_in_it(
    app: Flask, library: Library, other_library: Library, remade: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MONTHS_AHEAD", 5)
    for one in (library, other_library):
        write(one, item("A", 4, f"{month(4):%Y-%m}-01T00:00:00Z"), item("A", 5, f"{month(6):%Y-%m}-01T00:00:00+00:30"))
        write(one, item("A", 6, f"{month(6):%Y-%m}-01T00:00:00Z"), item("A", 1995, "1995-01-01T00:00:00Z"))
    assert places(remade) == {"after": 6, "before": 1995} or set(places(remade)) == {"after", "before"}

    assert [make_months(app), make_months(app)] == [2, 0]

    assert places(remade) == {f"{month(4):%Y_%m}": 4, f"{month(5):%Y_%m}": 5, "after": 6, "before": 1995}
    assert len(stored(remade)) == 8
    assert library.get("/inventory?product_id=A").json["total"] == 4


def test_nobody_makes_more_than_two_years_of_months(in_app: Flask, remade: Engine) -> None:
    with transaction() as session:
        session.execute(text("SELECT make_inventory_months('9999-01-01')"))

    assert len(parts(remade)) == 2 + 12 + 24


def test_whoever_is_at_the_table_for_long_is_not_waited_for(
    app: Flask, remade: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MONTHS_AHEAD", 4)
    with remade.begin() as busy:
        busy.execute(text("LOCK TABLE inventory_updates IN ROW EXCLUSIVE MODE"))
        assert make_months(app) == 0

    assert make_months(app) == 1


def test_every_part_has_the_wall_and_only_the_whole_can_be_reached(
    app: Flask, library: Library, remade: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MONTHS_AHEAD", 4)
    make_months(app)

    with remade.connect() as connection:
        walled = connection.execute(
            text(
                "SELECT relname, relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy"
                " WHERE polrelid = c.oid AND pg_get_expr(polqual, c.oid) = (SELECT pg_get_expr(polqual, polrelid)"
                " FROM pg_policy WHERE polrelid = 'inventory_updates'::regclass)),"
                " has_table_privilege('library_app', c.oid, 'SELECT') FROM pg_class c"
                " JOIN pg_inherits ON inhrelid = c.oid WHERE inhparent = 'inventory_updates'::regclass"
            )
        ).all()
    assert {(is_walled, may_read) for _, is_walled, may_read in walled} == {(True, False)}
    assert len(walled) == 2 + 16 + 1


def test_old_months_are_detached_with_all_before_them(app: Flask, library: Library, remade: Engine) -> None:
    write(library, item("A", 1, "1995-01-01T00:00:00Z"), item("A", 2, f"{month(-11):%Y-%m}-15T00:00:00Z"))
    write(library, item("A", 3, f"{month(-10):%Y-%m}-01T00:00:00Z"), item("A", 4, f"{month(0):%Y-%m}-01T00:00:00Z"))

    run = app.test_cli_runner().invoke(args=["inventory", "detach", "--before", f"{month(-10):%Y-%m}"])

    away = f"inventory_updates_before_{month(-10):%Y_%m}"
    assert (run.exit_code, run.output.split()) == (0, [away, name_of(-12), name_of(-11)])
    assert [each["quantity"] for each in library.get("/inventory?product_id=A").json["items"]] == [3, 4]
    with remade.connect() as connection:
        assert connection.scalar(text(f"SELECT quantity FROM {away}")) == 1
        assert connection.scalar(text(f"SELECT quantity FROM {name_of(-11)}")) == 2
    # There is still a place for what is older.
    assert write(library, item("A", 5, "1995-01-01T00:00:00Z")).status_code == 201
    assert places(remade)["before"] == 5
    again = app.test_cli_runner().invoke(args=["inventory", "detach", "--before", f"{month(-10):%Y-%m}"])
    assert (again.exit_code, again.output) == (0, "")


def test_the_present_month_stays(app: Flask, remade: Engine) -> None:
    run = app.test_cli_runner().invoke(args=["inventory", "detach", "--before", f"{month(1):%Y-%m}"])

    assert run.exit_code == 1
    assert "The present month, and those to come, stay." in run.output
    assert "Traceback" not in run.output
    assert name_of(0) in parts(remade)


@pytest.mark.parametrize("before", ["soon", "2026", "2026-13"])
def test_a_month_that_is_none_is_refused(app: Flask, before: str) -> None:
    run = app.test_cli_runner().invoke(args=["inventory", "detach", "--before", before])

    assert run.exit_code == 2


def test_only_the_owner_detaches(make_app: object, migrated: dict[str, str], remade: Engine) -> None:
    app = make_app(DATABASE_OWNER_URL=migrated["DATABASE_URL"])  # type: ignore[operator]  # the fixture's own type

    run = app.test_cli_runner().invoke(args=["inventory", "detach", "--before", f"{month(-10):%Y-%m}"])

    assert (run.exit_code, "DATABASE_OWNER_URL" in run.output, "Traceback" in run.output) == (1, True, False)
    assert name_of(-12) in parts(remade)


def test_a_tenant_is_purged_out_of_every_part(
    in_app: Flask, library: Library, other_library: Library, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same places on disk in every part, and more rows than go at once.
    monkeypatch.setattr(tenants, "PURGED_AT_ONCE", 7)
    for one in (library, other_library):
        write(one, *[item("A", 1, f"{year}-06-01T00:00:00Z") for year in range(2020, 2035)], *[item("B", 1)] * 20)
        write(one, *[item("A", 1, f"{month(ahead):%Y-%m}-02T00:00:00Z") for ahead in range(-12, 4)] * 3)

    assert tenants.purge_tenant(library.id)

    with as_tenant(other_library.id), owner.connect() as connection:
        left = connection.execute(text("SELECT tenant_id, count(*) FROM inventory_updates GROUP BY 1")).all()
    assert [tuple(row) for row in left] == [(other_library.id, 83)]
