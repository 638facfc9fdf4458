"""What is in a collection, as it is asked for and answered."""

from __future__ import annotations

from marshmallow import fields

from app.catalog.schemas import BookAuthorSchema, CoverSchema, Isbn
from app.core.schemas import Flag, ListArguments, Moment, StrictSchema, Text, list_of


class ItemSchema(StrictSchema):
    """An edition in a collection, by its ISBN, with the book that it is of where the catalogue knows it."""

    isbn = fields.String(required=True, metadata={"description": "ISBN-13.", "example": "9780441172719"})
    book_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The book; null while the catalogue has none with this ISBN."},
    )
    title = fields.String(
        required=True, allow_none=True, metadata={"description": "The book's title.", "example": "Dune"}
    )
    subtitle = fields.String(
        required=True, allow_none=True, metadata={"description": "The book's subtitle.", "example": None}
    )
    authors = fields.List(
        fields.Nested(BookAuthorSchema),
        required=True,
        allow_none=True,
        metadata={"description": "Who wrote it; null like the title."},
    )
    cover = fields.Nested(
        CoverSchema, required=True, allow_none=True, metadata={"description": "Where the images of its cover are."}
    )
    copies_total = fields.Integer(required=True, metadata={"description": "Copies that there are.", "example": 3})
    copies_available = fields.Integer(
        required=True, metadata={"description": "Copies of these to be had now.", "example": 2}
    )
    info = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "As it was sent: a text or an object.", "example": {"shelf": "SF HER"}},
    )
    updated_at = Moment(required=True)


class ItemListSchema(list_of(ItemSchema)):  # type: ignore[misc]  # a class that is made when the module is read
    """One page of what is in a collection, and when that last changed."""

    updated_at = Moment(
        required=True,
        metadata={
            "description": "When the collection, or anything in it, last changed.",
            "example": "2026-01-31T09:30:00Z",
        },
    )


class ItemListArguments(ListArguments):
    """What the items of a collection can be narrowed by; they come in the order of their ISBNs."""

    q = Text(
        max_length=200,
        metadata={
            "description": "All words must be found in the book, as in a search of the catalogue; of the last one, its "
            "beginning is enough. Items that the catalogue has no book of are found by `isbn` alone.",
            "example": "dune",
        },
    )
    isbn = Isbn()
    available = Flag(metadata={"description": "With a copy to be had now, or without.", "example": True})
    book_id = fields.UUID(metadata={"description": "Editions of this book."})


class StatisticsSchema(StrictSchema):
    """What a collection amounts to."""

    editions = fields.Integer(required=True, metadata={"description": "Items, one for each ISBN.", "example": 4800})
    copies_total = fields.Integer(required=True, metadata={"description": "Copies of all of them.", "example": 5210})
    copies_available = fields.Integer(
        required=True, metadata={"description": "Copies of these to be had now.", "example": 4655}
    )
    known = fields.Integer(
        required=True, metadata={"description": "Items that the catalogue has a book of.", "example": 4731}
    )
    labelled = fields.Integer(required=True, metadata={"description": "Items whose book has labels.", "example": 1200})
