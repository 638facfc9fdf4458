"""Endpoints of the catalogue."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g, url_for

from app.catalog import queries, service
from app.catalog.schemas import (
    AuthorListArguments,
    AuthorListSchema,
    AuthorSchema,
    BookDetailSchema,
    BookListArguments,
    BookListSchema,
    BookPatchSchema,
    BookSearchArguments,
    BookSearchSchema,
    CoverArguments,
    NewBookSchema,
    VersionDiffSchema,
)
from app.core.blueprint import Blueprint
from app.core.cache import Generation, cached, if_match
from app.core.errors import Invalid, NotFound, raises
from app.core.idempotency import idempotent
from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.limits import Limit, limited
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, requires
from app.core.text import folded

# What stands in paths beside ids.
_ISBN = {
    "name": "isbn",
    "in": "path",
    "description": "ISBN-10 or ISBN-13, hyphens allowed.",
    "example": "9780441172719",
}
_NUMBER = {"name": "number", "in": "path", "description": "The number of a version.", "example": "1"}
_FIRST = {**_NUMBER, "name": "first", "description": "The number of the version to begin with."}
_SECOND = {**_NUMBER, "name": "second", "description": "The number of the version to end with.", "example": "2"}

blp = Blueprint("catalog", __name__, description="Books with their versions, editions and authors.")

# — reading ————————————————————————————————————————————————————————————————————————————————————————


@blp.get("/tenants/<slug>/books")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE, arguments=BookListArguments)
@blp.arguments(BookListArguments, location="query")
@blp.response(200, BookListSchema)
def list_books(arguments: dict[str, Any]) -> Response:
    """List the books

    The newest first, unless `sort` says otherwise; books of unknown year come before all others in the order of years.
    Several filters narrow the list, several values of one filter (the parameter repeated) widen it.
    """
    limit, cursor, sort = (arguments.pop(name) for name in ("limit", "cursor", "sort"))
    return json_response(queries.BOOKS.page(limit=limit, cursor=cursor, sort=sort, **queries.narrowed_by(arguments)))


@blp.get("/tenants/<slug>/books/search")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE, arguments=BookSearchArguments)
@blp.arguments(BookSearchArguments, location="query")
@blp.response(200, BookSearchSchema)
def search_books(arguments: dict[str, Any]) -> Response:
    """Search the books

    Finds books that have all the words, whatever their case and accents, the best first. Where none has them, one
    slip of the pen in each word is forgiven. The filters of the list apply. At most 10 000 matches are ranked.
    """
    q, limit, cursor, facets = (arguments.pop(name) for name in ("q", "limit", "cursor", "facets"))
    facets, narrowed = [queries.Facet(facet) for facet in facets], queries.narrowed_by(arguments)
    return json_response(queries.search(q, limit=limit, cursor=cursor, facets=facets, narrowed=narrowed))


@blp.get("/tenants/<slug>/books/by-isbn/<isbn>", parameters=[_ISBN])
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE)
@blp.response(200, BookDetailSchema)
def show_book_of_isbn(isbn: str) -> Response:
    """Show the book of an ISBN

    ISBN-10 or ISBN-13, hyphens allowed; a check digit that does not fit is refused.
    """
    try:
        book_id = queries.holder_of(normalize_isbn(isbn))
    except InvalidIsbn as error:
        raise Invalid.field("isbn", str(error)) from error
    if book_id is None:
        raise NotFound("No book of this library has this ISBN.")
    return json_response(queries.book(book_id))


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
    return _moved(parsed, "catalog.show_book")


def _moved(book_id: UUID | None, endpoint: str) -> Response:
    """Lead to the book in which this one went up.

    Raises:
        NotFound: there is no such book, and there was none that was merged away.
    """
    survivor = book_id and queries.survivor_of(book_id)
    if survivor is None:
        raise NotFound("There is no such book.")
    address = url_for(endpoint, slug=g.tenant.slug, book_id=survivor)
    return Response(status=301, headers={"Location": address})


@blp.get("/tenants/<slug>/books/<book_id>/cover")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@raises(queries.NoCover)
@blp.arguments(CoverArguments, location="query")
@blp.response(302, description="The address of the image is in `Location`.")
@blp.alt_response(301, description="The book was merged into another, whose cover's address is in `Location`.")
def show_cover(arguments: dict[str, Any], book_id: str) -> Response:
    """Show the image of a book's cover

    Leads to the image at Open Library.
    """
    parsed = parse_id(book_id)
    address = queries.cover_address(parsed, size=arguments["size"])
    if address is None:
        return _moved(parsed, "catalog.show_cover")
    return Response(status=302, headers={"Location": address})


@blp.get("/tenants/<slug>/authors")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE, arguments=AuthorListArguments)
@blp.arguments(AuthorListArguments, location="query")
@blp.response(200, AuthorListSchema)
def list_authors(arguments: dict[str, Any]) -> Response:
    """List the authors

    Everybody who wrote a book of the library, by name, with the number of books.
    """
    if "q" in arguments:
        arguments["q"] = folded(arguments["q"])
    return json_response(queries.AUTHORS.page(**arguments))


@blp.get("/tenants/<slug>/authors/<author_id>")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE)
@blp.response(200, AuthorSchema)
def show_author(author_id: str) -> Response:
    """Show an author with the number of their books

    The books themselves are found by the filter `author` of the list of books, which takes this id.
    """
    found = queries.author(parse_id(author_id))
    if found is None:
        raise NotFound("There is no such author.")
    return json_response(found)


@blp.get("/tenants/<slug>/books/<book_id>/versions/<first>/diff/<second>", parameters=[_FIRST, _SECOND])
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
@raises(service.IsbnTaken)
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
@raises(service.IsbnTaken)
@if_match(show_book)
@blp.arguments(
    BookPatchSchema,
    examples={
        "set": {
            "summary": "Set fields, clear one",
            "value": {"title": "Dune, revised", "first_publish_year": 1965, "subtitle": None},
        },
        "lift": {"summary": "Lift an override", "value": {"overrides": {"title": None}}},
    },
)
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
@raises(service.BookInUse)
@if_match(show_book)
@blp.response(204)
def delete_book(book_id: str) -> Response:
    """Delete a book with its editions and versions

    Refused while copies of it are on loan, or set aside for readers. A book of Open Library comes back when it is
    ingested again.
    """
    service.delete_book(parse_id(book_id))
    return Response(status=204)


@blp.post("/tenants/<slug>/books/<book_id>/versions/<number>/restore", parameters=[_NUMBER])
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
