"""Endpoints of labels."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.core.blueprint import Blueprint
from app.core.errors import Invalid, NotFound
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, requires
from app.labels import service
from app.labels.models import RowFault
from app.labels.schemas import BulkLabelsSchema, BulkResultsSchema, GivenLabelsSchema, NewLabelsSchema

blp = Blueprint("labels", __name__, description="What books are like, and for whom.")


@blp.put("/tenants/<slug>/books/<book_id>/labels")
@requires(Permission.LABELS_WRITE)
@blp.arguments(NewLabelsSchema)
@blp.response(200, GivenLabelsSchema)
def give_labels(body: dict[str, Any], book_id: str) -> Response:
    """Label a book

    Each label keeps the origin that gave it. One of a heavier origin stays as it is, and is named in `kept`; labels
    that are left out stay as well.
    """
    [outcome] = service.label_books([{**body, "book_id": parse_id(book_id)}])
    if outcome.code is RowFault.UNKNOWN_BOOK:
        raise NotFound("There is no such book.")
    if outcome.code is RowFault.INVALID_AGES:
        raise Invalid.field("max_age", "Must not be below `min_age`, given here or before.")
    return json_response({"labels": outcome.labels, "kept": outcome.kept})


@blp.patch("/tenants/<slug>/books/labels")
@requires(Permission.LABELS_WRITE)
@blp.arguments(
    BulkLabelsSchema,
    examples={
        "import": {
            "summary": "What a list of editions says",
            "value": {"items": [{"isbn": "9780441172719", "origin": "import", "min_age": 12}]},
        }
    },
)
@blp.response(200, BulkResultsSchema)
def give_many_labels(body: dict[str, Any]) -> Response:
    """Label many books

    By `book_id` or `isbn`, up to 1 000. An item that can't be done is rejected with a `code`, and the others are done.
    """
    outcomes = service.label_books(body["items"])
    return json_response({"results": [_result(index, outcome) for index, outcome in enumerate(outcomes)]})


def _result(index: int, outcome: service.Outcome) -> dict[str, Any]:
    if outcome.code is None:
        return {"index": index, "status": "updated", "kept": outcome.kept}
    return {"index": index, "status": "rejected", "kept": [], "code": outcome.code}
