"""A copy, as it is sent and answered."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.core.schemas import ListArguments, Moment, StrictSchema, Text, list_of
from app.holdings.models import NEW_STATUSES, CopyStatus
from app.holdings.queries import COPIES

BARCODE = validate.Regexp(r"[A-Za-z0-9._$+:*-]{1,64}\Z", error="Must be 1 to 64 letters, digits and signs of ._$+:*-.")


def _barcode(**options: Any) -> Text:
    what = "What is printed on it; no other copy of the library bears the same."
    return Text(max_length=64, validate=BARCODE, metadata={"description": what, "example": "31205004567890"}, **options)


def _location(**options: Any) -> Text:
    return Text(
        max_length=200,
        allow_none=True,
        metadata={"description": "Where it stands.", "example": "Ground floor, shelf 12"},
        **options,
    )


class NewCopySchema(StrictSchema):
    """A copy to be registered."""

    barcode = _barcode(required=True)
    status = Text(
        load_default=CopyStatus.AVAILABLE.value,
        validate=validate.OneOf([each.value for each in NEW_STATUSES]),
        metadata={"description": "What has become of it already.", "example": "available"},
    )
    location = _location(load_default=None)


class CopyChangesSchema(StrictSchema):
    """What may be changed of a copy; what is absent stays as it is."""

    barcode = _barcode()
    status = Text(
        validate=validate.OneOf(list(CopyStatus)),
        metadata={
            "description": "`lost` and `withdrawn` take it out of the counts, `available` brings it back. `on_loan` and"
            " `on_hold` come and go with loans and holds.",
            "example": "lost",
        },
    )
    location = _location()


class CopySchema(StrictSchema):
    """One physical item with a barcode, as the register has it."""

    id = fields.UUID(required=True)
    book_id = fields.UUID(required=True, metadata={"description": "The book that it is a copy of."})
    barcode = fields.String(
        required=True, metadata={"description": "What is printed on it.", "example": "31205004567890"}
    )
    status = fields.String(
        required=True, validate=validate.OneOf(list(CopyStatus)), metadata={"description": "What has become of it."}
    )
    location = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Where it stands.", "example": "Ground floor, shelf 12"},
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


CopyListSchema = list_of(CopySchema)


class CopyListArguments(ListArguments):
    """Filters and order of the list of a book's copies."""

    status = Text(validate=validate.OneOf(list(CopyStatus)), metadata={"description": "Only those of this status."})
    sort = Text(validate=validate.OneOf(COPIES.sort_names), load_default=COPIES.default_sort)
