"""Upkeep of the table's parts."""

from __future__ import annotations

from app.core.queue import TaskName
from app.extensions import celery
from app.inventory import service


@celery.task(name=TaskName.INVENTORY_MONTHS.value)
def make_months() -> None:
    """Make parts for the months to come."""
    service.make_months()
