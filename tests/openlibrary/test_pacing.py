"""Two processes, one row: what the site sees is what counts."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing.queues import Queue

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.openlibrary.pacing import PROCESSES_ASSUMED, Breaker, Pace, Shared, TooBusy
from deploy.local.engines import Engines


def nobody() -> Shared:
    """A Redis that does not answer."""
    return Shared(Redis(host="127.0.0.1", port=9, retry=Retry(NoBackoff(), 0)))


@pytest.fixture
def redis(running: Engines) -> Iterator[Redis]:
    client = Redis.from_url(running.redis_url)
    yield client
    client.flushdb()
    client.close()


def take_places(url: str, count: int, moments: Queue[float]) -> None:
    pace = Pace(Shared(Redis.from_url(url)), name="test", requests_per_second=50)
    for _ in range(count):
        time.sleep(pace.reserve(longest_wait_seconds=30))
        moments.put(time.time())


def test_two_processes_keep_to_one_rate(running: Engines, redis: Redis) -> None:
    context = multiprocessing.get_context("spawn")
    moments: Queue[float] = context.Queue()
    processes = [context.Process(target=take_places, args=(running.redis_url, 15, moments)) for _ in range(2)]
    # Nobody starts before both are there: Python takes its time to begin.
    Pace(Shared(redis), name="test", requests_per_second=50).postpone(3)

    for process in processes:
        process.start()
    taken = sorted(moments.get(timeout=30) for _ in range(30))
    for process in processes:
        process.join(timeout=10)

    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert 29 * 0.02 * 0.9 <= taken[-1] - taken[0] <= 3
    # A process that wakes late may follow close on another, but never in a burst.
    assert sum(gap < 0.01 for gap in gaps) <= 4
    assert all(process.exitcode == 0 for process in processes)


def test_places_are_one_interval_apart(redis: Redis) -> None:
    pace = Pace(Shared(redis), name="test", requests_per_second=4)

    waits = [pace.reserve(longest_wait_seconds=10) for _ in range(4)]

    assert waits == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.05)


def test_a_place_too_late_is_not_taken(redis: Redis) -> None:
    pace = Pace(Shared(redis), name="test", requests_per_second=1)
    pace.reserve(longest_wait_seconds=0)

    with pytest.raises(TooBusy) as busy:
        pace.reserve(longest_wait_seconds=0.5)

    assert busy.value.wait_seconds == pytest.approx(1, abs=0.1)
    assert pace.reserve(longest_wait_seconds=2) == pytest.approx(1, abs=0.1)


def test_everybody_waits_after_a_postponement(redis: Redis) -> None:
    Pace(Shared(redis), name="test", requests_per_second=100).postpone(5)

    wait = Pace(Shared(redis), name="test", requests_per_second=100).reserve(longest_wait_seconds=10)

    assert wait == pytest.approx(5, abs=0.1)


def test_sites_have_rows_of_their_own(redis: Redis) -> None:
    Pace(Shared(redis), name="one", requests_per_second=1).reserve(longest_wait_seconds=0)

    assert Pace(Shared(redis), name="other", requests_per_second=1).reserve(longest_wait_seconds=0) == 0


def test_without_redis_a_process_keeps_to_its_share() -> None:
    pace = Pace(nobody(), name="test", requests_per_second=4)

    waits = [pace.reserve(longest_wait_seconds=10) for _ in range(3)]

    assert waits == pytest.approx([0, PROCESSES_ASSUMED / 4, 2 * PROCESSES_ASSUMED / 4], abs=0.2)
    with pytest.raises(TooBusy):
        pace.reserve(longest_wait_seconds=0.5)


def breaker(shared: Shared, *, open_seconds: float = 0.3, probe_seconds: float = 5) -> Breaker:
    return Breaker(shared, name="test", open_seconds=open_seconds, longest_open_seconds=1, probe_seconds=probe_seconds)


@pytest.fixture(params=["shared", "alone"])
def shared(request: pytest.FixtureRequest, redis: Redis) -> Shared:
    return Shared(redis if request.param == "shared" else None)


def test_failures_in_a_row_open_the_breaker(shared: Shared) -> None:
    gate = breaker(shared)

    opened = [gate.failed() for _ in range(Breaker.FAILURES_TO_OPEN)]

    assert opened == [0, 0, 0, 0, pytest.approx(0.3)]
    assert 0 < gate.admit().wait_seconds <= 0.3


def test_a_success_in_between_closes_it(shared: Shared) -> None:
    gate = breaker(shared)
    for _ in range(Breaker.FAILURES_TO_OPEN - 1):
        gate.failed()

    gate.succeeded()

    assert gate.failed() == 0
    assert gate.admit().wait_seconds == 0


def test_one_request_tries_whether_the_site_is_back(shared: Shared) -> None:
    gate = breaker(shared, open_seconds=0.1)
    for _ in range(Breaker.FAILURES_TO_OPEN):
        gate.failed()
    time.sleep(0.15)

    first, second = gate.admit(), gate.admit()

    assert (first.wait_seconds, first.wants_success) == (0, True)
    assert second.wait_seconds > 1


def test_a_failed_try_doubles_the_pause_up_to_the_longest(shared: Shared) -> None:
    gate = breaker(shared, open_seconds=0.1, probe_seconds=0.01)
    for _ in range(Breaker.FAILURES_TO_OPEN):
        gate.failed()

    pauses = []
    for _ in range(2):
        time.sleep(gate.admit().wait_seconds + 0.02)
        gate.admit()
        pauses.append(gate.failed())

    assert pauses == [pytest.approx(0.2), pytest.approx(0.4)]


def test_a_wanted_pause_opens_at_once(shared: Shared) -> None:
    gate = breaker(shared)

    assert gate.failed(open_for_seconds=60) == pytest.approx(60)
    assert gate.admit().wait_seconds == pytest.approx(60, abs=0.1)


def test_what_one_process_learns_the_others_know(redis: Redis) -> None:
    for _ in range(Breaker.FAILURES_TO_OPEN):
        breaker(Shared(redis), open_seconds=0.9).failed()

    assert breaker(Shared(redis)).admit().wait_seconds > 0.5


def test_a_quiet_breaker_wants_no_report(shared: Shared) -> None:
    assert breaker(shared).admit().wants_success is False


def test_the_breaker_works_on_while_redis_is_away() -> None:
    gate = breaker(nobody())

    for _ in range(Breaker.FAILURES_TO_OPEN):
        gate.failed()

    assert gate.admit().wait_seconds > 0
    gate.succeeded()
    assert gate.admit().wait_seconds == 0
