"""Log lines: one object each, with the ids of the work around them, and never a reason to fail."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from app.core.logging import ConsoleFormatter, fresh_log_context, log_context, set_log_context
from tests.core.conftest import LogLines

log = logging.getLogger("tests.log")


def test_a_line_carries_the_event_its_fields_and_the_ids_around_it(log_lines: LogLines) -> None:
    with fresh_log_context(request_id="r-1"):
        set_log_context(tenant_id="t-1")
        log.info("book.updated", extra={"books": 3, "id": UUID(int=1), "on": datetime(2026, 1, 1, tzinfo=UTC)})

    [line] = log_lines.all("book.updated")
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "info",
        "event": "book.updated",
        "logger": "tests.log",
        "request_id": "r-1",
        "tenant_id": "t-1",
        "books": 3,
        "id": "00000000-0000-0000-0000-000000000001",
        "on": "2026-01-01T00:00:00Z",
    }


def test_ids_end_with_their_work(log_lines: LogLines) -> None:
    with fresh_log_context(request_id="r-1"):
        with fresh_log_context(task_id="t-1"):
            log.info("inner")
        log.info("outer")
    log.info("outside")

    ids = [{key: line[key] for key in ("request_id", "task_id") if key in line} for line in log_lines.all()]
    assert ids == [{"task_id": "t-1"}, {"request_id": "r-1"}, {}]


def test_ids_of_one_thread_are_not_another_ones() -> None:
    seen: list[dict[str, str]] = []

    with fresh_log_context(request_id="r-1"):
        thread = threading.Thread(target=lambda: seen.append(dict(log_context())))
        thread.start()
        thread.join(5)

    assert seen == [{}]


def test_an_exception_is_on_the_same_line(log_lines: LogLines) -> None:
    try:
        raise ValueError("of this kind")  # noqa: TRY301 - an exception with a traceback is wanted
    except ValueError:
        log.exception("it.failed")

    [line] = log_lines.all("it.failed")
    assert "ValueError: of this kind" in line["exception"]
    assert line["level"] == "error"


@pytest.mark.parametrize("value", ["\ud800", {"a": "\udfff"}, 10**400, object(), {1: 2}, float("nan"), b"\xff", {"x"}])
def test_no_value_keeps_a_line_from_being_written(log_lines: LogLines, value: object) -> None:
    log.info("odd.value", extra={"value": value})

    [line] = log_lines.all("odd.value")
    assert "value" in line


def test_a_line_break_does_not_forge_a_line(log_lines: LogLines) -> None:
    log.info("one.line", extra={"text": 'x\n{"event": "forged"}'})

    assert len(log_lines.text.splitlines()) == 1


def test_people_read_the_same_facts_in_columns() -> None:
    record = logging.makeLogRecord({"msg": "book.updated", "levelname": "INFO", "created": 0.0, "books": 3})

    with fresh_log_context(request_id="r-1"):
        line = ConsoleFormatter().format(record)

    assert line == "00:00:00 info    book.updated request_id=r-1 books=3"
    assert orjson.dumps(line)
