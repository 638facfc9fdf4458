"""Authors: what their list is asked with, and how they are answered."""

from __future__ import annotations

from marshmallow import ValidationError, fields, validate

from app.catalog.queries import AUTHORS
from app.core.schemas import ListArguments, StrictSchema, Text, list_of
from app.core.text import folded


def _with_letters(text: str) -> None:
    if not folded(text):
        raise ValidationError("Must hold a letter or a digit.")


class AuthorListArguments(ListArguments):
    """Filter and order of the list of authors."""

    q = Text(
        max_length=200,
        validate=_with_letters,
        metadata={"description": "How the name begins; case and accents don't count.", "example": "Frank"},
    )
    sort = Text(validate=validate.OneOf(AUTHORS.sort_names), load_default=AUTHORS.default_sort)


class AuthorSchema(StrictSchema):
    """An author of books of the library."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"example": "Frank Herbert"})
    open_library_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The author at Open Library; null: unknown there.", "example": "OL79034A"},
    )
    book_count = fields.Integer(
        required=True, metadata={"description": "Books of the library that name them as an author.", "example": 3}
    )


AuthorListSchema = list_of(AuthorSchema)
