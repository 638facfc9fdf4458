"""Lists that are the same for all members, answered before Flask begins.

Flask's own work for a request costs more than all the guards together. So a GET of such a list takes the same passage
as any other request, on the same code. Where the cache has the answer it goes out at once; where it has not, the view
is asked with its query, read by its own schema. In every other case (an outdated credential, a refusal, a query that is
not acceptable, anything that goes wrong, a browser of another origin) Flask goes on with the passage as it stands.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import Flask, Response
from werkzeug.datastructures import MultiDict

from app.core.cache import generation_etag, note_generation
from app.core.errors import DomainError
from app.core.limits import RateLimited
from app.core.logging import begin_log_context, end_log_context
from app.core.schemas import not_utf8, read_query
from app.core.tenancy import tenant as as_tenant
from app.pipeline.bodies import GATEWAY_REFUSAL
from app.pipeline.offers import OFFER, PASSAGE, REFUSAL, REQUEST_ID, judge
from app.pipeline.passage import Guard, Passage, log_request, request_id_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ADDRESS = re.compile(r"/api/v1/tenants/([a-z0-9-]{2,63})(/[a-z/-]+)")
_View = Callable[..., Any]
_PREFIX = "/api/v1/tenants/<slug>"


class FastLane:
    """A WSGI layer around Flask's."""

    def __init__(self, app: Flask, below: WSGIApplication, guard: Guard) -> None:
        """Take the app, whose routes are read at the first request, and its WSGI function."""
        self._app = app
        self._below = below
        self._guard = guard
        # By route: the view with its marks, and the function within, which takes the query's arguments.
        self._views: dict[str, tuple[_View, _View]] | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from the cache, or let Flask answer; of what is only offered, decide."""
        if OFFER in environ:
            judge(self._app, self._guard, environ)
            return ()
        started = time.perf_counter()
        passage, route = self._passage(environ)
        if passage is None:
            return self._below(environ, start_response)
        environ[REQUEST_ID] = request_id = request_id_of(environ)
        logged_before = begin_log_context(request_id=request_id)
        try:
            answer = self._answered(environ, passage, route)
        finally:
            end_log_context(logged_before)
        if answer is None:
            return self._below(environ, start_response)
        return self._send(start_response, passage, answer, request_id=request_id, route=route, started=started)

    def _answered(self, environ: WSGIEnvironment, passage: Passage, route: str) -> tuple[str, str, bytes] | None:
        """The answer; None where Flask has to go on, with what is left for it in `environ`."""
        try:
            settled = passage.admit_kept()
        except RateLimited as refusal:
            if not passage.forget_outdated(refusal.generations):
                environ[REFUSAL] = refusal
                environ[PASSAGE] = passage
            return None
        except DomainError:
            # What is kept may be outdated; Flask's side looks before it refuses.
            return None
        if passage.admission is not None:
            environ[PASSAGE] = passage
        try:
            return (_answer(passage) or self._computed(passage, route)) if settled else None
        except DomainError as refusal:
            # Such as a statement that took too long: asking again would take as long again.
            environ[REFUSAL] = refusal
            return None

    def _passage(self, environ: WSGIEnvironment) -> tuple[Passage | None, str]:
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_ORIGIN" in environ or GATEWAY_REFUSAL in environ:
            return None, ""
        if environ.get("HTTP_IF_NONE_MATCH", "").strip() == "*":
            return None, ""  # whether there is anything shows only in the answer
        if self._guard.insists_on_https and environ.get("wsgi.url_scheme") != "https":
            return None, ""
        address = _ADDRESS.fullmatch(environ.get("PATH_INFO", ""))
        if address is None:
            return None, ""
        route = _PREFIX + address[2]
        view, _ = self._cached_views().get(route, (None, None))
        return (Passage(self._guard, view, address[1], environ) if view else None), route

    def _computed(self, passage: Passage, route: str) -> tuple[str, str, bytes] | None:
        """Ask the view, where that needs nothing of Flask's request."""
        cached, admission, tenant_id = passage.cached, passage.admission, passage.tenant_id
        if cached is None or cached.arguments is None or admission is None or tenant_id is None:
            return None
        if not admission.generations:
            return None  # Redis is away
        if not_utf8(passage.query_string):
            return None  # Flask's side refuses it
        ask = self._cached_views()[route][1]
        query = parse_qsl(passage.query_string, keep_blank_values=True, errors="werkzeug.url_quote")
        with self._app.app_context(), as_tenant(tenant_id):
            note_generation(cached.generation, admission.generations[-1])
            try:
                answer: Response = ask(read_query(cached.arguments, MultiDict(query)))
            except DomainError:
                raise
            except Exception:  # noqa: BLE001 - Flask asks again, and tells, logs and counts what went wrong
                return None
            body = answer.get_data()
            return "200 OK", passage.keep(body), body

    def _cached_views(self) -> dict[str, tuple[_View, _View]]:
        if self._views is None:
            found = {}
            for rule in self._app.url_map.iter_rules():
                view = self._app.view_functions[rule.endpoint]
                if "GET" in (rule.methods or ()) and hasattr(view, "cached") and rule.rule.startswith(_PREFIX):
                    found[rule.rule] = (view, inspect.unwrap(view))
            self._views = found
        return self._views

    def _send(
        self,
        start_response: StartResponse,
        passage: Passage,
        answer: tuple[str, str, bytes],
        *,
        request_id: str,
        route: str,
        started: float,
    ) -> Iterable[bytes]:
        status, etag, body = answer
        states = passage.admission.states if passage.admission else ()
        headers = [("ETag", etag), *self._guard.headers(request_id, states, is_private=True)]
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        log_request(
            method="GET",
            route=route,
            status=int(status[:3]),
            seconds=time.perf_counter() - started,
            request_id=request_id,
            principal=passage.actor.principal if passage.actor else "",
            tenant_id=str(passage.tenant_id),
        )
        return [body] if body else []


def _answer(passage: Passage) -> tuple[str, str, bytes] | None:
    admission = passage.admission
    if admission is None or not admission.generations:
        return None
    etag = generation_etag(admission.generations[-1], passage.address)
    if passage.client_has(admission.generations[-1]):
        return "304 NOT MODIFIED", etag, b""
    if admission.cached_body is not None:
        return "200 OK", etag, admission.cached_body
    return None
