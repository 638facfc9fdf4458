"""What beat runs, when, and why then.

Every entry only looks whether something is due; the database says what. So two beats do no harm, and one that was away
loses nothing.
"""

from __future__ import annotations

from flask import Flask

from app.core.queue import QUEUE_OF, TaskName
from app.extensions import celery

SECOND, HOUR = 1.0, 3600.0

SCHEDULE = {
    # A job that no message reached, whose worker died, or that waited for Open Library, waits no longer than this.
    TaskName.INGESTION_SWEEP: 5 * SECOND,
    # Re-syncs are due by the hour; a minute's delay is nothing beside that.
    TaskName.INGESTION_RESYNC: 60 * SECOND,
    # What no message reached of ISBNs to be looked up; who is waiting for a title can wait for this as well.
    TaskName.INGESTION_ENRICH: 30 * SECOND,
    # A mail whose message got lost, or whose pause is over, waits no longer than this.
    TaskName.MAIL_SEND: 15 * SECOND,
    # What follows the audit trail, such as a change feed, lags by as much.
    TaskName.EVENTS_SEAL: 2 * SECOND,
    # Of three days on the hold shelf, some minutes are nothing.
    TaskName.CIRCULATION_EXPIRE_HOLDS: 300 * SECOND,
    # Readers are told of days.
    TaskName.CIRCULATION_NOTICES: HOUR,
    # Answers to repeated POSTs are kept for a day; an hour more costs little.
    TaskName.UPKEEP_FORGET: HOUR,
    # Sessions that are over are kept for a week; so are magic links.
    TaskName.UPKEEP_FORGET_SIGN_INS: HOUR,
    # Thirty days and an hour are as good as thirty days.
    TaskName.TENANTS_PURGE: HOUR,
    # Whoever has ingested books sees their labels in a minute.
    TaskName.LABELS_BY_RULES: 60 * SECOND,
    # Months are made well ahead, and one that was missed is made in the next hour.
    TaskName.INVENTORY_MONTHS: HOUR,
}


def init_app(app: Flask) -> None:
    """Give beat its table."""
    celery.conf.beat_schedule = {
        task.value: {
            "task": task.value,
            "schedule": every_seconds,
            # A tick that nobody took before the next one came is of no use.
            "options": {"expires": every_seconds, "queue": QUEUE_OF[task].value},
        }
        for task, every_seconds in SCHEDULE.items()
    }
    app.extensions["schedule"] = SCHEDULE
