"""What labels look like when they are given, and what is answered."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate, validates_schema

from app.catalog.schemas import LabelsSchema
from app.core.schemas import Flag, Items, StrictSchema, Text, WholeNumber
from app.labels.models import LONGEST_SUMMARY, MOST_HUES, MOST_ITEMS, OLDEST_READER, Hue, Origin, RowFault
from app.members.models import ReadingAbility

_OF_EACH_KIND = "Leave it out to leave it as it is; null takes it away."


def _words(kind: type[Hue | ReadingAbility], *, most: int, description: str, example: list[str]) -> Items:
    one = Text(validate=validate.OneOf([word.value for word in kind]))
    metadata = {"description": f"{description} {_OF_EACH_KIND}", "example": example, "uniqueItems": True}
    return Items(one, most=most, allow_none=True, validate=_each_once, metadata=metadata)


def _each_once(words: list[str]) -> None:
    if len(set(words)) < len(words):
        raise ValidationError("Name each only once.")


def _age(description: str, example: int) -> WholeNumber:
    metadata = {"description": f"{description} {_OF_EACH_KIND}", "example": example}
    return WholeNumber(minimum=0, maximum=OLDEST_READER, allow_none=True, metadata=metadata)


class NewLabelsSchema(StrictSchema):
    """Labels for a book, and who gives them."""

    origin = Text(
        required=True,
        validate=validate.OneOf([origin.value for origin in Origin]),
        metadata={
            "description": "Who gives them. Labels of a heavier origin stay: `person`, `publisher`, `import`, `model`, "
            "`rule`, in this order.",
            "example": "person",
        },
    )
    hues = _words(
        Hue, most=MOST_HUES, description="Its moods, the strongest first; three at most.", example=["dark_suspense"]
    )
    reading_abilities = _words(
        ReadingAbility,
        most=len(ReadingAbility),
        description="How well one must read for it.",
        example=["transitional"],
    )
    min_age = _age("Years from which on it is fit for readers.", 8)
    max_age = _age("Years up to which it is fit for readers.", 12)
    summary = Text(
        max_length=LONGEST_SUMMARY,
        lines=True,
        allow_none=True,
        metadata={"description": f"A few words for readers. {_OF_EACH_KIND}", "example": "A desert and its spice."},
    )
    recommendable = Flag(
        allow_none=True,
        metadata={"description": f"Whether it may be recommended. {_OF_EACH_KIND}", "example": True},
    )


class NewBookLabelsSchema(NewLabelsSchema):
    """The same for one book of many, by its id or one of its ISBNs."""

    exactly_one_of: ClassVar[tuple[str, ...]] = ("book_id", "isbn")

    book_id = fields.UUID(metadata={"description": "The book."})
    isbn = Text(
        max_length=40,
        metadata={"description": "An ISBN of the book, 10 or 13 digits, hyphens allowed.", "example": "9780441172719"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _check_book(self, data: dict[str, Any], **_: Any) -> None:
        if sum(name in data for name in self.exactly_one_of) != 1:
            raise ValidationError("Give exactly one of book_id and isbn.")


class BulkLabelsSchema(StrictSchema):
    """Labels for many books."""

    items = Items(
        fields.Nested(NewBookLabelsSchema),
        least=1,
        most=MOST_ITEMS,
        required=True,
        metadata={"description": "The books and their labels; a book may be named once."},
    )


_KEPT = {"description": "Labels that were not set: a heavier origin has given them.", "example": ["hues"]}


class GivenLabelsSchema(StrictSchema):
    """What a book's labels are now."""

    labels = fields.Nested(
        LabelsSchema, required=True, allow_none=True, metadata={"description": "All of them; null: there are none."}
    )
    kept = fields.List(fields.String(), required=True, metadata=_KEPT)


class BulkResultSchema(StrictSchema):
    """What became of one item."""

    index = fields.Integer(required=True, metadata={"description": "Which item, from 0 on.", "example": 0})
    status = fields.String(
        required=True,
        validate=validate.OneOf(["updated", "rejected"]),
        metadata={"description": "`updated`: all but what is kept now is as the item says."},
    )
    kept = fields.List(fields.String(), required=True, metadata=_KEPT)
    code = fields.String(
        validate=validate.OneOf([fault.value for fault in RowFault]),
        metadata={"description": "Why it was rejected.", "example": "unknown_book"},
    )


class BulkResultsSchema(StrictSchema):
    """What became of the items."""

    results = fields.List(
        fields.Nested(BulkResultSchema), required=True, metadata={"description": "In the order of the items."}
    )
