"""What a library management system sends, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.catalog.schemas import Isbn
from app.core.schemas import Flag, Items, StrictSchema, Text, WholeNumber
from app.holdings.models import MOST_COPIES, MOST_ROWS, Action, RowFault


class Rows(Items):
    """Rows of holdings, counted, each an object with known fields; `holdings.service` judges the values one by one.

    The field within describes a row; what is loaded are the rows as they came.
    """

    def __init__(self, row: type[StrictSchema], **kwargs: Any) -> None:
        """Take the schema of a row."""
        super().__init__(fields.Nested(row), most=MOST_ROWS, **kwargs)
        self._known = frozenset(row().fields)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        del attr, data, kwargs
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._count(value)
        faults = {index: fault for index, row in enumerate(value) if (fault := self._fault(row))}
        if faults:
            raise ValidationError(faults)
        return value

    def _fault(self, row: Any) -> Any:
        if not isinstance(row, Mapping):
            return ["Must be an object."]
        if row.keys() <= self._known:
            return None
        unknown = [name for name in row if name not in self._known]
        return {name: ["Unknown field."] for name in unknown[: len(self._known)]}


class ItemRowSchema(StrictSchema):
    """What there is of an edition."""

    isbn = Isbn(required=True)
    copies_total = WholeNumber(
        minimum=0, maximum=MOST_COPIES, metadata={"description": "Copies that there are.", "default": 1, "example": 3}
    )
    copies_available = WholeNumber(
        minimum=0,
        maximum=MOST_COPIES,
        metadata={"description": "Copies of these to be had now; absent: all of them.", "example": 2},
    )
    info = Text(
        max_length=2000,
        allow_none=True,
        metadata={
            "description": "Whatever you want to find again: a text, or an object, of at most 2000 characters.",
            "type": ["string", "object"],
            "example": "SF HER",
        },
    )


class ReplacementSchema(StrictSchema):
    """All that a collection is to hold."""

    items = Rows(
        ItemRowSchema, required=True, metadata={"description": "At most 50 000; what is not among them is removed."}
    )


class DeltaRowSchema(ItemRowSchema):
    """What is to be done with an edition; of a row to be removed only the ISBN counts."""

    action = Text(
        required=True,
        validate=validate.OneOf([action.value for action in Action]),
        metadata={"description": "What to do with it.", "example": "add"},
    )


class DeltaSchema(StrictSchema):
    """What is to change in a collection."""

    items = Rows(DeltaRowSchema, required=True, metadata={"description": "At most 50 000; all others stay."})


class SyncArguments(StrictSchema):
    """How a collection is brought up to date."""

    dry_run = Flag(
        load_default=False, metadata={"description": "Answer what would be done, and do nothing.", "example": True}
    )
    max_removals = WholeNumber(
        minimum=0,
        maximum=2**31 - 1,
        load_default=None,
        metadata={"description": "Refuse to remove more items than these: a feed that broke off.", "example": 500},
    )


class DeltaArguments(SyncArguments):
    """The same for a delta."""

    on_conflict = Text(
        validate=validate.OneOf(["fail", "skip"]),
        load_default="fail",
        metadata={
            "description": "What becomes of rows to be added that are there already: all is refused, or they are passed"
            " over and counted as unchanged.",
            "example": "skip",
        },
    )


class RejectedRowSchema(StrictSchema):
    """A row that was not taken, and why."""

    index = fields.Integer(required=True, metadata={"description": "Its place in `items`, from 0.", "example": 17})
    isbn = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As it was sent; null where that was no text.", "example": "9780441172710"},
    )
    code = fields.String(
        required=True,
        validate=validate.OneOf([fault.value for fault in RowFault]),
        metadata={"description": "What is wrong with it.", "example": "invalid_isbn"},
    )
    message = fields.String(
        required=True,
        metadata={
            "description": "The same in words.",
            "example": "The last digit of this ISBN does not fit the others; please check it for a slip.",
        },
    )


class SyncSchema(StrictSchema):
    """What was done, or would be."""

    added = fields.Integer(required=True, metadata={"description": "Items that came.", "example": 12})
    updated = fields.Integer(required=True, metadata={"description": "Items that changed.", "example": 40})
    removed = fields.Integer(required=True, metadata={"description": "Items that went.", "example": 3})
    unchanged = fields.Integer(
        required=True, metadata={"description": "Rows that asked for what was there already.", "example": 4745}
    )
    rejected = fields.List(
        fields.Nested(RejectedRowSchema),
        required=True,
        metadata={"description": "Rows that were not taken; what was there of their ISBNs stayed as it was."},
    )
