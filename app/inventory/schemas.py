"""What updates of stock look like, and the short way to read ten thousand of them.

The schemas say what is acceptable. To load one item by them takes as long as all the rest of its way into the table, so
there is a short way beside: a loop without a call, and one regular expression over the rows that came of it. It takes
what nearly all feeds send, and nothing that the schemas would not; whatever it does not take, they decide. A test draws
items and holds the two against each other.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from marshmallow import Schema, fields

from app.core.schemas import Items, ListArguments, Moment, StrictSchema, Text, WholeNumber, list_of, rfc3339
from app.inventory.models import LONGEST_PRODUCT_ID, MOST_QUANTITY, Row

MOST_ITEMS: Final = 10_000
MOST_PRODUCTS: Final = 500
MOST_OFFSET: Final = 10_000
# Of an item with its three fields, two of them texts.
_QUOTES: Final = 10


def _product_id(**options: Any) -> Text:
    metadata = {"description": "The product, in the words of who keeps the stock.", "example": "SKU-1042"}
    return Text(max_length=LONGEST_PRODUCT_ID, required=True, metadata=metadata, **options)


class NewUpdateSchema(StrictSchema):
    """How many of a product there were at a time."""

    product_id = _product_id()
    quantity = WholeNumber(
        minimum=0,
        maximum=MOST_QUANTITY,
        required=True,
        metadata={"description": "How many there were: 2^63 − 1 at most.", "example": 12},
    )
    timestamp = Moment(
        required=True,
        metadata={
            "description": "When that was counted: any time, past or future, with its offset from UTC.",
            "example": "2026-01-31T09:30:00Z",
        },
    )


class NewUpdatesSchema(StrictSchema):
    """Updates that are written together."""

    items = Items(
        fields.Nested(NewUpdateSchema),
        least=1,
        most=MOST_ITEMS,
        required=True,
        metadata={"description": "The updates, in any order."},
    )

    item: Schema = NewUpdateSchema()

    def load(self, data: Any, **options: Any) -> list[list[Row]]:
        """One batch of rows, for `service.record_updates`."""
        items = data.get("items") if isinstance(data, dict) and len(data) == 1 else None
        if isinstance(items, list) and 0 < len(items) <= MOST_ITEMS:
            rows = _rows_of(items)
            if rows is not None:
                return [rows]
        loaded = cast("dict[str, Any]", super().load(data, **options))
        return [[self.row_of(item) for item in loaded["items"]]]

    def shows_each_key_once(self, value: Any, body: bytes) -> bool:
        """True where there are as few quotation marks as acceptable items take without any key twice.

        Where one has a key twice and the number fits all the same, another has too few fields: that is refused as well.
        """
        items = value.get("items") if isinstance(value, dict) else None
        return isinstance(items, list) and body.count(b'"') == len('""') + _QUOTES * len(items)

    def rows_of(self, items: list[Any], quotes: int) -> list[Row] | None:
        """The rows of lines; None where one of them is not as usual, or might have a key twice."""
        return _rows_of(items) if quotes == _QUOTES * len(items) else None

    def row_of(self, item: dict[str, Any]) -> Row:
        """The row of a loaded item."""
        return item["product_id"], rfc3339(item["timestamp"]), item["quantity"]


def _rows_of(items: list[Any]) -> list[Row] | None:
    """The rows of items that are as usual; None where one is not."""
    try:
        rows = [
            (product_id, moment, quantity)
            for item in items
            if len(item) == 3  # noqa: PLR2004 - those below
            and type(product_id := item["product_id"]) is str
            and type(moment := item["timestamp"]) is str
            and type(quantity := item["quantity"]) is int
        ]
    except (KeyError, TypeError, IndexError):
        return None
    together = "".join([f"{product_id}\t{moment}\t{quantity}\n" for product_id, moment, quantity in rows])
    # The last one: a product with the end of a row in it would pass for two rows.
    is_usual = len(rows) == len(items) and _ROWS.fullmatch(together) and together.count("\n") == len(rows)
    return rows if is_usual else None


# What most products are called by: letters of some scripts, digits and signs. Nothing that nobody sees, no spaces but
# the common one, and none first.
_FIRST: Final = r"!-\[\]-~\u00c0-\u024f\u0391-\u03c9\u0410-\u044f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"
_DAY: Final = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
# Leap days of years that end with 00 are left out.
_DATE: Final = rf"(?:[12]\d{{3}}-{_DAY}|[12]\d(?:0[48]|[2468][048]|[13579][26])-02-29)"
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
# Eighteen digits are fewer than 2^63 has.
_QUANTITY: Final = r"(?:0|[1-9]\d{0,17})"
_ROWS: Final = re.compile(
    rf"(?:[{_FIRST}][ {_FIRST}]{{0,{LONGEST_PRODUCT_ID - 1}}}+\t{_DATE}T{_TIME}\t{_QUANTITY}\n)*+", re.ASCII
)


class RecordedSchema(StrictSchema):
    """What was written."""

    inserted = fields.Integer(
        required=True, metadata={"description": "The number of updates that were written.", "example": 1}
    )


class UpdateSchema(StrictSchema):
    """How many of a product there were at a time, as it was written down."""

    id = fields.UUID(required=True, metadata={"description": "The id of the update."})
    product_id = _product_id()
    quantity = fields.Integer(required=True, metadata={"description": "How many there were.", "example": 12})
    timestamp = Moment(required=True, metadata={"description": "When that was counted."})
    created_at = Moment(required=True, metadata={"description": "When it was written down."})


class UpdateListArguments(ListArguments):
    """A product, and from when to when."""

    product_id = _product_id()
    start = Moment(metadata={"description": "Not before this time.", "example": "2026-01-01T00:00:00Z"})
    end = Moment(metadata={"description": "Not after this time; it is included.", "example": "2026-01-31T23:59:59Z"})
    offset = WholeNumber(
        minimum=0,
        maximum=MOST_OFFSET,
        load_default=0,
        metadata={
            "description": "Passes over so many, instead of `cursor`; for more, narrow the time or go by `cursor`.",
            "example": 50,
        },
    )


class UpdateListSchema(list_of(UpdateSchema)):  # type: ignore[misc]  # a class that is made
    """One page of a product's updates."""

    count = fields.Integer(required=True, metadata={"description": "The number of items on this page.", "example": 1})
    limit = fields.Integer(required=True, metadata={"description": "The most there could be.", "example": 50})
    offset = fields.Integer(required=True, metadata={"description": "How many were passed over.", "example": 0})


class LatestArguments(StrictSchema):
    """Whose newest quantities are asked for."""

    product_id = Items(
        Text(max_length=LONGEST_PRODUCT_ID),
        least=1,
        most=MOST_PRODUCTS,
        required=True,
        metadata={"description": "The products, the parameter repeated for each.", "example": ["SKU-1042"]},
    )


class LatestSchema(StrictSchema):
    """The newest update of each product."""

    items = fields.List(
        fields.Nested(UpdateSchema),
        required=True,
        metadata={"description": "In the order in which they were asked for, without those that have no update."},
    )
