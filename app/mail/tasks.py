"""Sending what is due."""

from __future__ import annotations

from app.core.queue import TaskName
from app.extensions import celery
from app.mail import service


@celery.task(name=TaskName.MAIL_SEND.value)
def send() -> None:
    """Send the mails that are due."""
    service.send_due_mails()
