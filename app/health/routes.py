"""Endpoints of the service itself; they stand outside of `/api/v1`."""

from __future__ import annotations

import gzip
import hmac
from functools import cache, lru_cache
from ipaddress import ip_address
from mimetypes import guess_type
from pathlib import Path
from string import Template

import markdown
from flask import Response, current_app, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from werkzeug.security import safe_join

from app.core import openapi
from app.core.blueprint import Blueprint
from app.core.cache import uncached
from app.core.errors import NotFound, Unauthenticated, raises
from app.core.schemas import json_response
from app.core.security import public
from app.health import service
from app.health.schemas import HealthSchema, RootSchema, StatusSchema
from app.settings import Settings, current_settings

blp = Blueprint("health", __name__, url_prefix=None, description="The service itself: alive, measured, documented.")

_STATIC = Path(__file__).parent / "static"
_EXAMPLE_PAGE = '<!doctype html><html lang="en"><title>Library API</title>…</html>'
_EXAMPLE_METRICS = """\
# HELP library_requests_total Requests answered.
# TYPE library_requests_total counter
library_requests_total{method="GET",route="/api/v1/tenants/<slug>/books",status="200"} 42.0
"""
_ERRORS = Path(__file__).parent.parent.parent / "docs" / "errors.md"
# Addresses below it name a version, so what they lead to never changes.
_VERSIONED = "swagger-ui-"
_YEAR_SECONDS = 365 * 24 * 3600
# The pages run no script but their own, load nothing from elsewhere, and are shown in nobody's frame. Swagger UI draws
# its icons from `data:` addresses.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blp.get("/")
@public
@blp.response(200, RootSchema)
def show_root() -> Response:
    """Show where everything is

    The version that runs, and the addresses of documentation, OpenAPI document, health and API.
    """
    links = {"documentation": "/docs", "openapi": "/openapi.json", "health": "/health", "api": "/api/v1"}
    return json_response({"name": "Library API", "version": openapi.VERSION, "links": links})


@blp.get("/health")
@public
@uncached
@blp.response(200, HealthSchema)
@blp.alt_response(503, schema=HealthSchema, description="The database or Redis does not answer.")
def show_health() -> Response:
    """Show the state of database, Redis and workers

    503 when the database or Redis does not answer within two seconds. Without a worker requests are served, and jobs
    wait.
    """
    states = service.probe_all()
    healthy = states["db"] == states["redis"] == service.OK
    return json_response(states, 200 if healthy else 503)


@blp.get("/health/live")
@public
@uncached
@blp.response(200, StatusSchema)
def show_liveness() -> Response:
    """Say that the process is up

    It looks at nothing else: where this gets no answer, start the process again.
    """
    return json_response({"status": "ok"})


@blp.get("/health/ready")
@public
@uncached
@blp.response(200, HealthSchema)
@blp.alt_response(503, schema=HealthSchema, description="The database does not answer.")
def show_readiness() -> Response:
    """Say whether requests can be served

    503 while the database does not answer. With Redis away requests are served all the same, only slower.
    """
    states = service.probe_all()
    return json_response(states, 200 if states["db"] == service.OK else 503)


@blp.get("/metrics")
@public
@uncached
@raises(Unauthenticated)
@blp.doc(security=[{}, {"metricsToken": []}])
@blp.response(
    200,
    {"type": "string"},
    content_type="text/plain",
    description="The metrics, in the text format of Prometheus.",
    example=_EXAMPLE_METRICS,
)
def show_metrics() -> Response:
    """Show the metrics for Prometheus

    With the bearer token of `METRICS_TOKEN`; without that setting from the machine itself only.
    """
    settings = current_settings()
    if settings.metrics_token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), settings.metrics_token.encode()):
            raise Unauthenticated("Send `Authorization: Bearer <METRICS_TOKEN>`.")
    elif not _comes_from_this_machine():
        raise Unauthenticated("Set METRICS_TOKEN to read the metrics from another machine.")
    return Response(generate_latest(_registry(settings)), content_type=CONTENT_TYPE_LATEST)


@blp.get("/openapi.json")
@public
@blp.response(
    200,
    {"type": "object"},
    description="The document.",
    example={"openapi": "3.1.0", "info": {"title": "Library API"}, "paths": {}},
)
def show_openapi() -> Response:
    """Show the OpenAPI document

    OpenAPI 3.1, in JSON: this document, for generators of clients and tools like Postman.
    """
    return _zipped(json_response(openapi.document(current_app)))


@blp.get("/docs")
@public
@blp.response(200, {"type": "string"}, content_type="text/html", description="The page.", example=_EXAMPLE_PAGE)
def show_docs() -> Response:
    """Show the documentation, with a way to try each operation

    A page for browsers, made of the OpenAPI document; it loads nothing from elsewhere.
    """
    return _page((_STATIC / "docs.html").read_bytes())


@blp.get("/docs/static/<path:name>")
@public
@blp.response(200, content_type="application/octet-stream")
@blp.doc(hidden=True)
def show_docs_part(name: str) -> Response:
    """Show a part of the documentation page"""
    path = Path(safe_join(str(_STATIC), name) or _STATIC)
    if not path.is_file():
        raise NotFound("There is nothing at this address.")
    response = Response(path.read_bytes(), mimetype=guess_type(name)[0] or "text/plain")
    is_versioned = name.startswith(_VERSIONED)
    response.headers["Cache-Control"] = f"max-age={_YEAR_SECONDS}, immutable" if is_versioned else "no-cache"
    return _zipped(response)


@blp.get("/docs/errors")
@public
@blp.response(200, {"type": "string"}, content_type="text/html", description="The page.", example=_EXAMPLE_PAGE)
def show_errors() -> Response:
    """Explain every error code

    The `type` of each problem leads here.
    """
    return _page(_errors_page())


@cache
def _errors_page() -> bytes:
    text = markdown.markdown(
        # The list of all codes follows the introduction.
        _ERRORS.read_text(encoding="utf-8").replace("\n## ", "\n[TOC]\n\n## ", 1),
        extensions=["toc", "tables"],
        extension_configs={"toc": {"anchorlink": True, "toc_depth": "2-6"}},
    )
    return Template((_STATIC / "errors.html").read_text(encoding="utf-8")).substitute(text=text).encode()


def _page(content: bytes) -> Response:
    response = Response(content, mimetype="text/html")
    response.headers.update({"Cache-Control": "no-cache", "Content-Security-Policy": _PAGE_POLICY})
    return _zipped(response)


def _zipped(response: Response) -> Response:
    """Shorten an answer that is large and always the same to about a quarter, where the client can read that."""
    response.vary.add("Accept-Encoding")
    if request.accept_encodings.quality("gzip") > 0:
        response.data = _gzip(response.get_data())
        response.content_encoding = "gzip"
    return response


@lru_cache(maxsize=16)
def _gzip(content: bytes) -> bytes:
    # Without a time, so that the ETag stays the same.
    return gzip.compress(content, mtime=0)


def _comes_from_this_machine() -> bool:
    # A proxy on this machine speaks for callers elsewhere, and says so.
    if any(header in request.headers for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _registry(settings: Settings) -> CollectorRegistry:
    if not settings.metrics_folder:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=settings.metrics_folder)  # type: ignore[no-untyped-call]  # it has no types
    return registry
