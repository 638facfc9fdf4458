"""Commands on stock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from psycopg2.errors import LockNotAvailable
from sqlalchemy import func, insert, select
from sqlalchemy.exc import OperationalError

from app.core.cache import Generation, touch
from app.core.clock import new_ids, utc_now
from app.core.database import as_owner, transaction
from app.core.sets import as_array, columns_given, run, table_of
from app.core.tenancy import OWN_TENANT_ID
from app.events import service as events
from app.inventory.models import InventoryUpdate, Row

log = logging.getLogger(__name__)

# Of the months to come, so many have a part of their own before they begin.
MONTHS_AHEAD: Final = 3
_UPDATES: Final = table_of(InventoryUpdate)
_COLUMNS: Final = ("id", "product_id", "timestamp", "quantity")
_GIVEN: Final = columns_given(_UPDATES, *_COLUMNS)
_INSERT: Final = insert(_UPDATES).from_select(
    ["tenant_id", *_COLUMNS],
    # Products first: that is how a month's index is ordered, and most feeds are of one month.
    select(OWN_TENANT_ID, *_GIVEN.c).order_by(_GIVEN.c.product_id, _GIVEN.c.timestamp, _GIVEN.c.id),
    include_defaults=False,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many updates were written, and of which product the first one is."""

    inserted: int
    product_id: str


def record_updates(batches: Iterable[Sequence[Row]]) -> Recorded:
    """Write updates down, all of them or none. Whatever the batches raise, goes through."""
    inserted, first_product = 0, ""
    with transaction():
        for rows in batches:
            products, times, quantities = zip(*rows, strict=True)
            columns = (new_ids(len(rows)), products, times, quantities)
            given = {name: as_array(values) for name, values in zip(_COLUMNS, columns, strict=True)}
            run(_INSERT, rows=None, **given)
            first_product = first_product or products[0]
            inserted += len(rows)
        events.record("inventory.updated", rows=inserted)
        touch(Generation.INVENTORY)
    return Recorded(inserted, first_product)


def make_months() -> int:
    """Make parts for the months to come, where there are none yet; returns how many were made.

    Updates that lie in one of these months already are moved there. Where somebody else is at the table for long, it is
    left for the next time: meanwhile, what has no month of its own goes to the last part.
    """
    until = _month_after(utc_now().date(), months=MONTHS_AHEAD + 1)
    try:
        with transaction() as session:
            made = session.scalar(select(func.make_inventory_months(until)))
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        log.info("inventory.months_postponed")
        return 0
    return int(made or 0)


def _month_after(day: date, *, months: int) -> date:
    """The first day of the month so many months later."""
    later = day.year * 12 + day.month - 1 + months
    return date(later // 12, later % 12 + 1, 1)


def detach_months(before: date) -> list[str]:
    """Take the parts of all months before this one out of the table; returns the names of the tables they now are.

    It takes the role that owns the tables. The application sees nothing of them any more; they stay, for whoever runs
    the database to keep elsewhere or drop.
    """
    with as_owner() as connection:
        return list(connection.scalars(select(func.detach_inventory_months(before).table_valued("name"))))
