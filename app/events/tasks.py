"""Sealing what was recorded."""

from __future__ import annotations

from app.core.queue import TaskName
from app.events import service
from app.extensions import celery


@celery.task(name=TaskName.EVENTS_SEAL.value)
def seal() -> None:
    """Give committed events their places in their tenants' chains."""
    service.seal_events()
