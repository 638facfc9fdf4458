"""Endpoints of holdings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from flask import Response, g, url_for

from app.core.blueprint import Blueprint
from app.core.cache import if_match
from app.core.errors import NotFound, raises
from app.core.idempotency import idempotent, tells_of
from app.core.schemas import DEFAULT_LIMIT, json_response, parse_id
from app.core.security import Permission, requires
from app.holdings import queries, service
from app.holdings.schemas import (
    CollectionChangesSchema,
    CollectionListArguments,
    CollectionListSchema,
    CollectionSchema,
    CopyChangesSchema,
    CopyListArguments,
    CopyListSchema,
    CopySchema,
    DeltaArguments,
    DeltaSchema,
    ItemListArguments,
    ItemListSchema,
    NewCollectionSchema,
    NewCopySchema,
    ReplacementSchema,
    StatisticsSchema,
    SyncArguments,
    SyncSchema,
)

_BARCODE = {"name": "barcode", "in": "path", "description": "As it is printed.", "example": "31205004567890"}

blp = Blueprint("holdings", __name__, description="What a library holds: collections of editions, and their copies.")

# — collections ————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/collections")
@requires(Permission.HOLDINGS_WRITE)
@idempotent
@blp.arguments(NewCollectionSchema)
@blp.response(201, CollectionSchema)
def create_collection(body: dict[str, Any]) -> Response:
    """Create a collection

    The library's, whose copies its books count; or with `owner_id` somebody's own, which counts nowhere and is seen by
    them and those who see them.
    """
    collection_id = service.create_collection(**body)
    if body["owner_id"] is not None:
        tells_of(body["owner_id"])
    location = url_for("holdings.show_collection", slug=g.tenant.slug, collection_id=collection_id)
    return json_response(service.visible_collection(collection_id), 201, {"Location": location})


@blp.get("/tenants/<slug>/collections")
@requires(Permission.HOLDINGS_READ)
@blp.arguments(CollectionListArguments, location="query")
@blp.response(200, CollectionListSchema)
def list_collections(arguments: dict[str, Any]) -> Response:
    """List the collections

    The newest first. Everybody sees the library's. People's own are seen by them, by guardians linked to them, by
    educators in whose groups they are, and by librarians, administrators and the library management system.
    """
    return json_response(queries.visible_collections(**arguments))


@blp.get("/tenants/<slug>/collections/<collection_id>")
@requires(Permission.HOLDINGS_READ)
@blp.response(200, CollectionSchema)
def show_collection(collection_id: str) -> Response:
    """Show a collection

    What is in it stands at `/items`, and in numbers at `/stats`.
    """
    return json_response(service.visible_collection(parse_id(collection_id)))


@blp.patch("/tenants/<slug>/collections/<collection_id>")
@requires(Permission.HOLDINGS_WRITE)
@if_match(show_collection)
@blp.arguments(CollectionChangesSchema, example={"name": "Main branch, ground floor", "description": None})
@blp.response(200, CollectionSchema)
def update_collection(body: dict[str, Any], collection_id: str) -> Response:
    """Change a collection

    A JSON merge patch. A collection that becomes somebody's own takes its copies out of the counts of books, and one
    that becomes the library's brings them in.
    """
    parsed = parse_id(collection_id)
    service.update_collection(parsed, body)
    return json_response(service.visible_collection(parsed))


@blp.delete("/tenants/<slug>/collections/<collection_id>")
@requires(Permission.HOLDINGS_WRITE)
@if_match(show_collection)
@blp.response(204)
def delete_collection(collection_id: str) -> Response:
    """Delete a collection with all that is in it

    The books stay, with as many copies less.
    """
    service.delete_collection(parse_id(collection_id))
    return Response(status=204)


# — what is in one —————————————————————————————————————————————————————————————————————————————————


@blp.get("/tenants/<slug>/collections/<collection_id>/items")
@requires(Permission.HOLDINGS_READ)
@blp.arguments(ItemListArguments, location="query")
@blp.response(200, ItemListSchema)
def list_collection_items(arguments: dict[str, Any], collection_id: str) -> Response:
    """List what is in a collection

    In the order of the ISBNs, each with the book that the catalogue has of it. An ISBN that no book has yet is looked
    up at Open Library in the background.
    """
    page = {name: arguments.pop(name) for name in ("limit", "cursor")}
    return _items(parse_id(collection_id), **page, **queries.narrowed_by(arguments))


def _items(collection_id: UUID | None, **asked: Any) -> Response:
    collection = service.visible_collection(collection_id)
    page = queries.ITEMS.page(collection_id=collection["id"], **asked)
    return json_response({**page, "updated_at": collection["updated_at"]})


def _first_items(collection_id: str) -> Response:
    """The list as it is without parameters, whose ETag a change may be bound to: it tells of every change."""
    return _items(parse_id(collection_id), limit=DEFAULT_LIMIT)


@blp.put("/tenants/<slug>/collections/<collection_id>/items")
@requires(Permission.HOLDINGS_WRITE)
@raises(service.TooManyRemovals)
@if_match(_first_items)
@blp.arguments(SyncArguments, location="query")
@blp.arguments(
    ReplacementSchema,
    example={
        "items": [
            {"isbn": "978-0-441-17271-9", "copies_total": 3, "copies_available": 2, "info": {"shelf": "SF HER"}},
            {"isbn": "0261103571"},
        ]
    },
)
@blp.response(200, SyncSchema)
def replace_collection_items(arguments: dict[str, Any], body: dict[str, Any], collection_id: str) -> Response:
    """Replace what is in a collection

    The collection then holds the rows of the body and nothing else, all at once. A row whose values are not acceptable
    is rejected and named, what the collection has of its ISBN stays as it is, and the other rows are taken; where every
    row is rejected, nothing changes and the answer is 422. An ISBN counts where it is named first. Sending the same
    again changes nothing.
    """
    return _told(service.replace_items(parse_id(collection_id), body["items"], **arguments))


@blp.patch("/tenants/<slug>/collections/<collection_id>/items")
@requires(Permission.HOLDINGS_WRITE)
@raises(service.AlreadyInCollection, service.TooManyRemovals)
@if_match(_first_items, shows_it=False)
@blp.arguments(DeltaArguments, location="query")
@blp.arguments(
    DeltaSchema,
    example={
        "items": [
            {"action": "add", "isbn": "978-0-00-711711-6", "copies_total": 2},
            {"action": "update", "isbn": "9780441172719", "copies_available": 1},
            {"action": "remove", "isbn": "9780261103573"},
        ]
    },
)
@blp.response(200, SyncSchema)
def update_collection_items(arguments: dict[str, Any], body: dict[str, Any], collection_id: str) -> Response:
    """Change some of what is in a collection

    Each row says by its `action` what to do; the rest of the collection stays. Rows are rejected as in a replacement,
    and where one is to be updated or removed that is not there. Of what is updated, that which a row leaves out stays,
    but for the copies available: a `copies_total` alone says that all of them are. Rows to be added that are there
    already refuse all of it, unless `on_conflict=skip` passes them over.
    """
    skips = arguments.pop("on_conflict") == "skip"
    return _told(service.update_items(parse_id(collection_id), body["items"], skips_conflicts=skips, **arguments))


def _told(changes: service.Changes) -> Response:
    return json_response({**changes.counts, "rejected": [asdict(each) for each in changes.rejected]})


@blp.get("/tenants/<slug>/collections/<collection_id>/stats")
@requires(Permission.HOLDINGS_READ)
@blp.response(200, StatisticsSchema)
def show_collection_statistics(collection_id: str) -> Response:
    """Show what a collection amounts to

    Editions and copies, and how many of the editions the catalogue has a book of, and one with labels.
    """
    return json_response(queries.statistics(service.visible_collection(parse_id(collection_id))["id"]))


# — copies —————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/books/<book_id>/copies")
@requires(Permission.HOLDINGS_WRITE)
@raises(service.BarcodeTaken)
@idempotent
@blp.arguments(NewCopySchema)
@blp.response(201, CopySchema)
def create_copy(body: dict[str, Any], book_id: str) -> Response:
    """Register a copy of a book

    One that is available goes to the first who waits for the book, if anybody does.
    """
    copy_id = service.create_copy(parse_id(book_id), **body)
    location = url_for("holdings.show_copy", slug=g.tenant.slug, copy_id=copy_id)
    return json_response(service.shown_copy(copy_id), 201, {"Location": location})


@blp.get("/tenants/<slug>/books/<book_id>/copies")
@requires(Permission.HOLDINGS_READ)
@blp.arguments(CopyListArguments, location="query")
@blp.response(200, CopyListSchema)
def list_copies(arguments: dict[str, Any], book_id: str) -> Response:
    """List the copies of a book

    In the order in which they were registered.
    """
    parsed = parse_id(book_id)
    if not queries.has_book(parsed):
        raise NotFound("There is no such book.")
    return json_response(queries.COPIES.page(book_id=parsed, **arguments))


@blp.get("/tenants/<slug>/copies/<copy_id>")
@requires(Permission.HOLDINGS_READ)
@blp.response(200, CopySchema)
def show_copy(copy_id: str) -> Response:
    """Show a copy

    Where it stands and whether it is to be had; who has it is told by `GET T/loans`, to whoever may know.
    """
    return json_response(service.shown_copy(parse_id(copy_id)))


@blp.get("/tenants/<slug>/copies/by-barcode/<barcode>", parameters=[_BARCODE])
@requires(Permission.HOLDINGS_READ)
@blp.response(200, CopySchema)
def show_copy_of_barcode(barcode: str) -> Response:
    """Show the copy that bears a barcode

    As a scanner reads it, percent-encoded where it has to be.
    """
    copy = queries.copy_of_barcode(barcode)
    if copy is None:
        raise NotFound("No copy bears this barcode.")
    return json_response(copy)


def _hold_copy(copy_id: str) -> None:
    """Keep loans and holds from moving it between the comparison and the write."""
    queries.locked_copy(parse_id(copy_id))


@blp.patch("/tenants/<slug>/copies/<copy_id>")
@requires(Permission.HOLDINGS_WRITE)
@raises(service.BarcodeTaken, service.StatusNotAllowed)
@if_match(show_copy, hold=_hold_copy)
@blp.arguments(CopyChangesSchema, example={"status": "lost", "location": None})
@blp.response(200, CopySchema)
def update_copy(body: dict[str, Any], copy_id: str) -> Response:
    """Change a copy

    A JSON merge patch. A copy on loan that is set to `lost` ends its loan; one that waited for somebody leaves them at
    the head of the queue; one that is `available` again goes to the first who waits.
    """
    parsed = parse_id(copy_id)
    service.update_copy(parsed, body)
    return json_response(service.shown_copy(parsed))


@blp.delete("/tenants/<slug>/copies/<copy_id>")
@requires(Permission.HOLDINGS_WRITE)
@raises(service.CopyInUse)
@if_match(show_copy, hold=_hold_copy)
@blp.response(204)
def delete_copy(copy_id: str) -> Response:
    """Strike a copy off the register

    Not while it is on loan. Its loans stay, as the book's.
    """
    service.delete_copy(parse_id(copy_id))
    return Response(status=204)
