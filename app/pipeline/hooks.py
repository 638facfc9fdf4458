"""Flask's side of the pipeline: before the view, after it, and when all is over."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import NotFound as NoRoute
from werkzeug.utils import redirect

from app.core.cache import generation_etag, make_conditional, not_modified, note_generation
from app.core.errors import MAX_BODY_BYTES, BodyTooLarge, DomainError, FieldError, Invalid, NotFound
from app.core.limits import RateLimited
from app.core.logging import fresh_log_context, log_context, set_log_context
from app.core.schemas import not_utf8, whole_body
from app.core.security import ANONYMOUS, acting_as
from app.core.spool import is_stream, let_go
from app.core.tenancy import tenant
from app.pipeline.bodies import GATEWAY_REFUSAL
from app.pipeline.offers import PASSAGE, REFUSAL, REQUEST_ID
from app.pipeline.passage import Guard, Passage, log_request, request_id_of
from app.settings import Settings, current_settings


def init_app(app: Flask, settings: Settings) -> None:
    """Register the steps in their order."""
    app.before_request(_begin)
    if settings.force_https:
        app.before_request(_insist_on_https)
    app.before_request(_admit)
    app.after_request(_finish)
    app.teardown_request(_end)


def _guard() -> Guard:
    guard: Guard = current_app.extensions["guard"]
    return guard


def _begin() -> None:
    g.request_id = request.environ.get(REQUEST_ID) or request_id_of(request.environ)
    g.started = time.perf_counter()
    g.around = ExitStack()
    g.around.enter_context(fresh_log_context(request_id=g.request_id))
    if GATEWAY_REFUSAL in request.environ:
        raise request.environ[GATEWAY_REFUSAL]
    if is_stream(request):
        request.max_content_length = None
    elif (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge
    if "\0" in request.path:
        raise NoRoute


def _insist_on_https() -> Any:
    if request.is_secure or request.path.startswith("/health"):
        return None
    return redirect(request.url.replace("http://", "https://", 1), code=308)


def _admit() -> Response | None:
    if request.routing_exception is not None or request.endpoint is None or request.method == "OPTIONS":
        return None  # Flask answers 404, 405 and OPTIONS itself
    view = current_app.view_functions[request.endpoint]
    access = getattr(view, "access", None)
    if access is None:
        raise NotFound("There is nothing at this address.")
    slug = (request.view_args or {}).pop("slug", None)
    if access.is_public and slug is None:
        g.around.enter_context(acting_as(ANONYMOUS))
        return None
    passage: Passage = request.environ.get(PASSAGE) or Passage(_guard(), view, slug, request.environ)
    refusal: DomainError | None = request.environ.get(REFUSAL)
    try:
        if refusal is not None:
            raise refusal
        if not passage.is_settled:
            passage.admit()
        elif is_stream(request):
            # It may have taken hours to come.
            passage.check_again()
    except RateLimited as full:
        g.limit_states = full.states
        raise
    finally:
        # Whose refusal it is, is logged as well.
        _enter(passage)
        if passage.admission:
            g.limit_states = passage.admission.states
    _refuse_parameters(not_utf8(passage.query_string), "Must be UTF-8, percent-encoded.")
    _refuse_what_nobody_reads(getattr(view, "reads", set()))
    return _from_cache(passage) if passage.cached else None


def _refuse_parameters(names: Iterable[str], message: str) -> None:
    faults: list[FieldError] = [{"field": name, "message": message} for name in names]
    if faults:
        raise Invalid("Some values are not acceptable; see `errors`.", errors=faults)


def _refuse_what_nobody_reads(reads: set[str]) -> None:
    """Refuse parameters and bodies of an operation that takes none; an empty object is no body.

    Raises:
        Invalid: there is one.
    """
    if "query" not in reads:
        _refuse_parameters(request.args, "Unknown field.")
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if "json" not in reads and request.method != "GET" and has_body and whole_body(request).strip() not in {b"", b"{}"}:
        raise Invalid.field("body", "This operation takes no body.")


def _enter(passage: Passage) -> None:
    g.actor, g.tenant, g.may_go_on = passage.actor, passage.tenant, passage.may_go_on
    if passage.cached is None:
        # What is kept for all members must not depend on who asks first: there, asking who it is fails.
        g.around.enter_context(acting_as(passage.actor or ANONYMOUS))
    if passage.actor:
        set_log_context(principal=passage.actor.principal)
    if passage.tenant_id is not None:
        set_log_context(tenant_id=str(passage.tenant_id))
        g.around.enter_context(tenant(passage.tenant_id))


def _from_cache(passage: Passage) -> Response | None:
    admission = passage.admission
    if admission is None or not admission.generations:
        return None  # Redis is away
    generation = admission.generations[-1]
    etag = generation_etag(generation, passage.address)
    if passage.client_has(generation):
        return not_modified(etag)
    if admission.cached_body is not None:
        return Response(admission.cached_body, content_type="application/json", headers={"ETag": etag})
    if passage.cached:
        note_generation(passage.cached.generation, generation)
    g.keep = passage
    return None


def _finish(response: Response) -> Response:
    if "keep" in g:
        _keep(response, g.keep)
    response = _without_page(make_conditional(response))
    headers = response.headers
    actor = g.get("actor")
    is_private = actor is not None and "Cache-Control" not in headers
    headers.extend(_guard().headers(g.request_id, g.get("limit_states", ()), is_private=is_private))
    if actor is None and response.status_code >= 400:  # noqa: PLR2004
        headers["Cache-Control"] = "no-store"
    _allow_origin(response)
    ids = {"code": g.error_code} if "error_code" in g else {}
    log_request(
        method=request.method,
        route=request.url_rule.rule if request.url_rule else "(none)",
        status=response.status_code,
        seconds=time.perf_counter() - g.started,
        **log_context(),
        **ids,
    )
    return response


def _without_page(response: Response) -> Response:
    """Redirects and answers to OPTIONS are for programs: without HTML, and what is empty without a type."""
    if response.is_streamed:
        return response
    if 300 <= response.status_code < 400:  # noqa: PLR2004
        response.set_data(b"")
    if request.method == "OPTIONS" and response.status_code == 200:  # noqa: PLR2004
        response.status_code = 204
    if not response.get_data():
        response.headers.pop("Content-Type", None)
    return response


def _keep(response: Response, passage: Passage) -> None:
    if response.status_code == 200:  # noqa: PLR2004
        response.headers["ETag"] = passage.keep(response.get_data())


def _allow_origin(response: Response) -> None:
    origin = request.headers.get("Origin")
    if not origin or origin not in current_settings().cors_origins:
        return
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
    headers.add("Vary", "Origin")
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
        headers["Access-Control-Allow-Headers"] = (
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key, X-Request-ID"
        )
        headers["Access-Control-Max-Age"] = "600"


def _end(_: BaseException | None) -> None:
    let_go(request.environ)
    around: ExitStack | None = g.pop("around", None)
    if around is not None:
        around.close()
