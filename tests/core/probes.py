"""Endpoints of these tests' own, to try the core on: each with some of the marks that real ones carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from marshmallow import Schema, fields

from app.core.blueprint import Blueprint
from app.core.cache import Generation, cached, if_match, touch
from app.core.database import transaction
from app.core.idempotency import idempotent
from app.core.limits import Limit, limited
from app.core.schemas import ListArguments, json_response
from app.core.security import Permission, public, requires
from app.extensions import db
from app.tenants import service as tenants
from tests.conftest import Library


class Probes:
    """The endpoints, and what they do when they are called: `answers` holds a function for each name."""

    def __init__(self, app: Flask) -> None:
        """Register them; nothing may have been asked of `app` yet."""
        self.app = app
        self.calls: list[str] = []
        self.arguments: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[], Any]] = {}
        blp = Blueprint("probes", __name__, description="For tests.")
        self._reads(blp)
        self._writes(blp)
        app.register_blueprint(blp)

    def library(self, slug: str = "riverside", **fields: Any) -> Library:
        """A tenant of the app."""
        with self.app.app_context():
            tenant = tenants.create_tenant(slug=slug, name=slug.title(), kind="library", **fields)
            db.session.remove()
        return Library(self.app, slug, tenant.id)

    def _answer(self, name: str, status: int = 200) -> Response:
        self.calls.append(name)
        value = self.answers.get(name, lambda: {"calls": self.calls.count(name)})()
        return value if isinstance(value, Response) else json_response(value, status)

    def _reads(self, blp: Blueprint) -> None:
        @blp.get("/tenants/<slug>/probes/plain")
        @requires(Permission.BOOKS_READ)
        def show_plain() -> Response:
            return self._answer("plain")

        @blp.get("/tenants/<slug>/probes/cached")
        @requires(Permission.BOOKS_READ)
        @limited(Limit.CATALOGUE_READ)
        @cached(Generation.CATALOGUE)
        @blp.arguments(Schema.from_dict({"page": fields.String()}), location="query")
        def show_cached(_: dict[str, Any]) -> Response:
            return self._answer("cached")

        @blp.get("/tenants/<slug>/probes/listed")
        @requires(Permission.BOOKS_READ)
        @limited(Limit.CATALOGUE_READ)
        @cached(Generation.CATALOGUE, arguments=ListArguments)
        @blp.arguments(ListArguments, location="query")
        def list_things(arguments: dict[str, Any]) -> Response:
            self.arguments.append(arguments)
            return self._answer("listed")

        @blp.get("/tenants/<slug>/probes/several-limits")
        @requires(Permission.BOOKS_READ)
        @limited(Limit.CATALOGUE_READ, Limit.INVENTORY_READ)
        def show_several_limits() -> Response:
            return self._answer("several-limits")

        @blp.get("/tenants/<slug>/probes/guarded")
        @requires(Permission.BOOKS_READ)
        def show_guarded() -> Response:
            return self._answer("guarded")

        @blp.patch("/tenants/<slug>/probes/guarded")
        @requires(Permission.BOOKS_WRITE)
        @if_match(show_guarded)
        def update_guarded() -> Response:
            return self._answer("changed")

    def _writes(self, blp: Blueprint) -> None:
        @blp.post("/tenants/<slug>/probes/sign-in")
        @public
        @limited(Limit.AUTH)
        def create_sign_in() -> Response:
            return self._answer("sign-in")

        @blp.post("/tenants/<slug>/probes/touched")
        @requires(Permission.BOOKS_WRITE)
        def create_touched() -> Response:
            with transaction():
                touch(Generation.CATALOGUE)
            return self._answer("touched")

        @blp.post("/tenants/<slug>/probes/once")
        @requires(Permission.BOOKS_WRITE)
        @idempotent
        @blp.arguments(Schema.from_dict({}), location="query")
        def create_once(_: Any) -> Response:
            return self._answer("once", 201)
