"""Requests that are not what they claim to be: the documented problem, or the server's bare refusal; never a 500."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

import pytest

from tests.bytes.conftest import Site
from tests.bytes.impatient import HELD_BYTES

pytestmark = pytest.mark.timeout(60)

BOOK = '{"title": "Waves", "authors": [{"name": "Virginia"}]}'
NO_BOOK = '{"title": "Waves"}'
LIMIT_BYTES = 16 * 1024 * 1024


def made(site: Site) -> int:
    """How many books there are."""
    with site.wire() as wire:
        wire.send(site.head("GET", f"{site.books}?limit=1"))
        total: int = wire.reply().json["total"]
    return total


def test_a_body_cut_off_by_the_client_does_nothing(site: Site) -> None:
    before = made(site)
    for framing in (f"Content-Length: {len(BOOK) + 1}", "Transfer-Encoding: chunked"):
        with site.wire() as wire:
            start = f"{len(BOOK):x}\r\n{BOOK}\r\n" if "chunked" in framing else BOOK
            wire.send(site.post(framing) + start)
            wire.socket.shutdown(socket.SHUT_WR)

            assert wire.socket.recv(4096).startswith((b"", b"HTTP/1.1 400 Bad Request"))

    assert made(site) == before
    assert site.answers()


def test_a_client_that_resets_the_connection_does_nothing(site: Site) -> None:
    before = made(site)
    for _ in range(20):
        with site.wire() as wire:
            wire.send(site.post("Content-Length: 1000") + BOOK)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert made(site) == before
    assert site.answers()


def test_bytes_beyond_the_declared_length_are_another_request(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(BOOK)}") + BOOK + "junk junk\r\n\r\n")

        assert wire.reply().status == 201
        assert wire.line() == "HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize("junk", ["zz\r\n", "-1\r\n", "5\r\nabcdefgh", "ffffffffffffffffff\r\n"])
def test_chunks_that_are_none_do_nothing(site: Site, junk: str) -> None:
    before = made(site)
    with site.wire() as wire:
        wire.send(site.post("Transfer-Encoding: chunked") + f"{len(BOOK):x}\r\n{BOOK}\r\n{junk}")
        wire.socket.shutdown(socket.SHUT_WR)
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert made(site) == before


def test_a_chunked_body_is_taken(site: Site) -> None:
    pieces = "".join(f"1;some=extension\r\n{character}\r\n" for character in BOOK)
    with site.wire() as wire:
        wire.send(site.post("Transfer-Encoding: chunked") + pieces + "0\r\n\r\n")

        assert wire.reply().status == 201


def test_trailers_are_refused_like_a_body_cut_off(site: Site) -> None:
    # The server doesn't tell one from the other.
    before = made(site)
    with site.wire() as wire:
        wire.send(site.post("Transfer-Encoding: chunked") + f"{len(BOOK):x}\r\n{BOOK}\r\n0\r\nX-Sum: 1\r\n\r\n")
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert "trailers" in reply.json["detail"]
    assert made(site) == before


def test_a_length_said_twice_is_one(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(*[f"Content-Length: {len(BOOK)}"] * 2) + BOOK)

        assert wire.reply().status == 201


def test_a_key_that_is_not_ascii_is_refused(site: Site) -> None:
    before = made(site)
    for _ in range(2):
        with site.wire() as wire:
            wire.send(site.post(f"Content-Length: {len(BOOK)}", "Idempotency-Key: caf\xe9") + BOOK)
            reply = wire.reply()

        assert (reply.status, reply.json["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert made(site) == before


def test_a_key_in_two_lines_is_refused(site: Site) -> None:
    before = made(site)
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(BOOK)}", "Idempotency-Key: one", "Idempotency-Key: two") + BOOK)
        reply = wire.reply()

    assert (reply.status, reply.json["errors"]) == (422, [{"field": "Idempotency-Key", "message": "Give it once."}])
    assert made(site) == before


def test_a_precondition_that_is_not_ascii_does_not_hold(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(BOOK)}") + BOOK)
        book = f"{site.books}/{wire.reply().json['id']}"
        change = '{"title": "Tides"}'
        headers = ["Content-Type: application/json", f"Content-Length: {len(change)}", 'If-Match: "caf\xe9"']
        # The same is true beside a header that has no variable.
        for more in ([], ["X_Odd: 1"]):
            wire.send(site.head("PATCH", book, *headers, *more) + change)

            assert wire.reply().status == 412
        wire.send(site.head("GET", book))
        assert wire.reply().json["title"] == "Waves"


def test_other_headers_may_have_any_byte(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", site.books, "User-Agent: caf\xe9", "X-Request-ID: caf\xe9-caf\xe9"))
        reply = wire.reply()

    assert reply.status == 200
    assert reply.headers["x-request-id"].isascii()


def test_an_expected_continue_is_given(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(BOOK)}", "Expect: 100-continue"))
        assert wire.line() == "HTTP/1.1 100 Continue"
        wire.send(BOOK)

        # What is left of the interim answer, then the answer.
        assert wire.line() == ""
        assert wire.reply().status == 201


def test_a_declared_length_that_is_too_large_is_refused_before_it_is_sent(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {LIMIT_BYTES + 1}", "Expect: 100-continue"))
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_whoever_sends_too_much_all_the_same_can_read_the_refusal(site: Site, framing: str) -> None:
    with site.wire() as wire:
        size = LIMIT_BYTES + 65536
        if framing == "declared":
            wire.send(site.post(f"Content-Length: {size}"))
            wire.send(b" " * size)
        else:
            wire.send(site.post("Transfer-Encoding: chunked"))
            for _ in range(size // 65536):
                wire.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
            wire.send(b"0\r\n\r\n")
        reply = wire.reply()

    # In tests, less is held than one body may have.
    assert (reply.status, reply.json["code"]) in {(413, "body_too_large"), (503, "busy")}
    assert framing == "chunked" or reply.status == 413
    assert site.answers()


def test_large_bodies_hold_no_more_than_they_may(site: Site) -> None:
    half = b" " * (HELD_BYTES // 2 + 1)
    with site.wire() as first, site.wire() as second:
        first.send(site.post(f"Content-Length: {len(half) + 1}"))
        first.send(half)
        time.sleep(0.3)
        second.send(site.post(f"Content-Length: {len(half) + 1}"))
        second.send(half)
        refused = second.reply()

        assert (refused.status, refused.json["code"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) > 0
        assert site.answers()  # small ones are let in
        first.send(b"1")
        assert first.reply().status == 422
    with site.wire() as third:
        # What was held has been given back.
        third.send(site.post(f"Content-Length: {len(half) + 1}"))
        third.send(half + b"1")
        assert third.reply().status == 422


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5, 6",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, identity",
    ],
)
def test_a_length_in_doubt_is_refused_and_the_connection_closed(site: Site, framing: str) -> None:
    with site.wire() as wire:
        wire.send(site.post(*framing.split("\r\n")) + "hello")

        assert wire.line() == "HTTP/1.1 400 Bad Request"
    assert site.answers()


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "x, Chunked"])
def test_a_coding_beside_chunks_is_refused(site: Site, coding: str) -> None:
    before = made(site)
    heads = [site.post(f"Transfer-Encoding: {coding}"), site.head("GET", site.books, f"Transfer-Encoding: {coding}")]
    for head in heads:
        with site.wire() as wire:
            wire.send(head + f"{len(BOOK):x}\r\n{BOOK}\r\n0\r\n\r\n")
            reply = wire.reply()

        assert (reply.status, reply.json["code"]) == (400, "bad_request")
        assert "chunked" in reply.json["detail"]
    assert made(site) == before


def test_chunks_in_capitals_are_chunks(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.post("Transfer-Encoding: Chunked") + f"{len(BOOK):x}\r\n{BOOK}\r\n0\r\n\r\n")

        assert wire.reply().status == 201


def test_no_request_hides_in_another(site: Site) -> None:
    hidden = site.head("GET", "/health/live")
    with site.wire() as wire:
        wire.send(site.post(f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden)
        first = wire.line()
        rest = b""
        while piece := wire.socket.recv(65536):
            rest += piece
            if rest.count(b"HTTP/1.1 ") > 1:
                break

    # Chunks win over the length and the length is not looked at; nothing is served that this client did not send.
    assert first in {"HTTP/1.1 400 Bad Request", "HTTP/1.1 422 Unprocessable Entity"}
    assert rest.count(b"HTTP/1.1 ") <= 1


def test_requests_in_a_row_are_answered_in_order(site: Site) -> None:
    post = site.post(f"Content-Length: {len(NO_BOOK)}") + NO_BOOK
    with site.wire() as wire:
        wire.send((site.head("GET", "/health/live") + post) * 10)

        assert [wire.reply().status for _ in range(20)] == [200, 422] * 10


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(
    "lines",
    [
        ["Host: a b/c"],
        ["Host: [::1"],
        ["Host: /"],
        ["Host: library:port"],
        ["Host: me@library"],
        ["Host: caf\xe9"],
        ["Host: one", "Host: two"],
    ],
)
def test_a_host_that_is_none_is_refused(site: Site, lines: list[str], version: str) -> None:
    for path in ("/health/live", site.books):
        with site.wire() as wire:
            wire.send("\r\n".join([f"GET {path} HTTP/{version}", *lines, f"Authorization: Bearer {site.key}", "", ""]))
            reply = wire.reply()

        assert (reply.status, reply.json["code"]) == (400, "bad_request")
        assert "Host" in reply.json["detail"]


def test_http_1_1_without_a_host_is_refused(site: Site) -> None:
    with site.wire() as wire:
        wire.send("GET /health/live HTTP/1.1\r\n\r\n")
        reply = wire.reply()

    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert "Host" in reply.json["detail"]


@pytest.mark.parametrize("host", ["library:8080", "[::1]:5000", "127.0.0.1", "web_1", "xn--bcher-kva.example.", ""])
def test_a_host_may_be_a_name_or_an_address_and_have_a_port(site: Site, host: str) -> None:
    with site.wire() as wire:
        wire.send(f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n")

        assert wire.reply().status == 200


def test_http_1_0_is_answered(site: Site) -> None:
    with site.wire() as wire:
        wire.send("GET /health/live HTTP/1.0\r\n\r\n")

        assert wire.reply().json == {"status": "ok"}
        assert wire.is_closed()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://elsewhere.example/health/live", 200),
        ("/health/%00live", 404),
        ("/health/live%00", 404),
        ("/health/%ff%fe", 404),
        ("/%c3%28", 404),
        ("/health/../health/live", 404),
        ("/health/live?q=%00%ff", 200),
        ("/" + "a" * 60_000, 404),
        ("/api/v1/tenants/%00/books", 404),
        ("/api/v1/tenants/quay%00side/books", 404),
    ],
)
def test_odd_targets_get_their_problem(site: Site, target: str, status: int) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", target))
        reply = wire.reply()

    assert reply.status == status, reply
    assert status == 200 or reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "head",
    [
        "GET /a\x00b HTTP/1.1\r\nHost: library\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: library\r\nX-Nul: a\x00b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: library\r\nNo colon here\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: library\r\n\r\n",
        "GET /\xff HTTP/1.1\r\nHost: library\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "\x00" * 100,
    ],
)
def test_what_is_no_http_is_refused_bare(site: Site, head: str) -> None:
    with site.wire() as wire:
        wire.send(head)

        assert wire.line().split(" ")[1] in {"400", "505"}
    assert site.answers()


def test_a_header_of_64_kb_is_read(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", "/health/live", "X-Long: " + "x" * 65536))

        assert wire.reply().status == 200
    with site.wire() as wire:
        wire.send(f"GET {site.books} HTTP/1.1\r\nHost: library\r\nAuthorization: Bearer {'x' * 65536}\r\n\r\n")

        assert wire.reply().json["code"] == "unauthenticated"


@pytest.mark.parametrize("headers", [["X-Many: 1"] * 200, ["X-Long: " + "x" * 2_000_000]])
def test_too_many_headers_are_refused_bare(site: Site, headers: list[str]) -> None:
    with site.wire() as wire:
        # The server answers, and hangs up, before it has read all of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            wire.send(site.head("GET", "/health/live", *headers))

        assert wire.line() == "HTTP/1.1 431 Request Header Fields Too Large"
    assert site.answers()


def test_a_header_with_an_underscore_does_not_pass_for_another(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", "/health/live", "X_Request_ID: not-mine-at-all"))

        assert wire.reply().headers["x-request-id"] != "not-mine-at-all"


def test_a_repeated_header_is_one_with_commas(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", site.books, 'If-None-Match: "a"', "If-None-Match: *"))

        assert wire.reply().status in {200, 304}
    with site.wire() as wire:
        wire.send(site.head("GET", site.books, "Authorization: Bearer other"))

        assert wire.reply().status == 401


@pytest.mark.parametrize("method", ["BREW", "TRACE", "PROPFIND", "CONNECT"])
def test_odd_methods_get_their_problem(site: Site, method: str) -> None:
    with site.wire() as wire:
        wire.send(site.head(method, "/health/live" if method != "CONNECT" else "library:80"))
        reply = wire.reply()

    assert reply.status in {404, 405}
    assert reply.json["code"] in {"not_found", "method_not_allowed"}


def test_a_get_may_have_a_body(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", "/health/live", "Content-Length: 5") + "hello" + site.head("GET", "/health/live"))

        assert [wire.reply().status, wire.reply().status] == [200, 200]


def test_head_and_not_modified_have_no_body(site: Site) -> None:
    with site.wire() as wire:
        wire.send(site.head("GET", site.books))
        etag = wire.reply().headers["etag"]
        wire.send(site.head("GET", site.books, f"If-None-Match: {etag}"))
        assert wire.line() == "HTTP/1.1 304 Not Modified"
    with site.wire() as wire:
        wire.send(site.head("HEAD", "/openapi.json", "Connection: close"))
        answer = b""
        while piece := wire.socket.recv(65536):
            answer += piece

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")
