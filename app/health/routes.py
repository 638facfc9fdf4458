"""Endpoints of the service itself; they stand outside of `/api/v1`."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from pathlib import Path

import markdown
from flask import Response, current_app, request, send_from_directory
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.core import openapi
from app.core.blueprint import Blueprint
from app.core.errors import NotFound, Unauthenticated
from app.core.schemas import json_response
from app.core.security import public
from app.health import service
from app.health.schemas import HealthSchema, RootSchema, StatusSchema
from app.settings import Settings

blp = Blueprint("health", __name__, url_prefix=None, description="The service itself: alive, measured, documented.")

_STATIC = Path(__file__).parent / "static"
_ERRORS = Path(__file__).parent.parent.parent / "docs" / "errors.md"


@blp.get("/")
@public
@blp.response(200, RootSchema)
def show_root() -> Response:
    """Show where everything is"""
    links = {"documentation": "/docs", "openapi": "/openapi.json", "health": "/health", "api": "/api/v1"}
    return json_response({"name": "Library API", "version": openapi.VERSION, "links": links})


@blp.get("/health")
@public
@blp.response(200, HealthSchema)
@blp.alt_response(503, schema=HealthSchema, description="The database or Redis does not answer.")
def show_health() -> Response:
    """Show the state of database, Redis and workers

    503 when the database or Redis does not answer within two seconds. Without a worker requests are served, and jobs
    wait.
    """
    states = service.probe_all()
    healthy = states["db"] == states["redis"] == service.OK
    return _uncached(json_response(states, 200 if healthy else 503))


@blp.get("/health/live")
@public
@blp.response(200, StatusSchema)
def show_liveness() -> Response:
    """Say that the process is up"""
    return _uncached(json_response({"status": "ok"}))


@blp.get("/health/ready")
@public
@blp.response(200, HealthSchema)
@blp.alt_response(503, schema=HealthSchema, description="The database does not answer.")
def show_readiness() -> Response:
    """Say whether requests can be served

    503 while the database does not answer. With Redis away requests are served all the same, only slower.
    """
    states = service.probe_all()
    return _uncached(json_response(states, 200 if states["db"] == service.OK else 503))


@blp.get("/metrics")
@public
@blp.response(200, {"type": "string"}, content_type="text/plain")
@blp.alt_response(401, description="The token is missing or wrong, or there is none and the caller is elsewhere.")
def show_metrics() -> Response:
    """Show the metrics for Prometheus

    With the bearer token of `METRICS_TOKEN`; without that setting from the machine itself only.
    """
    settings: Settings = current_app.config["SETTINGS"]
    if settings.metrics_token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), settings.metrics_token.encode()):
            raise Unauthenticated("Send `Authorization: Bearer <METRICS_TOKEN>`.")
    elif not _comes_from_this_machine():
        raise Unauthenticated("Set METRICS_TOKEN to read the metrics from another machine.")
    return _uncached(Response(generate_latest(_registry(settings)), content_type=CONTENT_TYPE_LATEST))


@blp.get("/openapi.json")
@public
@blp.response(200, {"type": "object"})
def show_openapi() -> Response:
    """Show the OpenAPI document"""
    return json_response(openapi.document(current_app))


@blp.get("/docs")
@public
@blp.response(200, {"type": "string"}, content_type="text/html")
def show_docs() -> Response:
    """Show the documentation, with a way to try each operation"""
    return send_from_directory(_STATIC, "docs.html")


@blp.get("/docs/static/<name>")
@public
@blp.response(200, content_type="application/octet-stream")
@blp.doc(hidden=True)
def show_docs_part(name: str) -> Response:
    """Show a part of the documentation page"""
    if not (_STATIC / name).is_file() or Path(name).name != name:
        raise NotFound("There is nothing at this address.")
    return send_from_directory(_STATIC, name, max_age=3600)


@blp.get("/docs/errors")
@public
@blp.response(200, {"type": "string"}, content_type="text/html")
def show_errors() -> Response:
    """Explain every error code

    The `type` of each problem leads here.
    """
    content = markdown.markdown(_ERRORS.read_text(encoding="utf-8"), extensions=["toc", "tables"])
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors</title><body>{content}</body></html>'
    return Response(page, content_type="text/html; charset=utf-8")


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


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
