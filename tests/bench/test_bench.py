"""The parts of the bench that can be wrong without anybody noticing."""

from __future__ import annotations

import os

import pytest

from app.core.isbn import normalize_isbn
from bench import cases, dataset, measure
from bench.report import Line, chart, table

WRK = """Running 2s test @ http://127.0.0.1:5000
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.00ms    1.00ms  20.00ms   90.00%
    Req/Sec     4.00k   100.00     5.00k    80.00%
  Latency Distribution
     50%  900.00us
     75%    2.00ms
     90%    3.00ms
     99%   12.50ms
  8000 requests in 2.00s, 10.00MB read
{more}Requests/sec:   4000.00
Transfer/sec:      5.00MB
"""


def test_what_wrk_says_is_read_in_milliseconds() -> None:
    run = measure._read(WRK.format(more=""), 4.0)

    assert (run.requests, run.requests_per_second, run.p50_ms, run.p99_ms) == (8000, 4000.0, 0.9, 12.5)
    assert run.cpu_us == 500.0
    assert run.refused == 0


def test_refused_requests_are_told() -> None:
    assert measure._read(WRK.format(more="  Non-2xx or 3xx responses: 7\n"), 1.0).refused == 7


def test_broken_connections_are_no_result() -> None:
    with pytest.raises(RuntimeError, match="broke connections"):
        measure._read(WRK.format(more="  Socket errors: connect 0, read 3, write 0, timeout 0\n"), 1.0)


def test_cpu_time_counts_the_process_itself() -> None:
    before = measure.cpu_seconds([os.getpid()])
    sum(number * number for number in range(2_000_000))

    assert measure.cpu_seconds([os.getpid()]) > before


def test_the_works_are_the_same_at_every_call_and_their_isbns_valid() -> None:
    works = list(dataset.works(50))

    assert works == list(dataset.works(50))
    assert len({work.open_library_key for work in works}) == 50
    assert [normalize_isbn(isbn) for work in works for isbn in work.isbns] == [i for work in works for i in work.isbns]


def test_the_table_and_the_chart_name_every_case_with_figures() -> None:
    lines = [
        Line("floor", 1000.0, 1.0, 2.0, 500.0, 1.0),
        Line("page <cached>", 4000.0, 0.5, 1.0, 150.0, 0.3, wanted="≤ 0.6 × floor"),
        Line("memory", None, None, None, None, None, note="90 MB"),
    ]

    assert "| page <cached> | 4,000 | 0.50 | 1.00 | 150 | 0.30 | ≤ 0.6 × floor |  |" in table(lines)
    assert "page &lt;cached&gt;" in chart(lines)
    assert "memory" not in chart(lines)


def test_readers_ask_for_one_page_after_another_of_a_product_each() -> None:
    pages = [(product, str(number), "") for product in "AB" for number in range(3)] + [("C", "0", "")]

    ordered = cases._as_by_readers(pages)

    assert [product + number for product, number, _ in ordered] == ["A0", "B0", "C0", "A1", "B1", "A2", "B2"]
