"""Limits: exact, told honestly, one round trip, and what holds while Redis is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from limits import parse
from redis import Redis
from werkzeug.test import TestResponse

from app.core.admission import Gate, RedisAway, Window
from app.core.limits import Limit, SlidingWindow, limits
from app.extensions import limiter
from app.tenants.models import PLATFORM_ID
from deploy.local.engines import Engines
from tests.conftest import Library
from tests.core.probes import Probes


@pytest.fixture
def gate(app: Flask) -> Gate:
    with app.app_context():
        return limits().gate


def ask_again(gate: Gate, *windows: Window) -> bool:
    """True when the hit was accepted."""
    return gate.ask(windows).refused is None


# — the window —————————————————————————————————————————————————————————————————————————————————————


def test_no_window_however_placed_holds_more_than_the_limit(gate: Gate) -> None:
    window = Window("test", "limit:test", limit=10, window_seconds=1)
    accepted: list[tuple[float, float]] = []
    end = time.monotonic() + 2.3

    while time.monotonic() < end:
        before = time.monotonic()
        if ask_again(gate, window):
            accepted.append((before, time.monotonic()))
        time.sleep(0.005)

    assert len(accepted) >= 20
    spans = [accepted[index + 10][1] - accepted[index][0] for index in range(len(accepted) - 10)]
    assert min(spans) >= 1.0


def test_a_refused_hit_is_not_counted(gate: Gate) -> None:
    window = Window("test", "limit:test", limit=3, window_seconds=1)
    began = time.monotonic()
    accepted = [ask_again(gate, window) for _ in range(3)]

    refused = [ask_again(gate, window) for _ in range(20)]
    while not ask_again(gate, window):
        time.sleep(0.01)

    assert (accepted, refused) == ([True] * 3, [False] * 20)
    assert time.monotonic() - began < 1.5


def test_a_request_counts_against_all_of_its_limits_or_none(gate: Gate) -> None:
    wide = Window("wide", "limit:wide", limit=10, window_seconds=60)
    narrow = Window("narrow", "limit:narrow", limit=2, window_seconds=60)

    outcomes = [ask_again(gate, wide, narrow) for _ in range(5)]

    assert outcomes == [True, True, False, False, False]
    assert gate.ask([Window("wide", "limit:wide", 10, 60, cost=0)]).states[0].remaining == 8


def test_of_two_full_limits_the_longer_wait_is_told(gate: Gate) -> None:
    long = Window("long", "limit:long", limit=1, window_seconds=60)
    short = Window("short", "limit:short", limit=1, window_seconds=1)
    gate.ask([long, short])

    for order in ([long, short], [short, long]):
        refused = gate.ask(order).refused
        assert refused
        assert refused.window.policy == "long"


def test_a_hit_may_cost_more_than_one(gate: Gate) -> None:
    def hit(cost: int) -> bool:
        return ask_again(gate, Window("test", "limit:test", limit=5, window_seconds=60, cost=cost))

    assert [hit(3), hit(3), hit(2), hit(1), hit(0)] == [True, False, True, False, True]


def test_an_expensive_hit_waits_until_enough_have_left(gate: Gate) -> None:
    gate.ask([Window("test", "limit:test", limit=2, window_seconds=1)])
    time.sleep(0.5)
    gate.ask([Window("test", "limit:test", limit=2, window_seconds=1)])

    one = gate.ask([Window("test", "limit:test", 2, 1, cost=1)]).refused
    two = gate.ask([Window("test", "limit:test", 2, 1, cost=2)]).refused

    assert one
    assert two
    assert 0 < one.wait_us < 500_000 < two.wait_us <= 1_000_000


def test_counters_vanish_with_their_window(gate: Gate, app: Flask) -> None:
    client: Redis = app.extensions["redis"]
    gate.ask([Window("test", "limit:test", limit=5, window_seconds=1)])

    assert 0 < int(client.pttl("limit:test")) <= 2000  # type: ignore[arg-type]  # the client is not asynchronous


def test_the_strategy_serves_the_limiters_own_interface(app: Flask) -> None:
    item = parse("2/minute")
    with app.app_context():
        strategy = limiter.limiter
    assert isinstance(strategy, SlidingWindow)

    hits = [strategy.hit(item, "somebody") for _ in range(3)]

    assert hits == [True, True, False]
    assert strategy.test(item, "somebody") is False
    assert strategy.test(item, "somebody else") is True
    stats = strategy.get_window_stats(item, "somebody")
    assert stats.remaining == 0
    assert time.time() < stats.reset_time <= time.time() + 60


# — round trips ————————————————————————————————————————————————————————————————————————————————————


# With these a new connection introduces itself; the watcher's own is one.
GREETINGS = {"AUTH", "CLIENT", "HELLO", "SELECT"}


@contextmanager
def commands_seen(url: str) -> Iterator[list[str]]:
    """The commands that clients sent meanwhile; what scripts did inside Redis is not among them."""
    seen: list[str] = []
    client = Redis.from_url(url)
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py's monitor has no signature
        ended = threading.Event()

        def listen() -> None:
            for command in monitor.listen():
                if "end-of-watch" in command["command"]:
                    ended.set()
                    return
                name = command["command"].split(" ")[0]
                if command["client_type"] != "lua" and name not in GREETINGS:
                    seen.append(name)

        thread = threading.Thread(target=listen)
        thread.start()
        yield seen
        client.echo("end-of-watch")
        assert ended.wait(5)
        thread.join(5)


@pytest.mark.parametrize("path", ["/probes/plain", "/probes/several-limits", "/probes/cached", ""])
def test_all_policies_of_a_request_cost_one_round_trip(app: Flask, running: Engines, path: str) -> None:
    library = Probes(app).library()
    for _ in range(3):
        assert library.get(path).status_code == 200

    with commands_seen(running.redis_url) as seen:
        answer = library.get(path)

    assert answer.status_code == 200
    assert seen == ["EVALSHA"]


def test_a_refusal_costs_one_round_trip_too(make_app: Callable[..., Flask], running: Engines) -> None:
    library = Probes(make_app(CATALOGUE_RATE_LIMIT="2/hour")).library()
    for path in ("/probes/cached", "/probes/several-limits"):
        while library.get(path).status_code == 200:
            pass

        with commands_seen(running.redis_url) as seen:
            assert library.get(path).status_code == 429
        assert seen == ["EVALSHA"]


# — what the client is told —————————————————————————————————————————————————————————————————————————


def test_every_limited_answer_says_how_much_is_left(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(API_RATE_LIMIT_REQUESTS="50", CATALOGUE_RATE_LIMIT="20/hour")).library()

    headers = library.get("/probes/cached").headers
    again = library.get("/probes/cached").headers

    assert headers["RateLimit-Policy"] == '"api";q=50;w=60, "catalogue_read";q=20;w=3600'
    assert headers["RateLimit"] == '"catalogue_read";r=19;t=3600'
    assert again["RateLimit"] == '"catalogue_read";r=18;t=3600'
    assert headers["X-RateLimit-Limit"] == "20"
    assert headers["X-RateLimit-Remaining"] == "19"
    assert 3590 <= int(headers["X-RateLimit-Reset"]) - time.time() <= 3601


def test_a_client_that_waits_as_told_is_let_in(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(CATALOGUE_RATE_LIMIT="3/second")).library()
    while (refused := library.get("/probes/cached")).status_code == 200:
        pass

    time.sleep(int(refused.headers["Retry-After"]))

    assert refused.status_code == 429
    assert refused.get_json()["code"] == "rate_limited"
    assert refused.headers["RateLimit"].startswith('"catalogue_read";r=0;')
    assert library.get("/probes/cached").status_code == 200


def test_the_limits_can_be_asked_for_without_being_used(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(API_RATE_LIMIT_REQUESTS="5", CATALOGUE_RATE_LIMIT="7/hour")).library()
    library.get("/probes/cached")

    answers = [library.get("/rate-limits").get_json() for _ in range(10)]

    states = {state["policy"]: state for state in answers[-1]["items"]}
    assert set(states) == {"api", "ingestion", "catalogue_read", "inventory_write", "inventory_read"}
    assert (states["api"]["limit"], states["api"]["used"], states["api"]["remaining"]) == (5, 1, 4)
    assert (states["catalogue_read"]["used"], states["catalogue_read"]["window_seconds"]) == (1, 3600)


# — who is counted ——————————————————————————————————————————————————————————————————————————————————


# Counts until 1.2 s are over.
BUSY_SCRIPT = """
local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local ending = now() + 1200000
while now() < ending do end
"""


def set_limit(library: Library, **changes: int) -> None:
    platform = Library(library.app, "platform", PLATFORM_ID)
    answer = library.patch(
        "", {"limits": changes}, role=None, headers={"Authorization": f"Bearer {platform.key('platform_admin')}"}
    )
    assert answer.status_code == 200, answer.text


def test_a_tenants_own_limit_counts_by_the_minute_whatever_the_default_window(make_app: Callable[..., Flask]) -> None:
    probes = Probes(make_app(API_RATE_LIMIT_REQUESTS="50", API_RATE_LIMIT_WINDOW_SECONDS="7"))
    small, other = probes.library("small"), probes.library("other")
    # Setting it is a request of the platform's, which is counted there.
    set_limit(small, api_requests_per_minute=4)

    statuses = [small.get("/probes/plain").status_code for _ in range(5)]

    assert statuses == [200, 200, 200, 200, 429]
    assert small.get("/probes/plain").headers["RateLimit-Policy"] == '"api";q=4;w=60'
    assert other.get("/probes/plain").headers["RateLimit-Policy"] == '"api";q=50;w=7'


def test_those_who_run_the_service_are_counted_by_their_own_tenants_limit(make_app: Callable[..., Flask]) -> None:
    probes = Probes(make_app(API_RATE_LIMIT_REQUESTS="50"))
    library, platform = probes.library("small"), Library(probes.app, "platform", PLATFORM_ID)
    set_limit(platform, api_requests_per_minute=7000)

    headers = {"Authorization": f"Bearer {platform.key('platform_admin')}"}
    elsewhere = library.get("/probes/plain", role=None, headers=headers)
    nowhere = probes.app.test_client().get("/api/v1/tenants", headers=headers)

    assert elsewhere.headers["RateLimit-Policy"] == '"api";q=7000;w=60'
    assert nowhere.headers["RateLimit-Policy"] == '"api";q=7000;w=60'


def test_principals_are_counted_apart_and_a_tenant_as_a_whole(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(API_RATE_LIMIT_REQUESTS="6", CATALOGUE_RATE_LIMIT="3/hour")).library()

    first = [library.get("/probes/cached", role="lms").status_code for _ in range(4)]
    second = [library.get("/probes/cached", role="kiosk").status_code for _ in range(4)]

    assert first == [200, 200, 200, 429]
    assert second == [200, 200, 200, 429]
    assert library.get("/probes/plain", role="kiosk").status_code == 429


def sign_in(library: Library, address: str, forwarded: str | None = None) -> TestResponse:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return library.call(
        "POST", "/probes/sign-in", role=None, headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )


def test_a_forged_forwarded_address_does_not_dodge_a_limit(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(AUTH_RATE_LIMIT="3/minute")).library()

    statuses = [sign_in(library, "192.0.2.1", f"198.51.100.{n}").status_code for n in range(5)]

    assert statuses == [200, 200, 200, 429, 429]
    assert sign_in(library, "192.0.2.2").status_code == 200


def test_behind_a_trusted_proxy_only_its_own_word_counts(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(AUTH_RATE_LIMIT="3/minute", TRUSTED_PROXIES="1")).library()

    # The proxy appends the address that it saw; what stands before it is the client's invention.
    statuses = [sign_in(library, "10.0.0.1", f"198.51.100.{n}, 192.0.2.1").status_code for n in range(5)]

    assert statuses == [200, 200, 200, 429, 429]
    assert sign_in(library, "10.0.0.1", "192.0.2.2").status_code == 200


# — Redis away ——————————————————————————————————————————————————————————————————————————————————————


def test_without_redis_reads_go_on_counted_alone_and_sign_in_is_closed(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    library = Probes(make_breakable_app(CATALOGUE_RATE_LIMIT="8/hour", WEB_PROCESSES="2")).library("no-redis")
    before = [library.get("/probes/cached").status_code, sign_in(library, "192.0.2.1").status_code]

    breakable.stop_redis()
    try:
        reads = [library.get("/probes/cached").status_code for _ in range(6)]
        closed = sign_in(library, "192.0.2.1")
        shown = library.get("/rate-limits")
        written = library.post("/probes/touched").status_code
    finally:
        breakable.start_redis()
    time.sleep(1.1)
    after = [library.get("/probes/cached").status_code, sign_in(library, "192.0.2.1").status_code]

    assert before == [200, 200]
    # Two processes share the limit, so this one lets half of it through.
    assert reads == [200, 200, 200, 200, 429, 429]
    assert (closed.status_code, closed.get_json()["code"]) == (503, "limit_unavailable")
    assert int(closed.headers["Retry-After"]) >= 1
    assert shown.status_code == 503
    assert written == 200
    assert after == [200, 200]


def test_alone_too_a_refused_hit_is_not_counted(app: Flask) -> None:
    gate = Gate(app.extensions["redis"], processes=1)
    wide, narrow = Window("wide", "a", 10, 60), Window("narrow", "b", 2, 60)

    outcomes = [gate.count_alone([wide, narrow]).refused is None for _ in range(5)]

    assert outcomes == [True, True, False, False, False]
    assert gate.count_alone([Window("wide", "a", 10, 60, cost=0)]).states[0].remaining == 8


def test_a_redis_that_hangs_costs_a_moment_and_then_nothing(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    app = make_breakable_app()
    window = Window("test", "limit:hang", limit=100, window_seconds=60)
    with app.app_context():
        gate = limits().gate
    gate.ask([window])
    admin = Redis.from_url(breakable.redis_url)
    # Redis serves nobody while it runs a script.
    threading.Thread(target=lambda: admin.eval(BUSY_SCRIPT, 0)).start()
    time.sleep(0.1)

    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(RedisAway):
            gate.ask([window])
    lost = time.monotonic() - began

    assert lost < 0.8
    time.sleep(1.6)
    assert gate.ask([window]).refused is None


def test_an_ingestion_limit_of_a_tenants_own_counts_by_the_hour(make_app: Callable[..., Flask]) -> None:
    library = Probes(make_app(INGESTION_RATE_LIMIT_WINDOW_SECONDS="60")).library()
    with library.app.app_context():
        own = limits().window(Limit.INGESTION, "x", size=5)
        default = limits().window(Limit.INGESTION, "x")

    assert (own.limit, own.window_seconds) == (5, 3600)
    assert default.window_seconds == 60
