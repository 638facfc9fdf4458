"""The HTTP side of the stand-in: the site's addresses, its refusals, its limits and its faults."""

import json
import logging
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.stand_in.catalogue import RECORDED, Catalogue, Document
from tests.stand_in.faults import Fault, FaultKind, Faults
from tests.stand_in.queries import conditions_of, isbn_condition, words_condition

log = logging.getLogger(__name__)

Age = Literal["2013", "2025", "2026"]
Parameters = Mapping[str, list[str]]

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_FORBIDDEN_PAGE = (
    b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center>"
    b"<hr><center>nginx/1.27</center></body></html>"
)
_UNAVAILABLE_PAGE = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)
_TOO_MANY = {
    "status": 429,
    "message": "Too Many Requests. Consider using https://openlibrary.org/developers/dumps.",
}
_BLOCKED_AGENTS = ("python-requests/", "bytespider", "meta-externalagent")
_CONTACT = re.compile(r"\S+@\S+\.\S+|https?://\S+")
_DEFAULT_FIELDS = (
    "key", "title", "edition_count", "ebook_access", "has_fulltext", "public_scan_b", "author_key", "author_name",
    "first_publish_year", "cover_i", "cover_edition_key", "language", "ia", "subtitle",
)  # fmt: skip
_SERIES_FIELDS = ("series_key", "series_name", "series_position")
_SORTS = {"editions", "old", "new", "rating", "readinglog", "title", "key", "random"}
_RECORD = re.compile(r"/(works|books|authors)/(OL[0-9]+[WMA])\.json")
_FOLDERS = {"W": "works", "M": "books", "A": "authors"}


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; `parameters` are those of the query string."""

    path: str
    parameters: Parameters
    user_agent: str
    at: float

    @property
    def query(self) -> str | None:
        """The `q` of a search."""
        return self.parameters.get("q", [None])[0]


@dataclass(frozen=True)
class _Reply:
    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class StandIn:
    """A running stand-in; `with StandIn() as site:` or `start()` and `stop()`."""

    def __init__(self, *, recorded: bool = True, port: int = 0) -> None:
        """Serve the recorded documents (or none) on a free port of the loopback address."""
        self.catalogue = Catalogue(recorded=recorded)
        self.age: Age = "2026"
        self.refuses_strangers = False
        self.faults = Faults()
        self.stopping = threading.Event()
        self._port = port
        self._seen: deque[Seen] = deque(maxlen=200_000)
        self._limit: tuple[float, int] | None = None
        self._accepted: deque[float] = deque()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._connections: set[socket.socket] = set()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The address to ask, without a slash at the end; it stays the same over `down()` and `up()`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Seen]:
        """All requests so far, refused and faulty ones included."""
        return list(self._seen)

    def start(self) -> None:
        """Begin to listen."""
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="stand-in").start()

    def stop(self) -> None:
        """Close the port and all connections; what drips stops dripping."""
        server, self._server = self._server, None
        if server is None:
            return
        self.stopping.set()
        server.shutdown()
        server.server_close()
        for connection in list(self._connections):
            _shut(connection)

    def down(self) -> None:
        """Refuse connections, as a site does that is away or has banned the address."""
        self.stop()

    def up(self) -> None:
        """Come back at the same address."""
        self.start()

    def forget_requests(self) -> None:
        """Begin the log of requests anew."""
        self._seen.clear()

    def fault(self, kind: FaultKind, *, times: int | None = 1, path: str = "/", seconds: float = 1.0) -> None:
        """Let the next `times` requests (None: all) whose path begins with `path` go wrong."""
        self.faults.add(Fault(kind=kind, times=times, path=path, seconds=seconds))

    def heal(self) -> None:
        """Take all faults away."""
        self.faults.clear()

    def limit_rate(self, *, requests: int, seconds: float) -> None:
        """Answer 429 to more than `requests` within any `seconds`."""
        self._limit = (seconds, requests)

    def add_work(self, title: str | None = "A Made-Up Work", **fields: Any) -> str:
        """Add a work (see `Catalogue.add_work`); gives its bare key."""
        return self.catalogue.add_work(title, **fields)

    def add_author(self, name: str, *, key: str | None = None) -> str:
        """Add an author; gives the bare key."""
        return self.catalogue.add_author(name, key=key)

    def author_with_works(self, count: int, *, name: str = "Prolific Writer") -> str:
        """Add an author of `count` works; gives the author's bare key."""
        return self.catalogue.author_with_works(count, name=name)

    def generated_catalogue(self, count: int, *, subject: str = "Generated") -> None:
        """Add `count` works at once, all with this subject."""
        self.catalogue.generated_catalogue(count, subject=subject)

    def merge(self, key: str, into: str, *, index_lags: bool = False) -> None:
        """Merge a record into another."""
        self.catalogue.merge(key, into, index_lags=index_lags)

    def redirect(self, key: str, to: str) -> None:
        """Make a redirect to anywhere."""
        self.catalogue.redirect(key, to)

    def delete(self, key: str, *, index_lags: bool = False) -> None:
        """Delete a record."""
        self.catalogue.delete(key, index_lags=index_lags)

    def edit(self, key: str, **fields: Any) -> None:
        """Change fields of a record."""
        self.catalogue.edit(key, **fields)

    def note(self, seen: Seen) -> None:
        """Enter a request into the log."""
        self._seen.append(seen)

    def exceeds_rate(self) -> bool:
        """Count a request against the rate; refused ones do not count."""
        if self._limit is None:
            return False
        seconds, requests = self._limit
        with self._lock:
            now = time.monotonic()
            while self._accepted and self._accepted[0] <= now - seconds:
                self._accepted.popleft()
            if len(self._accepted) >= requests:
                return True
            self._accepted.append(now)
            return False

    def refuses(self, user_agent: str) -> bool:
        """Say whether a client of this name is refused."""
        if user_agent.lower().startswith(_BLOCKED_AGENTS):
            return True
        return self.refuses_strangers and not _CONTACT.search(user_agent)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, to close it at the end."""
        self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        self._connections.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], site: StandIn) -> None:
        self.site = site
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in the middle of slow answers on purpose; that is no news."""
        log.debug("Connection %s from %s ended early.", request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # One write for head and body of an answer.
    wbufsize = 64 * 1024

    @property
    def site(self) -> StandIn:
        return cast("_Server", self.server).site

    def setup(self) -> None:
        super().setup()
        self.site.opened(self.connection)

    def finish(self) -> None:
        self.site.closed(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None:
        """Stay silent: tests read `StandIn.requests` instead."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        parameters = parse_qs(parts.query, keep_blank_values=True)
        agent = self.headers.get("User-Agent", "")
        self.site.note(Seen(path=parts.path, parameters=parameters, user_agent=agent, at=time.monotonic()))
        if self.site.refuses(agent):
            self._send(_Reply(403, _FORBIDDEN_PAGE, HTML))
            return
        if self.site.exceeds_rate():
            self._send(_json(_TOO_MANY, status=429))
            return
        fault = self.site.faults.take(parts.path)
        reply = answer_of(self.site, parts.path, parameters)
        if fault is None:
            self._send(reply)
        else:
            self._send_faulty(fault, reply)

    def _send(self, reply: _Reply, *, announced: int | None = None) -> None:
        self.send_response_only(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body) if announced is None else announced))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _send_faulty(self, fault: Fault, reply: _Reply) -> None:
        half = reply.body[: len(reply.body) // 2]
        replies = {
            "server_error": _Reply(500, b"Internal Server Error", "text/plain; charset=utf-8"),
            "unavailable": _Reply(503, _UNAVAILABLE_PAGE, HTML),
            "html": _Reply(200, b"<!DOCTYPE html><html><body>We are busy</body></html>", HTML),
            "cut_json": _Reply(200, half, reply.content_type),
            "wrong_type": _Reply(200, reply.body, HTML),
            "wrong_shape": _json(["something", "else"]),
            "rate_limit": _json(_TOO_MANY, status=429),
            "rate_limit_with_retry_after": _json(
                _TOO_MANY, status=429, headers=(("Retry-After", f"{fault.seconds:.0f}"),)
            ),
            "refuse": _Reply(403, _FORBIDDEN_PAGE, HTML),
            "redirect_elsewhere": _Reply(302, b"", HTML, (("Location", "http://127.0.0.2:9/elsewhere"),)),
            "not_found": _not_found_in_lists(),
        }
        if fault.kind in replies:
            self._send(replies[fault.kind])
        elif fault.kind == "reset":
            self._reset()
        elif fault.kind == "cut_connection":
            self._send(_Reply(200, half), announced=len(reply.body))
            self.close_connection = True
        elif fault.kind == "slow_first_byte":
            self.site.stopping.wait(fault.seconds)
            self._send(reply)
        elif fault.kind == "slow_body":
            self._drip(reply, seconds=fault.seconds)
        else:
            self._pour()

    def _reset(self) -> None:
        # With no time to linger, closing sends a reset instead of a goodbye.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _drip(self, reply: _Reply, *, seconds: float) -> None:
        drops = 50
        self._send(_Reply(reply.status, b"", reply.content_type), announced=len(reply.body))
        size = max(1, len(reply.body) // drops)
        for start in range(0, len(reply.body), size):
            self.site.stopping.wait(seconds / drops)
            self.wfile.write(reply.body[start : start + size])
            self.wfile.flush()

    def _pour(self) -> None:
        self._send(_Reply(200, b'{"docs": ["'), announced=2**40)
        while not self.site.stopping.is_set():
            self.wfile.write(b"a" * 65536)


def answer_of(site: StandIn, path: str, parameters: Parameters) -> _Reply:
    """Give the answer that the site, being well, has for this request."""
    if match := _RECORD.fullmatch(path):
        return _single_record(site, match[1], match[2])
    for pattern, answer in _ROUTES:
        if found := pattern.fullmatch(path):
            return answer(site, parameters, *found.groups())
    return _not_found_in_lists()


def _json(body: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> _Reply:
    try:
        payload = orjson.dumps(body)
    except TypeError:
        # Lone surrogates, which some records hold, can only be written as escapes.
        payload = json.dumps(body).encode()
    return _Reply(status, payload, JSON, headers)


def _not_found_in_lists() -> _Reply:
    return _json({"detail": "Not Found"}, status=404)


def _public(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_search"}


def _single_record(site: StandIn, folder: str, key: str) -> _Reply:
    right_folder = _FOLDERS[key[-1]]
    if folder != right_folder:
        return _Reply(301, b"", HTML, (("Location", f"/{right_folder}/{key}.json"),))
    document = site.catalogue.document(f"/{folder}/{key}")
    if document is None:
        # The status line says 404; the type of the body is not always named.
        return _Reply(404, orjson.dumps({"error": "notfound", "key": f"/{folder}/{key}"}), "text/plain")
    return _json(_public(document))


def _search(site: StandIn, parameters: Parameters) -> _Reply:
    limit, page, offset = (_integer(parameters, name) for name in ("limit", "page", "offset"))
    refusal = _refused_search(parameters)
    if refusal is not None:
        return refusal
    if parameters.get("sort", ["editions"])[0].split(" ")[0] not in _SORTS:
        return _Reply(500, b"Internal Server Error", "text/plain; charset=utf-8")
    size = 100 if limit is None else limit
    start = offset if offset is not None else ((page or 1) - 1) * size
    keys = _matching_keys(site, parameters)
    docs = [_hit(site, key, parameters) for key in keys[start : start + size]]
    return _json(_envelope(site, parameters, total=len(keys), start=start, offset=offset, docs=docs))


def _envelope(
    site: StandIn, parameters: Parameters, *, total: int, start: int, offset: int | None, docs: list[Document]
) -> Document:
    if site.age == "2013":
        return {"start": start, "num_found": total, "numFound": total, "docs": docs}
    return {
        "numFound": total,
        "start": start,
        "numFoundExact": True,
        "num_found": total,
        "documentation_url": "https://openlibrary.org/dev/docs/api/search",
        "q": parameters.get("q", [""])[0],
        "offset": offset,
        "docs": docs,
    }


def _refused_search(parameters: Parameters) -> _Reply | None:
    for name, least in (("limit", 0), ("page", 1), ("offset", 0)):
        text = parameters.get(name, ["1"])[0]
        if not re.fullmatch(r"-?[0-9]+", text):
            return _unprocessable("int_parsing", name, "Input should be a valid integer", text, None)
        if int(text) < least:
            return _unprocessable(
                "greater_than_equal", name, f"Input should be greater than or equal to {least}", text, {"ge": least}
            )
    query = parameters.get("q", [""])[0]
    if 0 < len(query) < 3:
        message = "Value error, Query too short, must be at least 3 characters"
        return _unprocessable("value_error", "q", message, query, {"error": {}})
    if query == "the":
        message = "Value error, ('Invalid query; the following queries are not allowed: the',)"
        return _unprocessable("value_error", "q", message, query, {"error": {}})
    return None


def _unprocessable(kind: str, name: str, message: str, given: str, context: Document | None) -> _Reply:
    detail: Document = {"type": kind, "loc": ["query", name], "msg": message, "input": given}
    if context is not None:
        detail["ctx"] = context
    return _json({"detail": [detail]}, status=422)


def _matching_keys(site: StandIn, parameters: Parameters) -> list[str]:
    asked = {name: values for name, values in parameters.items() if name in ("q", *_FILTERS)}
    conditions = [condition for query in asked.get("q", []) for condition in conditions_of(query)]
    for name, fields in _FILTERS.items():
        values = asked.get(name, [])
        conditions.extend(isbn_condition([v]) if name == "isbn" else words_condition(fields, v) for v in values)
    if not conditions and asked.get("q") != ["*:*"]:
        return []
    return site.catalogue.search(json.dumps(asked, sort_keys=True), conditions)


_FILTERS: dict[str, tuple[str, ...]] = {
    "title": ("title", "alternative_title"),
    "author": ("author_name", "author_alternative_name"),
    "subject": ("subject",),
    "publisher": ("publisher",),
    "isbn": ("isbn",),
}


def _hit(site: StandIn, key: str, parameters: Parameters) -> Document:
    hit = site.catalogue.hit(key)
    if site.age == "2013":
        return {**hit, "key": key}
    defaults = _DEFAULT_FIELDS if site.age == "2025" else (*_DEFAULT_FIELDS, *_SERIES_FIELDS)
    asked = [name for text in parameters.get("fields", []) for name in text.split(",")] or list(defaults)
    if "*" in asked:
        return {name: value for name, value in hit.items() if name != "description"}
    answer = {name: hit[name] for name in asked if name in hit}
    if any(name.split(".")[0] == "editions" for name in asked):
        answer["editions"] = _best_edition(site, key, parameters, asked)
    return answer


def _best_edition(site: StandIn, key: str, parameters: Parameters, asked: list[str]) -> Document:
    query = "".join(parameters.get("q", []))
    editions = sorted(site.catalogue.editions_of(key), key=lambda edition: not _is_named_in(query, edition))
    names = {name.split(".")[1] for name in asked if name.startswith("editions.")} or {"key", "title"}
    docs = [_edition_hit(edition, names) for edition in editions[:1]]
    return {"numFound": len(editions), "start": 0, "numFoundExact": True, "docs": docs}


def _edition_hit(edition: Document, names: set[str]) -> Document:
    hit = {
        "key": edition["key"],
        "title": edition.get("title"),
        "subtitle": edition.get("subtitle"),
        "isbn": [*edition.get("isbn_13", []), *edition.get("isbn_10", [])],
        "publisher": edition.get("publishers"),
        "publish_date": [edition["publish_date"]] if edition.get("publish_date") else None,
        "language": [entry["key"].rsplit("/", 1)[-1] for entry in edition.get("languages", [])],
        "cover_i": next(iter(edition.get("covers", [])), None),
    }
    return {name: value for name, value in hit.items() if name in names and value}


def _is_named_in(query: str, edition: Document) -> bool:
    return any(isbn in query for isbn in (*edition.get("isbn_13", []), *edition.get("isbn_10", [])))


def _search_authors(site: StandIn, parameters: Parameters) -> _Reply:
    wanted = re.findall(r"OL[0-9]+A", "".join(parameters.get("q", [])))
    found = [site.catalogue.document(f"/authors/{key}") for key in wanted]
    docs = [
        {"key": document["key"].rsplit("/", 1)[-1], "type": "author", "name": document["name"], "work_count": 1}
        for document in found
        if document is not None and "name" in document
    ]
    return _json({"numFound": len(docs), "start": 0, "numFoundExact": True, "docs": docs})


def _get_many(site: StandIn, parameters: Parameters) -> _Reply:
    try:
        keys = json.loads(parameters.get("keys", [""])[0])
    except ValueError:
        return _json({"status": "fail", "message": "Expecting value"})
    found = {key: site.catalogue.document(key) for key in keys}
    return _json({"status": "ok", "result": {key: _public(doc) for key, doc in found.items() if doc is not None}})


def _books(site: StandIn, parameters: Parameters) -> _Reply:
    bibkeys = [key for text in parameters.get("bibkeys", []) for key in text.split(",")]
    entries = {bibkey: edition for bibkey in bibkeys if (edition := _edition_of_bibkey(site, bibkey)) is not None}
    is_detailed = parameters.get("jscmd", ["viewapi"])[0] == "details"
    return _json({
        bibkey: {"bib_key": bibkey, "info_url": f"{site.url}{edition['key']}", "preview": "noview",
                 **({"details": _with_author_names(site, edition)} if is_detailed else {})}
        for bibkey, edition in entries.items()
    })  # fmt: skip


def _edition_of_bibkey(site: StandIn, bibkey: str) -> Document | None:
    kind, _, value = bibkey.partition(":")
    if kind == "OLID":
        return site.catalogue.document(f"/books/{value}")
    return site.catalogue.edition_with(value) if kind == "ISBN" else None


def _with_author_names(site: StandIn, edition: Document) -> Document:
    authors = [
        {"key": author["key"], "name": (site.catalogue.document(author["key"]) or {}).get("name", "")}
        for author in edition.get("authors") or []
    ]
    return {**edition, "authors": authors} if authors else edition


def _isbn(site: StandIn, _: Parameters, isbn: str) -> _Reply:
    edition = site.catalogue.edition_with(isbn)
    if edition is None:
        return _Reply(404, b"<html><body>Not Found</body></html>", HTML)
    return _Reply(302, b"", HTML, (("Location", f"{edition['key']}.json"),))


def _editions(site: StandIn, parameters: Parameters, key: str) -> _Reply:
    work = site.catalogue.document(f"/works/{key}")
    if work is None or work["type"]["key"] != "/type/work":
        return _not_found_in_lists()
    links = {"work": f"/works/{key}"}
    return _page(site.catalogue.editions_of(key), parameters, path=f"/works/{key}/editions.json", links=links)


def _author_works(site: StandIn, parameters: Parameters, key: str) -> _Reply:
    author = site.catalogue.document(f"/authors/{key}")
    if author is None or author["type"]["key"] != "/type/author":
        return _not_found_in_lists()
    links = {"author": f"/authors/{key}"}
    return _page(site.catalogue.works_of(key), parameters, path=f"/authors/{key}/works.json", links=links)


def _page(entries: list[Document], parameters: Parameters, *, path: str, links: dict[str, str]) -> _Reply:
    limit = _integer(parameters, "limit") or 50
    offset = _integer(parameters, "offset") or 0
    if limit > 1000:
        return _unprocessable(
            "less_than_equal", "limit", "Input should be less than or equal to 1000", str(limit), {"le": 1000}
        )
    shown = [_public(entry) for entry in entries[offset : offset + limit]]
    links = {"self": path, **links}
    if offset > 0:
        links["prev"] = f"{path}?limit={limit}&offset={max(0, offset - limit)}"
    if offset + len(shown) < len(entries) and shown:
        links["next"] = f"{path}?limit={limit}&offset={offset + limit}"
    return _json({"links": links, "size": len(entries), "entries": shown})


def _recent_changes(site: StandIn, parameters: Parameters) -> _Reply:
    recorded = json.loads((RECORDED / "lists" / "recentchanges_sample_2013.json").read_text(encoding="utf-8"))
    changes = [*site.catalogue.changes, *recorded]
    limit = min(_integer(parameters, "limit") or 100, 1000)
    offset = min(_integer(parameters, "offset") or 0, 10_000)
    return _json(changes[offset : offset + limit])


def _query(site: StandIn, parameters: Parameters) -> _Reply:
    work = parameters.get("works", [""])[0].rsplit("/", 1)[-1]
    limit = min(_integer(parameters, "limit") or 20, 1000)
    offset = _integer(parameters, "offset") or 0
    return _json([_public(entry) for entry in site.catalogue.editions_of(work)[offset : offset + limit]])


def _integer(parameters: Parameters, name: str) -> int | None:
    text = parameters.get(name, [""])[0]
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("The connection was closed already.")


def _routes() -> Iterator[tuple[re.Pattern[str], Callable[..., _Reply]]]:
    yield re.compile(r"/search\.json"), _search
    yield re.compile(r"/search/authors\.json"), _search_authors
    yield re.compile(r"/api/get_many"), _get_many
    yield re.compile(r"/api/books\.json"), _books
    yield re.compile(r"/isbn/([^/]+)\.json"), _isbn
    yield re.compile(r"/works/(OL[0-9]+W)/editions\.json"), _editions
    yield re.compile(r"/authors/(OL[0-9]+A)/works\.json"), _author_works
    yield re.compile(r"/recentchanges\.json"), _recent_changes
    yield re.compile(r"/query\.json"), _query


_ROUTES = tuple(_routes())
