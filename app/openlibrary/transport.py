"""HTTP to Open Library: politely, patiently up to a limit, and believing nothing unchecked.

Every attempt identifies itself, takes a place in the row shared by all processes (`pacing.Pace`) and is refused while
the site is known to be down (`pacing.Breaker`, one for searches and one for records: either can be out alone). What
comes back is a status that the site gives on purpose with the JSON it holds, or one of two errors:
`UpstreamUnavailable`, or `UpstreamRefused` where only the operator can help.
"""

import email.utils
import hashlib
import json
import logging
import random
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Literal
from urllib.parse import urljoin, urlsplit

import requests
from redis import Redis
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as TransportError

from app.openlibrary.errors import UpstreamRefused, UpstreamUnavailable
from app.openlibrary.pacing import Breaker, Pace, Shared, TooBusy

log = logging.getLogger(__name__)

Route = Literal["search", "records"]

# What the site's operators ask for; a server of one's own may be asked as often as it bears.
PUBLIC_SITE: Final = "openlibrary.org"
PUBLIC_RATE_WITH_CONTACT: Final = 3.0
PUBLIC_RATE_WITHOUT_CONTACT: Final = 1.0

DEFAULT_PATIENCE_SECONDS: Final = 90.0
# The site gives its search engine 10 s and then answers 500; a client that hangs up earlier never learns of it.
_SEARCH_TIMEOUT_FACTOR: Final = 3
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
# A page of 100 hits with every ISBN is about 1 MB.
LONGEST_BODY_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_MOST_REDIRECTS: Final = 3
# Pauses grow with the space between requests: 2 s at the site's 3 requests a second.
_PAUSE_IN_REQUESTS: Final = 6
_SHORTEST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 6.0
_BREAKER_PAUSES: Final = 10
_LONGEST_BREAK_PAUSES: Final = 150
# A refusal for the client's name is repeated at once, so the site is spared the question for a while.
_REFUSAL_SECONDS: Final = 60

# Answers the site gives on purpose; what they mean depends on the question.
_MEANINGFUL: Final = frozenset({HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE,
                                HTTPStatus.UNPROCESSABLE_ENTITY})  # fmt: skip
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_JSON_TYPES: Final = frozenset({"", "application/json", "text/json", "application/javascript", "text/javascript"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A status the site gave on purpose, and the JSON that came with it (None where it was none)."""

    status: int
    body: Any


class _Failed(Exception):
    """An attempt that brought nothing; says how many attempts such a fault is worth and who else should wait."""

    def __init__(
        self, reason: str, *, attempts: int = 1, retry_after_seconds: float | None = None, is_limit: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.attempts = attempts
        self.retry_after_seconds = retry_after_seconds
        self.is_limit = is_limit


class Transport:
    """One pooled session, shared by all threads of a process."""

    def __init__(
        self,
        *,
        base_url: str,
        contact: str | None,
        version: str,
        redis: Redis | None,
        requests_per_second: float,
        timeout_seconds: float,
    ) -> None:
        """Take the site's address, how to reach whoever runs this service, and the manners to keep."""
        self._base_url = base_url.rstrip("/") + "/"
        self._timeout_seconds = timeout_seconds
        self._shared = Shared(redis)
        rate = allowed_rate(requests_per_second, base_url=base_url, contact=contact)
        self._pause_seconds = min(max(_PAUSE_IN_REQUESTS / rate, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._user_agent = f"LibraryAPI/{version} ({contact})" if contact else f"LibraryAPI/{version}"
        # What is learnt of one site must not be believed of another that shares the Redis.
        site = urlsplit(base_url).netloc
        self._pace = Pace(self._shared, name=site, requests_per_second=rate)
        self._breakers = {route: self._breaker(f"{site}:{route}") for route in ("search", "records")}
        name = hashlib.sha256(f"{site} {self._user_agent}".encode()).hexdigest()[:16]
        self._refusal_key = f"openlibrary:refused:{name}"
        self._refused_until = 0.0
        self._session = _session(self._user_agent)

    def get(
        self,
        route: Route,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        follows_redirects: bool = False,
    ) -> Answer:
        """Ask once, and again where that is worth it, within `patience_seconds` altogether.

        Raises:
            UpstreamUnavailable: the site is down, too slow, too busy, or answered with something that is no answer.
            UpstreamRefused: the site refuses this client by its name.
        """
        deadline = time.monotonic() + patience_seconds
        url = urljoin(self._base_url, path.lstrip("/"))
        attempt = 0
        while True:
            attempt += 1
            wants_success = self._take_place(route, deadline=deadline)
            try:
                answer = self._attempt(route, url, parameters, deadline=deadline, follows_redirects=follows_redirects)
            except _Failed as failure:
                self._after_failure(route, failure, attempt=attempt, deadline=deadline)
                continue
            if wants_success:
                self._breakers[route].succeeded()
            return answer

    def _breaker(self, name: str) -> Breaker:
        return Breaker(
            self._shared,
            name=name,
            open_seconds=_BREAKER_PAUSES * self._pause_seconds,
            longest_open_seconds=_LONGEST_BREAK_PAUSES * self._pause_seconds,
            probe_seconds=_SEARCH_TIMEOUT_FACTOR * self._timeout_seconds,
        )

    def _take_place(self, route: Route, *, deadline: float) -> bool:
        """Wait for the next place in the row; says whether the breaker wants to hear of a success."""
        self._check_refusal()
        admission = self._breakers[route].admit()
        if admission.wait_seconds > 0:
            raise UpstreamUnavailable(
                "Open Library was found to be down; it is left in peace for a while.",
                retry_after_seconds=admission.wait_seconds,
            )
        try:
            wait_seconds = self._pace.reserve(longest_wait_seconds=max(0.0, deadline - time.monotonic()))
        except TooBusy as busy:
            raise UpstreamUnavailable(
                "Too many requests are waiting for Open Library.", retry_after_seconds=busy.wait_seconds
            ) from busy
        time.sleep(wait_seconds)
        return admission.wants_success

    def _after_failure(self, route: Route, failure: _Failed, *, attempt: int, deadline: float) -> None:
        """Let everybody know, and either pause before the next attempt or give up."""
        log.warning("openlibrary.failed", extra={"route": route, "reason": failure.reason, "attempt": attempt})
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - jitter keeps clients apart, it guards no secret
        pause = failure.retry_after_seconds or self._pause_seconds * 2 ** (attempt - 1) * spread
        is_too_long = time.monotonic() + pause > deadline
        if failure.is_limit:
            self._pace.postpone(pause)
        # A pause nobody here can wait for is the breaker's to keep.
        opened = self._breakers[route].failed(open_for_seconds=pause if failure.is_limit and is_too_long else 0)
        if attempt >= failure.attempts or opened or is_too_long:
            raise UpstreamUnavailable(
                f"Open Library {failure.reason}.", retry_after_seconds=max(opened, pause)
            ) from failure
        if not failure.is_limit:  # otherwise the row itself waits
            time.sleep(pause)

    def _attempt(
        self,
        route: Route,
        url: str,
        parameters: Mapping[str, str] | None,
        *,
        deadline: float,
        follows_redirects: bool,
    ) -> Answer:
        limit = self._timeout_seconds * (_SEARCH_TIMEOUT_FACTOR if route == "search" else 1)
        until = min(deadline, time.monotonic() + limit)
        for _ in range(_MOST_REDIRECTS + 1):
            with closing(self._send(url, parameters, until=until)) as response:
                if response.status_code not in _REDIRECTS:
                    return self._answer(response, until=until)
                url = self._redirect_target(response, follows_redirects=follows_redirects)
            parameters = None
        raise _Failed("redirects in a circle")

    def _send(self, url: str, parameters: Mapping[str, str] | None, *, until: float) -> requests.Response:
        seconds = max(0.001, until - time.monotonic())
        try:
            return self._session.get(
                url,
                params=parameters,
                timeout=(min(_CONNECT_TIMEOUT_SECONDS, seconds), seconds),
                allow_redirects=False,
                stream=True,
            )
        except requests.Timeout as error:
            raise _Failed("does not answer in time", attempts=2) from error
        except requests.RequestException as error:
            raise _Failed("cannot be reached", attempts=3) from error

    def _answer(self, response: requests.Response, *, until: float) -> Answer:
        status = response.status_code
        if status == HTTPStatus.FORBIDDEN:
            self._refuse()
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            # It comes without Retry-After today; should it ever come with one, that is the pause to keep.
            retry_after = _retry_after_seconds(response.headers.get("Retry-After"))
            raise _Failed("asks for fewer requests", attempts=3, retry_after_seconds=retry_after, is_limit=True)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            retry_after = _retry_after_seconds(response.headers.get("Retry-After"))
            raise _Failed(f"answers {status}", attempts=2, retry_after_seconds=retry_after)
        if status not in _MEANINGFUL:
            raise _Failed(f"answers {status}")
        if status != HTTPStatus.OK:
            return Answer(status, None)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type not in _JSON_TYPES:
            raise _Failed(f"answers with {media_type[:40]} where JSON belongs", attempts=2)
        return Answer(status, _json(_body(response, until=until)))

    def _redirect_target(self, response: requests.Response, *, follows_redirects: bool) -> str:
        target = urljoin(response.url, response.headers.get("Location", ""))
        if not follows_redirects or urlsplit(target)[:2] != urlsplit(self._base_url)[:2]:
            raise _Failed("redirects to where it was not asked")
        return target

    def _refuse(self) -> None:
        log.error("openlibrary.refused", extra={"user_agent": self._user_agent})
        self._refused_until = time.monotonic() + _REFUSAL_SECONDS
        self._shared.remember(self._refusal_key, seconds=_REFUSAL_SECONDS)
        raise _refusal()

    def _check_refusal(self) -> None:
        """Spare the site the question where another process was refused by the same name a moment ago."""
        if time.monotonic() < self._refused_until or self._shared.remembers(self._refusal_key):
            raise _refusal()


def allowed_rate(requests_per_second: float, *, base_url: str, contact: str | None) -> float:
    """Give the rate to keep: as configured, but at the public site never more than it asks for."""
    host = urlsplit(base_url).hostname or ""
    if host != PUBLIC_SITE and not host.endswith(f".{PUBLIC_SITE}"):
        return requests_per_second
    return min(requests_per_second, PUBLIC_RATE_WITH_CONTACT if contact else PUBLIC_RATE_WITHOUT_CONTACT)


def _refusal() -> UpstreamRefused:
    return UpstreamRefused(
        "Open Library refuses this service as a client. Set OPEN_LIBRARY_CONTACT to an e-mail address or a URL under "
        "which its operator can be reached; if it is set, ask Open Library."
    )


def _session(user_agent: str) -> requests.Session:
    session = requests.Session()
    # Retries stay here, where each of them takes a place in the row.
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=32, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
    # No cookie is kept: a cookie jar is the one part of a session that threads cannot share.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _body(response: requests.Response, *, until: float) -> bytes:
    """Read the body up to a size and a moment, whatever the speed at which it drips in."""
    chunks: list[bytes] = []
    size = 0
    try:
        # `read1` gives what has arrived; `read` would sit in the socket until a chunk is full.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > LONGEST_BODY_BYTES:
                raise _Failed("answers without end")
            if time.monotonic() > until:
                raise _Failed("answers too slowly")
    except (TransportError, OSError) as error:
        raise _Failed("breaks off its answer", attempts=2) from error
    return b"".join(chunks)


def _json(body: bytes) -> Any:
    try:
        # Not orjson: it refuses the lone surrogates that some records hold.
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Failed("answers with broken JSON", attempts=2) from error


def _retry_after_seconds(value: str | None) -> float | None:
    """Read a Retry-After header: seconds or a date; what is neither, or past, counts for nothing."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value) or None
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 else None
