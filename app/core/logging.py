"""Logs: one line for a thing that happened, an event name with fields, the ids of the work around it on each.

Lines are JSON (or readable columns in development). The request id goes with queued work, so that a request and all it
caused are found by one id. No personal data belongs into a field.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any

import orjson

from app.settings import Settings

_context: ContextVar[dict[str, str]] = ContextVar("log_context", default={})  # noqa: B039 - replaced, never changed

# What every LogRecord has; anything else on a record was given as `extra`.
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def log_context() -> dict[str, str]:
    """The ids that stand on every line of the current work; do not change it, call `set_log_context`."""
    return _context.get()


def set_log_context(**fields: str) -> None:
    """Put further ids on every line from here on, within the current request or task."""
    _context.set({**_context.get(), **fields})


@contextmanager
def fresh_log_context(**fields: str) -> Iterator[None]:
    """Begin a piece of work (a request, a task) with these ids and no others."""
    token = begin_log_context(**fields)
    try:
        yield
    finally:
        end_log_context(token)


def begin_log_context(**fields: str) -> Token[dict[str, str]]:
    """The same where a `with` costs too much; what it gives is for `end_log_context`."""
    return _context.set(fields)


def end_log_context(token: Token[dict[str, str]]) -> None:
    """Go back to the ids that were there before."""
    _context.reset(token)


class SeldomWarning:
    """A warning that every request may give rise to: logged once a second and process, with the number of those kept.

    The first comes at once; `unlogged` tells how many came after the line before.
    """

    EVERY_SECONDS = 1.0

    def __init__(self, log: logging.Logger, event: str) -> None:
        """Begin with none."""
        self._log = log
        self._event = event
        self._due_at = 0.0
        self._unlogged = 0
        self._turn = threading.Lock()

    def __call__(self, **fields: Any) -> None:
        """Log it, or count it."""
        with self._turn:
            now = time.monotonic()
            if now < self._due_at:
                self._unlogged += 1
                return
            unlogged, self._unlogged, self._due_at = self._unlogged, 0, now + self.EVERY_SECONDS
        self._log.warning(self._event, extra={**fields, "unlogged": unlogged})


def configure_logging(settings: Settings) -> None:
    """Send all logs to stderr in the chosen format; safe to call again."""
    # No line shows them, and finding them out is most of a line's cost (logging's own documentation, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # These speak of every connection or message at INFO; the tasks' own line says what matters.
    for chatty in ("urllib3", "kombu", "amqp", "alembic", "celery.beat", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event, the ids of the work, then the event's own fields."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_context.get(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            # Half a surrogate pair, or a number beyond 64 bits: rather a line in another hand than none.
            text = json.dumps(line, default=str, skipkeys=True, ensure_ascii=False)
            return text.encode("utf-8", "replace").decode()


class ConsoleFormatter(logging.Formatter):
    """The same facts in columns, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Time of day, level, event, then `name=value` pairs."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = " ".join(f"{name}={value}" for name, value in {**_context.get(), **_extra(record)}.items())
        line = f"{at} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
