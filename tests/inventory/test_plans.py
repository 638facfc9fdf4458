"""No question about stock reads through a part of the table, nor any part that its time rules out.

The functions that answer keep their plans where EXPLAIN does not look, so PostgreSQL's own counts tell: how often a
part was scanned from end to end, and how often its index was asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.database import READS
from app.core.tenancy import tenant
from app.extensions import db
from app.inventory import queries, service
from tests.large import app_over

pytestmark = pytest.mark.timeout(300)

LARGE: Final = UUID("0193a000-0000-7000-8000-000000000001")
SMALL: Final = UUID("0193a000-0000-7000-8000-000000000002")
UPDATES, PRODUCTS = 200_000, 500
# Spread over the twelve months before this one, this one, and some years before.
FILLED: Final = """
INSERT INTO inventory_updates (tenant_id, id, product_id, "timestamp", quantity)
SELECT :tenant, gen_random_uuid(), 'SKU-' || n % :products,
    date_trunc('month', now()) - interval '12 months' + n * interval '370 days' / :updates, n
FROM generate_series(1, :updates) AS n
"""


@dataclass
class Stock:
    """A library with much stock beside one with little, and the app over them."""

    app: Flask
    owner: Engine

    def counts(self) -> dict[str, tuple[int, int]]:
        """How often each part was scanned from end to end, and by its index."""
        with self.owner.connect() as connection:
            found = connection.execute(
                text(
                    "SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables"
                    " WHERE relname LIKE 'inventory_updates\\_%'"
                )
            )
            return {name.removeprefix("inventory_updates_"): (seq, index) for name, seq, index in found}

    def touched(self, ask: Callable[[], Any]) -> set[str]:
        """The parts whose index is asked; none is scanned from end to end."""
        with self.app.app_context(), tenant(LARGE):
            # The first few times a function plans anew.
            ask()
            self._settle()
            before = self.counts()
            ask()
            self._settle()
        after = self.counts()
        scanned = {name for name, (seq, _) in after.items() if seq != before[name][0]}
        assert not scanned, f"These were read through: {sorted(scanned)}"
        return {name for name, (_, index) in after.items() if index != before[name][1]}

    def _settle(self) -> None:
        """Let PostgreSQL count what was done: that is complete when the connection is closed."""
        db.engines[READS].dispose()
        deadline = time.monotonic() + 10
        connected = text(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'library_app' AND datname = current_database()"
        )
        while time.monotonic() < deadline:
            with self.owner.connect() as connection:
                if not connection.scalar(connected):
                    return
            time.sleep(0.02)


@pytest.fixture(scope="module")
def stock(migrated: dict[str, str], owner: Engine) -> Iterator[Stock]:
    """Filled as the owner."""
    with owner.begin() as connection:
        for tenant_id, updates in ((LARGE, UPDATES), (SMALL, 2_000)):
            values = {"tenant": str(tenant_id), "updates": updates, "products": PRODUCTS}
            connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), values)
            connection.execute(text(FILLED), values)
    with app_over(migrated, owner, tables=["inventory_updates"]) as app:
        yield Stock(app, owner)


def first_of(ahead: int) -> datetime:
    """The beginning of a month."""
    day = service._month_after(datetime.now(UTC).date(), months=ahead)
    return datetime(day.year, day.month, 1, tzinfo=UTC)


def name_of(ahead: int) -> str:
    return f"{first_of(ahead):%Y_%m}"


def test_a_range_reads_the_parts_of_its_time_and_no_other(stock: Stock) -> None:
    def ask() -> dict[str, Any]:
        return queries.updates(product_id="SKU-7", start=first_of(-5), end=first_of(-4).replace(day=20), limit=50)

    assert stock.touched(ask) == {name_of(-5), name_of(-4)}


def page(after: datetime | None = None) -> list[Any]:
    """A page without its total."""
    after_id = str(LARGE) if after else None
    return queries._PAGE.all(
        product_id="SKU-7", start=None, end=None, after_time=after, after_id=after_id, at_most=20, passed_over=0
    )


def test_a_page_reads_as_many_months_as_it_takes(stock: Stock) -> None:
    # Some thirty updates of a product are of one month.
    assert stock.touched(page) == {"before", name_of(-12)}


def test_a_page_far_on_reads_nothing_of_what_came_before(stock: Stock) -> None:
    assert stock.touched(lambda: page(first_of(-2))) == {name_of(-2)}


def test_the_newest_is_looked_for_from_the_end(stock: Stock) -> None:
    touched = stock.touched(lambda: queries.latest([f"SKU-{number}" for number in range(PRODUCTS)]))

    assert touched == {"after", *(name_of(ahead) for ahead in range(4))}


def test_what_the_functions_answer_is_right(stock: Stock) -> None:
    with stock.app.app_context(), tenant(LARGE):
        page = queries.updates(product_id="SKU-7", limit=500)
        newest = queries.latest(["SKU-7", "nothing"])
    with stock.owner.connect() as connection:
        expected = connection.execute(
            text(
                "SELECT count(*), max(quantity) FROM inventory_updates"
                f" WHERE tenant_id = '{LARGE}' AND product_id = 'SKU-7'"
            )
        ).one()

    assert (page["total"], page["count"]) == (expected[0], 400)
    assert [each["quantity"] for each in newest] == [expected[1]]


def test_the_index_is_the_one_that_was_meant(stock: Stock) -> None:
    question = (
        "EXPLAIN (FORMAT JSON) SELECT * FROM inventory_updates WHERE tenant_id = :tenant AND product_id = 'SKU-7'"
        ' AND "timestamp" BETWEEN :start AND :end ORDER BY "timestamp", id LIMIT 50'
    )
    with stock.owner.connect() as connection:
        [plan] = connection.scalar(
            text(question), {"tenant": LARGE, "start": first_of(-5), "end": first_of(-5).replace(day=9)}
        )

    scan = plan["Plan"]["Plans"][0]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", f"inventory_updates_{name_of(-5)}_pkey")
