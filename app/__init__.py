"""The library service: `create_app` puts the domains together."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from flask import Flask
from flask.cli import AppGroup

from app import extensions, pipeline, schedule
from app.auth.service import issuers
from app.core import database, errors, idempotency, limits, openapi, queue
from app.core.logging import configure_logging
from app.openlibrary import lookup
from app.settings import Environment, Settings

log = logging.getLogger(__name__)

# Lowest first: each may use those before it. The names are packages, blueprints, OpenAPI tags and folders of tests.
DOMAINS = [
    "openlibrary",
    "events",
    "tenants",
    "mail",
    "members",
    "auth",
    "catalog",
    "holdings",
    "inventory",
    "circulation",
    "labels",
    "ingestion",
    "health",
    "demo",
]


def create_app(settings: Settings | None = None) -> Flask:
    """The application for these settings (default: the environment's).

    Raises:
        SettingsError: the environment is not usable; it names every fault.
    """
    settings = settings or Settings.from_environment()
    app = Flask(__name__, static_folder=None)
    app.extensions["settings"] = settings
    # No SECRET_KEY: given one, Flask would open a cookie session at every request, which nothing here uses.
    app.config.update(TESTING=settings.environment is Environment.TEST, PROPAGATE_EXCEPTIONS=False)
    app.url_map.strict_slashes = True
    # An address with a slash too many is not there; the redirect would be HTML, to an address made of the Host header.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    configure_logging(settings)
    for given, meant in settings.misspelt:
        log.warning("settings.misspelt", extra={"variable": given, "advice": f"No setting; is {meant} meant?"})
    database.init_app(app, settings)
    extensions.redis.init_app(app, settings.redis_url)
    limits.init_app(app, settings)
    lookup.init_app(app, settings)
    issuers.init_app(app, settings)
    queue.init_app(app, settings)
    openapi.init_app(app)
    # After flask-smorest, which registers a handler of its own for the same exceptions.
    errors.init_app(app)
    extensions.migrate.init_app(app, extensions.db, directory=str(Path(app.root_path).parent / "migrations"))
    pipeline.init_app(app, settings)
    _add_domains(app)
    schedule.init_app(app)
    return app


def _add_domains(app: Flask) -> None:
    """Import each domain's tables, tasks, endpoints and commands; a worker without the tables could not join them."""
    assert idempotency.IdempotencyKey.__tablename__  # noqa: S101 - the import registers the table
    for name in DOMAINS:
        for part in ("models", "tasks", "routes", "cli"):
            if find_spec(f"app.{name}.{part}") is None:
                continue
            module = import_module(f"app.{name}.{part}")
            if part == "routes":
                extensions.api.register_blueprint(module.blp)
            for group in vars(module).values() if part == "cli" else ():
                if isinstance(group, AppGroup):
                    app.cli.add_command(group)
