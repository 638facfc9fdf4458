"""What happens around every request, in order.

request id → who is asking → which tenant → may they → limits and cache (one round trip to Redis) → the view → headers
and the log line.

- `gateway.py` takes requests from the web server, `bodies.py` their bodies, before a thread is spent on them.
- `offers.py` decides, by the head alone, whose bodies without a limit are let in.
- `passage.py` holds the decisions: it needs a WSGI environment and nothing of Flask.
- `hooks.py` takes every request through them before its view, and finishes the answer.
- `fast_lane.py` takes the same decisions before Flask begins, and answers lists that are in the cache at once.

A view runs only when its mark (`requires`, `signed_in`, `public`) lets the caller through; an endpoint without a mark
answers nobody.
"""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.core.errors import MAX_BODY_BYTES
from app.core.limits import limits
from app.extensions import redis
from app.pipeline import hooks
from app.pipeline.fast_lane import FastLane
from app.pipeline.passage import Guard
from app.settings import Settings


def init_app(app: Flask, settings: Settings) -> None:
    """Put the steps around every request of `app`."""
    with app.app_context():
        guard = Guard(limits=limits(), redis=redis.client, insists_on_https=settings.force_https)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["guard"] = guard
    hooks.init_app(app, settings)
    app.wsgi_app = FastLane(app, app.wsgi_app, guard)  # type: ignore[method-assign]  # Flask's documented way
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
