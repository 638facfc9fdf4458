"""The client against a site in all its moods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.openlibrary.client import SEARCH_ANSWER_FIELDS, OpenLibraryClient
from app.openlibrary.errors import InvalidQuery, UpstreamRefused, UpstreamUnavailable
from app.openlibrary.records import Deleted, NormalizedWork, Redirect
from app.openlibrary.transport import allowed_rate
from deploy.local.engines import Engines
from tests.openlibrary.conftest import CONTACT
from tests.stand_in import FaultKind, StandIn

ROOT = Path(__file__).parents[2]

MakeClient = Callable[..., OpenLibraryClient]
KEY = "OL45804W"


@pytest.fixture
def redis(running: Engines) -> Iterator[Redis]:
    client = Redis.from_url(running.redis_url)
    yield client
    client.flushdb()
    client.close()


def title_of(client: OpenLibraryClient, *, patience_seconds: float = 5) -> str:
    record = client.documents([KEY], patience_seconds=patience_seconds)[KEY]
    assert isinstance(record, NormalizedWork)
    return record.title


def test_every_request_says_who_asks(site: StandIn, client: OpenLibraryClient) -> None:
    site.refuses_strangers = True

    client.search("author:Tolkien")
    client.documents([KEY])

    assert {seen.user_agent for seen in site.requests} == {f"LibraryAPI/1.0 ({CONTACT})"}


def test_every_search_names_its_fields(site: StandIn, client: OpenLibraryClient) -> None:
    client.search("author:Tolkien", limit=1_000)

    parameters = site.requests[0].parameters
    assert parameters["fields"] == [",".join(SEARCH_ANSWER_FIELDS)]
    assert {"description", "isbn", "editions.isbn"} <= set(SEARCH_ANSWER_FIELDS)
    assert parameters["limit"] == ["100"]


def test_a_search_page_brings_whole_books(client: OpenLibraryClient) -> None:
    answer = client.search("mistborn")

    assert (answer.total, answer.dropped) == (9, 0)
    assert all(work.authors and work.isbns for work in answer.works)
    assert all(work.unasked == {"editions"} for work in answer.works)


@pytest.mark.parametrize("age", ["2013", "2025", "2026"])
def test_answers_of_every_age_are_read(site: StandIn, client: OpenLibraryClient, age: str) -> None:
    site.age = age  # type: ignore[assignment]  # one of its ages

    answer = client.search("author:Sanderson", limit=3, offset=1)

    assert len(answer.works) == 3
    assert answer.total == 14


def test_a_hit_that_is_no_work_is_dropped_and_counted(site: StandIn, client: OpenLibraryClient) -> None:
    site.add_work("Sound", subjects=["Odd hits"])
    site.add_work("Unsound", subjects=["Odd hits"], key="OL9000000009W")
    site.catalogue.edit("OL9000000009W", _search={"key": "ia:unsound00"})

    answer = client.search('subject:"Odd hits"')

    assert (answer.total, answer.dropped) == (2, 1)
    assert [work.title for work in answer.works] == ["Sound"]


def test_a_query_the_site_refuses_is_the_askers_fault(site: StandIn, client: OpenLibraryClient) -> None:
    with pytest.raises(InvalidQuery):
        client.search("ab")

    assert len(site.requests) == 1


def test_many_documents_are_one_request(site: StandIn, client: OpenLibraryClient) -> None:
    found = client.documents([KEY, "OL100005W", "OL1000619W", "OL18319A", "OL404W", KEY])

    assert len(site.requests) == 1
    assert set(found) == {KEY, "OL100005W", "OL1000619W", "OL18319A"}
    assert found["OL100005W"] == Redirect("OL100005W", "OL27448W", 4)
    assert found["OL1000619W"] == Deleted("OL1000619W", 2)


def test_three_hundred_documents_are_three_requests(site: StandIn, client: OpenLibraryClient) -> None:
    site.generated_catalogue(300)
    keys = [path.rsplit("/", 1)[-1] for path in site.catalogue.documents if "/OL900000" in path and path[-1] == "W"]

    found = client.documents(keys)

    assert len(found) == 300
    assert len(site.requests) == 3
    assert max(len(json.dumps(seen.parameters["keys"])) for seen in site.requests) < 4_000


def test_without_the_undocumented_address_records_are_asked_one_by_one(
    site: StandIn, client: OpenLibraryClient
) -> None:
    site.fault("not_found", times=None, path="/api/get_many")

    found = client.documents([KEY, "OL404W"])

    assert set(found) == {KEY}
    assert [seen.path for seen in site.requests] == [
        "/api/get_many", f"/works/{KEY}.json", "/works/OL404W.json",
    ]  # fmt: skip


def test_editions_come_by_either_form_of_their_isbn(site: StandIn, client: OpenLibraryClient) -> None:
    found = client.editions_by_isbns(["9780486437910", "9780064471831", "9780000000019"])

    assert {isbn: edition.open_library_key for isbn, edition in found.items()} == {
        "9780486437910": "OL3421079M",
        "9780064471831": "OL22951843M",
    }
    assert [seen.path for seen in site.requests] == ["/api/books.json"]


def test_works_by_isbn_have_that_very_isbn(site: StandIn, client: OpenLibraryClient) -> None:
    site.add_work("Near miss", isbns=["9780000000019"])
    site.catalogue.edit(site.add_work("Lost its ISBN", isbns=[]), _search={"isbn": ["978000000019"]})

    found = client.works_by_isbns(["9780000000019", "9780000000026"])

    assert {isbn: work.title for isbn, work in found.items()} == {"9780000000019": "Near miss"}


def test_a_hundred_isbns_are_four_searches(site: StandIn, client: OpenLibraryClient) -> None:
    site.generated_catalogue(50)
    isbns = [isbn for work in client.search("subject:Generated").works for isbn in work.isbns]
    site.forget_requests()

    found = client.works_by_isbns(isbns)

    assert len(found) == len(isbns) == 100
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("server_error", 2),
        ("unavailable", 2),
        ("html", 2),
        ("wrong_type", 2),
        ("cut_json", 2),
        ("cut_connection", 2),
        ("wrong_shape", 1),
        ("reset", 3),
        ("rate_limit", 3),
        ("redirect_elsewhere", 1),
        ("endless", 1),
    ],
)
def test_an_outage_is_said_and_not_mistaken_for_an_answer(
    site: StandIn, client: OpenLibraryClient, fault: FaultKind, attempts: int
) -> None:
    site.fault(fault, times=None)

    with pytest.raises(UpstreamUnavailable) as outage:
        title_of(client)

    assert outage.value.code == "upstream_unavailable"
    assert outage.value.status == 503
    assert int(outage.value.headers["Retry-After"]) >= 1
    assert len(site.requests) == attempts


@pytest.mark.parametrize(
    "fault", ["server_error", "unavailable", "html", "cut_json", "cut_connection", "reset", "rate_limit"]
)
def test_a_single_fault_is_outlived(site: StandIn, client: OpenLibraryClient, fault: FaultKind) -> None:
    site.fault(fault, times=1)

    assert title_of(client) == "Fantastic Mr Fox"
    assert len(site.requests) == 2


@pytest.mark.parametrize("fault", ["slow_first_byte", "slow_body"])
def test_slowness_holds_no_thread(site: StandIn, make_client: MakeClient, fault: FaultKind) -> None:
    client = make_client(timeout_seconds=0.3)
    site.fault(fault, times=None, seconds=60)
    began = time.monotonic()

    with pytest.raises(UpstreamUnavailable):
        title_of(client)

    assert time.monotonic() - began < 3


def test_patience_bounds_all_attempts_together(site: StandIn, make_client: MakeClient) -> None:
    client = make_client(timeout_seconds=30)
    site.fault("slow_first_byte", times=None, seconds=60)
    began = time.monotonic()

    with pytest.raises(UpstreamUnavailable):
        title_of(client, patience_seconds=0.5)

    assert time.monotonic() - began < 2


def test_a_site_that_is_away_is_unavailable(site: StandIn, client: OpenLibraryClient) -> None:
    site.down()

    with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
        title_of(client)


def test_a_refusal_is_a_fault_of_configuration_and_never_retried(site: StandIn, make_client: MakeClient) -> None:
    site.refuses_strangers = True
    stranger = make_client(contact=None)

    for _ in range(3):
        with pytest.raises(UpstreamRefused, match="OPEN_LIBRARY_CONTACT") as refusal:
            title_of(stranger)

    assert (refusal.value.code, refusal.value.status) == ("upstream_refused", 503)
    assert [seen.user_agent for seen in site.requests] == ["LibraryAPI/1.0"]


def test_a_refusal_is_shared_but_not_with_those_who_give_a_contact(
    site: StandIn, make_client: MakeClient, redis: Redis
) -> None:
    site.refuses_strangers = True
    with pytest.raises(UpstreamRefused):
        title_of(make_client(contact=None, redis=redis))

    with pytest.raises(UpstreamRefused):
        title_of(make_client(contact=None, redis=redis))

    assert len(site.requests) == 1
    assert title_of(make_client(redis=redis)) == "Fantastic Mr Fox"


def test_a_pause_that_the_site_asks_for_is_kept_by_all(site: StandIn, make_client: MakeClient, redis: Redis) -> None:
    site.fault("rate_limit_with_retry_after", seconds=120)

    with pytest.raises(UpstreamUnavailable) as first:
        title_of(make_client(redis=redis))
    with pytest.raises(UpstreamUnavailable) as second:
        title_of(make_client(redis=redis))

    assert first.value.retry_after_seconds == pytest.approx(120, abs=1)
    assert second.value.retry_after_seconds == pytest.approx(120, abs=2)
    assert len(site.requests) == 1


def test_a_short_pause_is_waited_for(site: StandIn, client: OpenLibraryClient) -> None:
    site.fault("rate_limit_with_retry_after", seconds=1)

    assert title_of(client) == "Fantastic Mr Fox"
    first, second = (seen.at for seen in site.requests)
    assert second - first >= 1


def test_a_site_that_is_down_is_left_in_peace(site: StandIn, make_client: MakeClient, redis: Redis) -> None:
    clients = [make_client(redis=redis) for _ in range(3)]
    site.fault("server_error", times=None)

    for number in range(12):
        with pytest.raises(UpstreamUnavailable):
            title_of(clients[number % 3])

    # Five failures open the breaker; within its pause of 0.2 s nobody asks again.
    assert 5 <= len(site.requests) <= 7


def test_the_site_is_asked_again_when_it_is_back(site: StandIn, client: OpenLibraryClient) -> None:
    site.fault("server_error", times=None)
    for _ in range(4):
        with pytest.raises(UpstreamUnavailable):
            title_of(client)
    site.heal()

    with pytest.raises(UpstreamUnavailable) as resting:
        title_of(client)
    time.sleep(resting.value.retry_after_seconds + 0.05)

    assert title_of(client) == "Fantastic Mr Fox"
    assert title_of(client) == "Fantastic Mr Fox"


def test_records_are_served_while_the_search_is_out(site: StandIn, client: OpenLibraryClient) -> None:
    site.fault("server_error", times=None, path="/search.json")
    for _ in range(4):
        with pytest.raises(UpstreamUnavailable):
            client.search("author:Tolkien")

    assert title_of(client) == "Fantastic Mr Fox"


def test_the_rate_is_kept_at_the_site(site: StandIn, make_client: MakeClient, redis: Redis) -> None:
    # Together 50 ms apart; the site forgives what the way there takes. Two clients on their own would come at once.
    site.limit_rate(requests=1, seconds=0.02)
    clients = [make_client(redis=redis, requests_per_second=20.0) for _ in range(2)]

    for number in range(10):
        title_of(clients[number % 2])

    assert len(site.requests) == 10


def test_a_wait_beyond_patience_is_refused_before_asking(site: StandIn, make_client: MakeClient, redis: Redis) -> None:
    client = make_client(redis=redis, requests_per_second=0.2)
    title_of(client)

    with pytest.raises(UpstreamUnavailable, match="Too many requests are waiting"):
        title_of(client, patience_seconds=1)

    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("url", "contact", "rate"),
    [
        ("https://openlibrary.org", "a@b.org", 3),
        ("https://openlibrary.org", None, 1),
        ("https://www.openlibrary.org", None, 1),
        ("http://127.0.0.1:8081", None, 500),
        ("https://openlibrary.org.example.com", None, 500),
    ],
)
def test_the_public_site_is_never_asked_more_often_than_it_wishes(url: str, contact: str | None, rate: float) -> None:
    assert allowed_rate(500, base_url=url, contact=contact) == rate


def test_a_missing_contact_is_said_by_workers_and_by_nobody_else(
    migrated: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each entry, imported as its processes do, and what a worker does at its start."""
    environment = {**migrated, "PATH": os.environ["PATH"], "OPEN_LIBRARY_CONTACT": ""}
    starts = "import celery_worker, celery.signals; celery.signals.worker_init.send(sender=None)"

    said = {
        code: subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stderr.count("openlibrary.no_contact")
        for code in ("import wsgi", "import celery_worker", starts)
    }

    assert said == {"import wsgi": 0, "import celery_worker": 0, starts: 1}


def test_redis_away_stops_no_request(site: StandIn, make_client: MakeClient) -> None:
    nobody = Redis(host="127.0.0.1", port=9, retry=Retry(NoBackoff(), 0))

    assert title_of(make_client(redis=nobody)) == "Fantastic Mr Fox"


def test_lone_surrogates_and_deep_nesting_break_nothing(site: StandIn, client: OpenLibraryClient) -> None:
    """Made up: the first was seen in the dumps, the second would be malice."""
    site.catalogue.edit(KEY, title="Fox \ud83d tail")

    assert title_of(client) == "Fox tail"
