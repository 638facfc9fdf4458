"""The blueprint of every domain: flask-smorest's, with the service's own way of reading bodies and queries."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema

from app.core.idempotency import is_repeated
from app.core.schemas import BodyParser

_View = TypeVar("_View", bound=Callable[..., Any])


def beforehand(**makers: Callable[..., Any]) -> Callable[[_View], _View]:
    """Let each maker do with the view's arguments what takes time; the view gets what it returns under its name.

    Stands between `arguments` and what begins a transaction (`idempotent`, `if_match`), so that none waits for it. A
    request that is repeated, and answered from what is kept, does not do it again.
    """

    def wrap(view: _View) -> _View:
        @wraps(view)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            is_known = request.method == "POST" and is_repeated()
            made = {name: None if is_known else make(*args, **kwargs) for name, make in makers.items()}
            return view(*args, **kwargs, **made)

        return prepared  # type: ignore[return-value]  # wraps() keeps the view's own signature

    return wrap


class Blueprint(SmorestBlueprint):  # type: ignore[misc]  # flask-smorest carries no types
    """A domain's endpoints; refuses unknown fields and answers problems in the one shape."""

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, name: str, import_name: str, *, description: str, url_prefix: str | None = "/api/v1") -> None:
        """Name it like its package; every path begins at the version's root, unless `url_prefix` says otherwise."""
        super().__init__(name, import_name, url_prefix=url_prefix, description=description)

    def get(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view for GET."""
        return self.route(rule, methods=["GET"], **options)  # type: ignore[no-any-return]  # see the class

    def post(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view for POST."""
        return self.route(rule, methods=["POST"], **options)  # type: ignore[no-any-return]  # see the class

    def put(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view for PUT."""
        return self.route(rule, methods=["PUT"], **options)  # type: ignore[no-any-return]  # see the class

    def patch(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view for PATCH."""
        return self.route(rule, methods=["PATCH"], **options)  # type: ignore[no-any-return]  # see the class

    def delete(self, rule: str, **options: Any) -> Callable[[_View], _View]:
        """Register a view for DELETE."""
        return self.route(rule, methods=["DELETE"], **options)  # type: ignore[no-any-return]  # see the class

    def arguments(self, schema: type[Schema], **options: Any) -> Callable[[_View], _View]:
        """Read the body, or the query, by `schema` and hand it to the view."""
        # One instance for all requests: to make one costs more than to read a query by it.
        documented = super().arguments(schema(), **options)

        def wrap(view: _View) -> _View:
            wrapped: _View = documented(view)
            # The pipeline refuses queries and bodies that nobody would read.
            wrapped.reads = {*getattr(view, "reads", ()), options.get("location", "json")}  # type: ignore[attr-defined]
            return wrapped

        return wrap

    def response(
        self, status: int, schema: type[Schema] | dict[str, Any] | None = None, **options: Any
    ) -> Callable[[_View], _View]:
        """Document the answer of a view, by a schema of ours or, where it is no JSON, by one of OpenAPI's."""
        return super().response(status, schema, **options)  # type: ignore[no-any-return]  # see the class

    def doc(self, **documentation: Any) -> Callable[[_View], _View]:
        """Say by hand what can't be read off a view."""
        return super().doc(**documentation)  # type: ignore[no-any-return]  # see the class

    def alt_response(self, status: int, response: str | None = None, **options: Any) -> Callable[[_View], _View]:
        """Document a further answer of a view."""
        return super().alt_response(status, response, **options)  # type: ignore[no-any-return]  # see the class
