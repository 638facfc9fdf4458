"""What a search answers."""

from __future__ import annotations

from marshmallow import fields

from app.catalog.schemas.books import BookSchema
from app.core.schemas import StrictSchema, list_of


class HighlightsSchema(StrictSchema):
    """The texts in which the words were found, as HTML: escaped, with `<mark>` around the words and no other tag."""

    title = fields.String(metadata={"description": "Absent: no word is in it.", "example": "<mark>Dune</mark>"})
    subtitle = fields.String(
        metadata={"description": "Absent: no word is in it.", "example": "The story of <mark>Dune</mark>"}
    )
    authors = fields.List(
        fields.String(),
        metadata={"description": "Those with a word in them; absent: none.", "example": ["Frank <mark>Herbert</mark>"]},
    )
    series = fields.List(
        fields.String(),
        metadata={"description": "Those with a word in them; absent: none.", "example": ["<mark>Dune</mark>"]},
    )
    subjects = fields.List(
        fields.String(),
        metadata={
            "description": "Those with a word in them; absent: none.",
            "example": ["<mark>Dune</mark> (Imaginary place)"],
        },
    )


class FoundBookSchema(BookSchema):
    """A book, how well it fits, and where the words were found."""

    score = fields.Float(required=True, metadata={"description": "Greater is better.", "example": 1.2})
    highlights = fields.Nested(
        HighlightsSchema,
        required=True,
        metadata={
            "description": "Where the words were found.",
            "example": {"title": "<mark>Dune</mark>", "authors": ["Frank <mark>Herbert</mark>"]},
        },
    )


class TermCountSchema(StrictSchema):
    """How many of the matches have a value."""

    value = fields.String(
        required=True, metadata={"description": "As the filter of the same name takes it.", "example": "Frank Herbert"}
    )
    count = fields.Integer(required=True, metadata={"description": "Matches that have it.", "example": 3})


class YearCountSchema(StrictSchema):
    """How many of the matches were first published in a year."""

    value = fields.Integer(required=True, metadata={"description": "The year.", "example": 1965})
    count = fields.Integer(required=True, metadata={"description": "Matches first published then.", "example": 3})


class FacetsSchema(StrictSchema):
    """The facets that were asked for, each with its commonest values, over all matches that `total` counts."""

    author = fields.List(fields.Nested(TermCountSchema), metadata={"description": "By author's name."})
    subject = fields.List(fields.Nested(TermCountSchema), metadata={"description": "By subject."})
    language = fields.List(fields.Nested(TermCountSchema), metadata={"description": "By language, as MARC codes."})
    year = fields.List(fields.Nested(YearCountSchema), metadata={"description": "By year of first publication."})


class BookSearchSchema(list_of(FoundBookSchema)):  # type: ignore[misc]  # a class made at run time
    """One page of the books that were found, the best first."""

    facets = fields.Nested(
        FacetsSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Null where none was asked for.",
            "example": {"author": [{"value": "Frank Herbert", "count": 1}], "year": [{"value": 1965, "count": 1}]},
        },
    )
