"""What is told of a run of the collection."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.postman.__main__ import tell
from tests.postman.node import RunError
from tests.postman.report import Report
from tests.postman.stack import Service, running_already

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


def test_a_service_that_does_not_run_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with socket.socket() as closed:
        # Taken, so that nobody else listens there, and nobody does.
        closed.bind(("127.0.0.1", 0))
        site = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environment = {"values": [{"key": "base_url", "value": site}, {"key": "platform_key", "value": "lib_x"}]}
        (tmp_path / "demo.postman_environment.json").write_text(json.dumps(environment))

        with pytest.raises(RunError, match=rf"^nothing answers at {site}: start the service with `make run`\.$"):
            running_already(tmp_path / "demo.env")


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
