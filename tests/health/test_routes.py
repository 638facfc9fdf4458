"""The service itself: alive, measured, documented."""

from __future__ import annotations

import gzip
import hashlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from app.core.queue import WORKER_HEARTBEAT_KEY, WORKER_SILENT_SECONDS
from app.extensions import redis
from app.health import service
from deploy.local.engines import Engines
from tests.conftest import Library
from tests.core.conftest import breakable, make_breakable_app

__all__ = ["breakable", "make_breakable_app"]

ROOT = Path(__file__).parents[2]


def test_the_root_says_where_everything_is(client: FlaskClient) -> None:
    body = client.get("/").get_json()

    assert body["name"] == "Library API"
    assert re.fullmatch(r"\d+\.\d+\.\d+", body["version"])
    for name in ("documentation", "openapi", "health"):
        assert client.get(body["links"][name], buffered=True).status_code == 200, name


# — health —————————————————————————————————————————————————————————————————————————————————————————


def test_without_a_worker_all_else_is_well(client: FlaskClient) -> None:
    for path in ("/health", "/health/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.get_json()) == (200, {"db": "ok", "redis": "ok", "worker": "unavailable"})
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers
    assert client.get("/health/live").get_json() == {"status": "ok"}


def test_a_running_worker_is_seen_until_it_falls_silent(app: Flask, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "--concurrency=1", "--pool=solo"]
    flags = ["--queues=upkeep", "--without-gossip", "--without-mingle", "--loglevel=ERROR"]
    worker = subprocess.Popen([*command, *flags], cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)})
    try:
        seen = wait_for(lambda: app.test_client().get("/health").get_json()["worker"], "ok", seconds=30)
        with app.app_context():
            silent_in_seconds = redis.client.ttl(WORKER_HEARTBEAT_KEY)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    with app.app_context():
        redis.client.expire(WORKER_HEARTBEAT_KEY, 0)

    assert seen == "ok"
    assert 0 < int(silent_in_seconds) <= WORKER_SILENT_SECONDS  # type: ignore[arg-type]  # not asynchronous
    assert app.test_client().get("/health").get_json()["worker"] == "unavailable"


def wait_for(ask: Callable[[], str], wanted: str, *, seconds: float) -> str:
    end = time.monotonic() + seconds
    while (found := ask()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return found


def test_without_redis_it_is_unwell_but_ready(make_breakable_app: Callable[..., Flask], breakable: Engines) -> None:
    client = make_breakable_app().test_client()
    breakable.stop_redis()
    try:
        health, ready, live = (client.get(path) for path in ("/health", "/health/ready", "/health/live"))
    finally:
        breakable.start_redis()

    assert health.get_json() == {"db": "ok", "redis": "unavailable", "worker": "unavailable"}
    assert [health.status_code, ready.status_code, live.status_code] == [503, 200, 200]
    assert client.get("/health").status_code == 200


def test_a_probe_that_fails_as_nobody_foresaw_is_unavailable(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(service._PROBES, "redis", lambda: 1 / 0)

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.get_json()["redis"]) == (200, "unavailable")


def test_without_postgresql_it_is_neither_well_nor_ready(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    client = make_breakable_app().test_client()
    breakable.stop_postgres()
    try:
        health, ready, live = (client.get(path) for path in ("/health", "/health/ready", "/health/live"))
    finally:
        breakable.start_postgres()

    assert health.get_json()["db"] == "unavailable"
    assert health.get_json()["redis"] == "ok"
    assert [health.status_code, ready.status_code, live.status_code] == [503, 503, 200]
    assert client.get("/health").status_code == 200


def test_a_database_that_hangs_is_unavailable_after_two_seconds_and_holds_up_nobody_else(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    client = make_breakable_app().test_client()
    assert client.get("/health").get_json()["db"] == "ok"
    assert breakable.postgres
    assert breakable.postgres._process
    postmaster = psutil.Process(breakable.postgres._process.pid)
    processes = [postmaster, *postmaster.children(recursive=True)]

    for process in processes:
        process.suspend()
    began = time.monotonic()
    try:
        answers = [client.get("/health").get_json() for _ in range(2)]
        took = time.monotonic() - began
    finally:
        for process in processes:
            process.resume()

    assert answers == [{"db": "unavailable", "redis": "ok", "worker": "unavailable"}] * 2
    assert took < 2 * (service.PROBE_SECONDS + 0.5)
    assert wait_for(lambda: client.get("/health").get_json()["db"], "ok", seconds=10) == "ok"


# — metrics ————————————————————————————————————————————————————————————————————————————————————————


def sample(text: str, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return float(found.value)
    return 0


def test_requests_are_counted_by_route_method_and_status(library: Library) -> None:
    labels = {"method": "GET", "route": "/api/v1/tenants/<slug>", "status": "200"}
    client = library.app.test_client()
    before = client.get("/metrics").text
    for _ in range(3):
        library.get("")

    after = client.get("/metrics")

    assert after.content_type.startswith("text/plain")
    assert sample(after.text, "library_requests_total", **labels) == (
        sample(before, "library_requests_total", **labels) + 3
    )
    assert sample(after.text, "library_request_seconds_count", route=labels["route"]) >= 3
    assert library.slug not in after.text
    assert str(library.id) not in after.text


def test_what_clients_invent_makes_no_new_series(client: FlaskClient) -> None:
    for number in range(5):
        client.open(f"/nowhere/{number}", method=f"INVENTED{number}")
        client.get(f"/nowhere/{number}")

    text = client.get("/metrics").text
    assert "INVENTED" not in text
    assert "nowhere" not in text
    assert sample(text, "library_requests_total", route="(none)") >= 1


def test_with_a_token_the_metrics_take_it(make_app: Callable[..., Flask]) -> None:
    client = make_app(METRICS_TOKEN="a token of our own").test_client()

    def status(authorization: str | None) -> int:
        return client.get("/metrics", headers={"Authorization": authorization} if authorization else {}).status_code

    assert status("Bearer a token of our own") == 200
    for wrong in (
        None,
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "a token of our own",
        "Basic a token of our own",
        "Bearer ü",
    ):
        assert status(wrong) == 401, wrong
    refused = client.get("/metrics")
    assert refused.get_json()["code"] == "unauthenticated"
    assert refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.1", {}, 401),
        ("", {}, 401),
        ("unix:", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, 401),
    ],
)
def test_without_a_token_the_metrics_are_for_this_machine(
    client: FlaskClient, address: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address})

    assert answer.status_code == status


# — documents ——————————————————————————————————————————————————————————————————————————————————————


def test_the_openapi_document_is_valid(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()

    validate(document)
    assert document["openapi"].startswith("3.1")


PAGES = ["/docs", "/docs/errors"]


def parts_of(client: FlaskClient, page: str) -> list[str]:
    """The addresses that a page leads to, as its browser understands them."""
    found = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]+)""", client.get(page).text)
    return [urljoin(page, each) for each in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_need_no_internet(client: FlaskClient, page: str) -> None:
    parts = parts_of(client, page)

    assert client.get(page).content_type == "text/html; charset=utf-8"
    assert len(parts) >= 4
    assert {part: client.get(part).status_code for part in parts} == dict.fromkeys(parts, 200)


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_work_below_a_proxys_own_path(client: FlaskClient, page: str) -> None:
    linked = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]+)""", client.get(page).text)

    assert not [each for each in linked if each.startswith("/")]
    assert client.get("/openapi.json").get_json()["servers"][0]["url"] == "."


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_run_no_script_but_their_own(client: FlaskClient, page: str) -> None:
    answer = client.get(page)

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", answer.text)


def test_parts_that_name_their_version_are_kept_for_good_and_others_are_asked_for(client: FlaskClient) -> None:
    kept = {part: client.get(part).headers["Cache-Control"] for part in parts_of(client, "/docs") if "/static/" in part}

    versioned = {part for part in kept if "/swagger-ui-" in part}
    assert {kept[part] for part in versioned} == {"max-age=31536000, immutable"}
    assert {kept[part] for part in kept.keys() - versioned} == {"no-cache"}
    assert len(versioned) == 2


@pytest.mark.parametrize("address", ["/docs", "/docs/errors", "/openapi.json", "/docs/static/docs.js"])
def test_what_is_large_and_always_the_same_is_sent_short_and_once(client: FlaskClient, address: str) -> None:
    whole = client.get(address)
    short = client.get(address, headers={"Accept-Encoding": "gzip"})
    again = client.get(address, headers={"Accept-Encoding": "gzip", "If-None-Match": short.headers["ETag"]})
    refused = client.get(address, headers={"Accept-Encoding": "gzip;q=0"})

    assert gzip.decompress(short.data) == whole.data == refused.data
    assert short.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in whole.headers
    assert short.headers["Vary"] == whole.headers["Vary"] == "Accept-Encoding"
    assert short.headers["ETag"] != whole.headers["ETag"]
    assert (again.status_code, again.data) == (304, b"")


def test_swagger_ui_is_what_was_published() -> None:
    (folder,) = (ROOT / "app/health/static").glob("swagger-ui-*")
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    noted = {name: digest for digest, name in (line.split() for line in lines)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    del found["SHA256SUMS"]
    assert found == noted
    assert {"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} < noted.keys()


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "..%2froutes.py",
        "%2e%2e%2froutes.py",
        "../routes.py",
        "%00",
        "",
        "swagger-ui-5.35.0",
        "%2fetc%2fhosts",
    ],
)
def test_only_the_parts_of_the_page_are_given_out(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/static/{name}").status_code == 404


def test_every_problem_leads_to_its_explanation(library: Library) -> None:
    page = library.app.test_client().get("/docs/errors").text
    problem = library.get("/no-such-thing").get_json()

    path, _, anchor = problem["type"].partition("#")
    assert path == "/docs/errors"
    assert f'<h2 id="{anchor}">' in page


def test_every_explanation_stands_in_the_list_with_its_status(client: FlaskClient) -> None:
    codes = re.findall(r"^## (\w+)$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)

    page = client.get("/docs/errors").text

    contents = page[page.index('<div class="toc">') : page.index("<h2")]
    assert re.findall(r'href="#(\w+)"', contents) == codes
    # A status with a full stop would be taken for the number of a list's item.
    assert "<ol" not in page
    assert "<p>409: Another tenant has this slug." in page


def test_the_commands_write_the_documents(app: Flask, tmp_path: Path) -> None:
    target = tmp_path / "openapi.json"

    written = app.test_cli_runner().invoke(args=["openapi", "write", str(target)])

    assert written.exit_code == 0, written.output
    assert app.test_client().get("/openapi.json").get_json() == app.json.loads(target.read_text())
