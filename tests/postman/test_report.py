"""What is told of a run of the collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.postman.__main__ import tell
from tests.postman.report import Report
from tests.postman.stack import Service

SERVICE = Service(Path("demo.postman_environment.json"), "a stand-in")
FAILURE = {
    "error": {"name": "AssertionError", "test": "the status is 200 OK", "message": "expected 500 to deeply equal 200"},
    "source": {"id": "2", "name": "List the books"},
}


def report(*, sent: list[str], failures: list[dict[str, Any]]) -> Report:
    answer = {"code": 500, "stream": {"type": "Buffer", "data": list(b'{"code":"internal_error"}')}}
    return Report(
        {
            "collection": {
                "item": [
                    {"name": "tenants", "item": [{"id": "1", "name": "Create a tenant", "request": {}}]},
                    {"name": "catalog", "item": [{"id": "2", "name": "List the books", "request": {}}]},
                ]
            },
            "run": {
                "stats": {"requests": {"total": len(sent)}, "assertions": {"total": 9}},
                "timings": {"started": 1000, "completed": 3500},
                "executions": [{"item": {"id": id_}, "response": answer} for id_ in sent],
                "failures": failures,
            },
        }
    )


def test_a_run_without_fault_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = tell(report(sent=["1", "2"], failures=[]), SERVICE)

    assert status == 0
    assert capsys.readouterr().out == "Postman: 2 requests, 9 tests, 0 failed, 2.5 s (Open Library: a stand-in)\n"


def test_a_failed_test_is_told_with_what_the_service_answered(capsys: pytest.CaptureFixture[str]) -> None:
    status = tell(report(sent=["1", "2"], failures=[FAILURE]), SERVICE)

    assert status == 1
    told = capsys.readouterr().out
    assert "✗ List the books: the status is 200 OK: expected 500 to deeply equal 200" in told
    assert 'answered 500: {"code":"internal_error"}' in told
    assert told.splitlines()[-1].startswith("Postman: 2 requests, 9 tests, 1 failed")


def test_a_chain_that_broke_off_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    status = tell(report(sent=["1"], failures=[]), SERVICE)

    assert status == 1
    assert "✗ never sent: List the books" in capsys.readouterr().out
