"""Endpoints of the catalogue."""

from __future__ import annotations

from typing import Any

from flask import Response, g, url_for

from app.catalog import queries, service
from app.catalog.schemas import BookDetailSchema, BookPatchSchema, NewBookSchema, VersionDiffSchema
from app.core.blueprint import Blueprint
from app.core.cache import Generation, cached, if_match
from app.core.errors import NotFound
from app.core.idempotency import idempotent
from app.core.limits import Limit, limited
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, requires

blp = Blueprint("catalog", __name__, description="Books with their versions, editions and authors.")

# — reading ————————————————————————————————————————————————————————————————————————————————————————


@blp.get("/tenants/<slug>/books/<book_id>")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@blp.response(200, BookDetailSchema)
@blp.alt_response(301, description="The book was merged into another, whose address is in `Location`.")
def show_book(book_id: str) -> Response:
    """Show a book with its editions and versions

    Where the book was merged into another, the answer leads there.
    """
    parsed = parse_id(book_id)
    found = queries.book(parsed)
    if found is not None:
        return json_response(found)
    survivor = parsed and queries.survivor_of(parsed)
    if survivor is None:
        raise NotFound("There is no such book.")
    return _moved(url_for("catalog.show_book", slug=g.tenant.slug, book_id=survivor))


def _moved(address: str) -> Response:
    return Response(status=301, headers={"Location": address})


@blp.get("/tenants/<slug>/books/<book_id>/versions/<first>/diff/<second>")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE)
@blp.response(200, VersionDiffSchema)
def show_version_diff(book_id: str, first: str, second: str) -> Response:
    """Compare two versions of a book

    Lists the fields in which they differ; a version compared with itself gives none.
    """
    return json_response(service.version_diff(parse_id(book_id), _number(first), _number(second)))


def _number(text: str) -> int:
    """The number of a version; nine digits are more than any book has."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
        raise NotFound("The book has no such version.")
    return int(text)


# — writing ————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/books")
@requires(Permission.BOOKS_WRITE)
@idempotent
@blp.arguments(NewBookSchema)
@blp.response(201, BookDetailSchema)
def create_book(body: dict[str, Any]) -> Response:
    """Create a book by hand

    For what Open Library does not know. An ISBN belongs to one book of the library only.
    """
    book_id = service.create_book(**body)
    location = url_for("catalog.show_book", slug=g.tenant.slug, book_id=book_id)
    return json_response(queries.book(book_id), 201, {"Location": location})


@blp.patch("/tenants/<slug>/books/<book_id>")
@requires(Permission.BOOKS_WRITE)
@if_match(show_book)
@blp.arguments(BookPatchSchema)
@blp.response(200, BookDetailSchema)
def update_book(body: dict[str, Any], book_id: str) -> Response:
    """Change a book by hand

    A JSON merge patch. Each field that changes becomes an override, which no later synchronisation with Open Library
    undoes, and the book gets one new version. `{"overrides": {"title": null}}` lifts the override of a field: the
    book then says again what its source tells.
    """
    service.update_book(parse_id(book_id), body)
    return json_response(queries.book(parse_id(book_id)))


@blp.delete("/tenants/<slug>/books/<book_id>")
@requires(Permission.BOOKS_WRITE)
@if_match(show_book)
@blp.response(204)
def delete_book(book_id: str) -> Response:
    """Delete a book with its editions and versions

    Refused while copies of it are on loan. A book of Open Library comes back when it is ingested again.
    """
    service.delete_book(parse_id(book_id))
    return Response(status=204)


@blp.post("/tenants/<slug>/books/<book_id>/versions/<number>/restore")
@requires(Permission.BOOKS_WRITE)
@idempotent
@blp.response(200, BookDetailSchema)
def restore_version(book_id: str, number: str) -> Response:
    """Bring a version back

    The book gets a new version with the content of the old one. Where that differs from what the source tells, the
    fields become overrides.
    """
    service.restore_version(parse_id(book_id), _number(number))
    return json_response(queries.book(parse_id(book_id)))
