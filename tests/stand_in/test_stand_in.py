"""The stand-in does as the real site does; these are the rules that its users rest on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.stand_in import StandIn

AGENT = {"User-Agent": "Tests/1.0 (tests@library.example.org)"}


@pytest.fixture
def site() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def get(site: StandIn, path: str, **options: Any) -> requests.Response:
    return requests.get(site.url + path, headers=AGENT, timeout=5, allow_redirects=False, **options)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/works/OL45804W.json", "/type/work"),
        ("/books/OL3421079M.json", "/type/edition"),
        ("/authors/OL18319A.json", "/type/author"),
        ("/works/OL100005W.json", "/type/redirect"),
        ("/works/OL1000619W.json", "/type/delete"),
    ],
)
def test_single_records_answer_200_whatever_became_of_them(site: StandIn, path: str, kind: str) -> None:
    answer = get(site, path)

    assert (answer.status_code, answer.json()["type"]["key"]) == (200, kind)


def test_what_is_missing_is_missing_in_three_ways(site: StandIn) -> None:
    assert get(site, "/works/OL404W.json").json() == {"error": "notfound", "key": "/works/OL404W"}
    assert get(site, "/works/OL404W/editions.json").json() == {"detail": "Not Found"}
    assert get(site, "/isbn/9780000000019.json").headers["Content-Type"].startswith("text/html")
    assert get(site, "/works/ol45804w.json").status_code == 404


def test_wrong_folders_and_isbns_are_redirected(site: StandIn) -> None:
    wrong, isbn = get(site, "/authors/OL45804W.json"), get(site, "/isbn/0486437914.json")

    assert (wrong.status_code, wrong.headers["Location"]) == (301, "/works/OL45804W.json")
    assert (isbn.status_code, isbn.headers["Location"]) == (302, "/books/OL3421079M.json")


def test_lists_of_merged_and_deleted_records_are_missing(site: StandIn) -> None:
    assert get(site, "/works/OL100005W/editions.json").status_code == 404
    assert get(site, "/works/OL15832982W/editions.json").status_code == 200


def test_a_list_is_paged_with_links(site: StandIn) -> None:
    author = site.author_with_works(5)

    first = get(site, f"/authors/{author}/works.json?limit=3").json()
    last = get(site, first["links"]["next"]).json()
    beyond = get(site, f"/authors/{author}/works.json?limit=3&offset=9").json()

    assert (first["size"], len(first["entries"])) == (5, 3)
    assert (len(last["entries"]), "next" in last["links"]) == (2, False)
    assert (beyond["entries"], beyond["size"]) == ([], 5)
    assert get(site, f"/authors/{author}/works.json?limit=1001").status_code == 422


@pytest.mark.parametrize("query", ["q=ab", "q=the", "q=dune&limit=abc", "q=dune&limit=-1", "q=dune&page=0"])
def test_unsound_searches_are_unprocessable(site: StandIn, query: str) -> None:
    answer = get(site, f"/search.json?{query}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "query"


def test_an_unknown_order_is_an_inner_error(site: StandIn) -> None:
    answer = get(site, "/search.json?q=dune&sort=size")

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_a_search_gives_the_fields_that_were_asked(site: StandIn) -> None:
    (hit,) = get(site, "/search.json?q=title:Sabriel&fields=key,title,nonsense").json()["docs"]

    assert hit == {"key": "/works/OL15832982W", "title": "Sabriel"}


def test_a_search_without_fields_says_little(site: StandIn) -> None:
    (hit,) = get(site, "/search.json?q=title:Sabriel").json()["docs"]

    assert "isbn" not in hit
    assert {"key", "title", "edition_count", "author_key"} <= set(hit)


def test_searches_are_paged_by_page_and_offset(site: StandIn) -> None:
    by_page = get(site, "/search.json?q=author:Tolkien&limit=7&page=2").json()
    by_offset = get(site, "/search.json?q=author:Tolkien&limit=7&offset=7").json()

    assert by_page["docs"] == by_offset["docs"]
    assert (by_page["numFound"], by_offset["offset"], by_page["offset"]) == (20, 7, None)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ('author:"J. R. R. Tolkien"', 20),
        ('author:"Tolkien J."', 0),
        ("author_key:OL26320A", 20),
        ("isbn:(9780064471831 OR 0000000000)", 1),
        ("key:(/works/OL27448W OR /works/OL45804W)", 2),
        ("subject:foxes author:dahl", 1),
        (r"wit \& wisdom twain", 0),
        ("nothing:here", 0),
    ],
)
def test_the_language_of_queries(site: StandIn, query: str, count: int) -> None:
    assert get(site, "/search.json", params={"q": query}).json()["numFound"] == count


def test_many_records_at_once_leave_out_the_unknown(site: StandIn) -> None:
    answer = get(site, "/api/get_many", params={"keys": '["/works/OL45804W", "/works/OL404W"]'}).json()

    assert (answer["status"], list(answer["result"])) == ("ok", ["/works/OL45804W"])
    assert get(site, "/api/get_many?keys=nonsense").json()["status"] == "fail"


def test_strangers_and_libraries_names_are_refused(site: StandIn) -> None:
    site.refuses_strangers = True

    stranger = requests.get(f"{site.url}/works/OL45804W.json", headers={"User-Agent": "App/1.0"}, timeout=5)
    library = requests.get(f"{site.url}/works/OL45804W.json", timeout=5)

    assert [stranger.status_code, library.status_code, get(site, "/works/OL45804W.json").status_code] == [403, 403, 200]
    assert "nginx" in stranger.text


def test_too_many_requests_are_refused_without_a_hint(site: StandIn) -> None:
    site.limit_rate(requests=2, seconds=60)

    answers = [get(site, "/works/OL45804W.json") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Retry-After" not in answers[-1].headers
    assert answers[-1].json()["status"] == 429


def test_changes_are_told(site: StandIn) -> None:
    old, new = site.add_work("Old"), site.add_work("New")
    site.merge(old, new)

    newest = get(site, "/recentchanges.json?limit=1").json()[0]

    assert newest["kind"] == "merge-works"
    assert [change["key"] for change in newest["changes"]] == [f"/works/{old}", f"/works/{new}"]


def test_down_is_down_and_up_is_the_same_address(site: StandIn) -> None:
    url = site.url
    site.down()
    with pytest.raises(requests.ConnectionError):
        get(site, "/works/OL45804W.json")

    site.up()

    assert site.url == url
    assert get(site, "/works/OL45804W.json").status_code == 200


def test_it_bears_three_hundred_requests_a_second(site: StandIn) -> None:
    session = requests.Session()
    began = time.monotonic()

    for _ in range(300):
        session.get(f"{site.url}/works/OL45804W.json", headers=AGENT, timeout=5)

    # Measured at about 1200 a second; a loaded machine gets time.
    assert time.monotonic() - began < 3


def test_it_runs_on_its_own() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.stand_in", "--port", str(port), "--generated", "150"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2])
    try:
        assert process.stdout is not None
        assert str(port) in process.stdout.readline()
        answer = requests.get(f"http://127.0.0.1:{port}/search.json?q=subject:Generated", headers=AGENT, timeout=5)
        assert (answer.json()["numFound"], len(answer.json()["docs"])) == (150, 100)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        if process.stdout is not None:
            process.stdout.close()
