"""What lists and searches of books, and covers, are asked with."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from app.catalog.models import BookSource
from app.catalog.queries import BOOKS, COVER_SIZES, Facet
from app.catalog.schemas.values import EARLIEST_YEAR, LATEST_YEAR, Isbn
from app.core.schemas import DelimitedItems, Flag, Items, ListArguments, StrictSchema, Text, WholeNumber

# More values of one filter than anybody picks by hand.
_MOST_VALUES: Final = 50


def _some(field: fields.Field[Any], **metadata: Any) -> Items:
    return Items(field, most=_MOST_VALUES, metadata=metadata)


class BookFilters(StrictSchema):
    """What list and search of books can be narrowed by; several values of one filter widen it."""

    author = _some(
        Text(max_length=300),
        description="Whole names, single words of names, Open Library keys or ids; case and accents don't count.",
        example=["Frank Herbert"],
    )
    contributor = _some(
        Text(max_length=300), description="Names of illustrators, translators and others.", example=["John Schoenherr"]
    )
    series = _some(Text(max_length=300), description="Names of series.", example=["Dune"])
    subject = _some(Text(max_length=300), description="Subjects.", example=["Science fiction"])
    language = _some(Text(max_length=20), description="Languages, as MARC codes.", example=["eng"])
    isbn = _some(Isbn(), description="ISBN-10 or ISBN-13.", example=["9780441172719"])
    year_from = WholeNumber(
        minimum=EARLIEST_YEAR,
        maximum=LATEST_YEAR,
        metadata={"description": "First published then or later.", "example": 1950},
    )
    year_to = WholeNumber(
        minimum=EARLIEST_YEAR,
        maximum=LATEST_YEAR,
        metadata={"description": "First published then or earlier.", "example": 1999},
    )
    available = Flag(metadata={"description": "With a copy to be had now, or without.", "example": True})
    source = _some(
        Text(validate=validate.OneOf([source.value for source in BookSource])), description="Where books came from."
    )
    label = _some(Text(max_length=60), description="Hues or reading abilities.", example=["dark_suspense"])


class BookListArguments(BookFilters, ListArguments):
    """Filters and order of the list of books."""

    sort = Text(validate=validate.OneOf(BOOKS.sort_names), load_default=BOOKS.default_sort)


def _two_characters(text: str) -> None:
    if len(text.strip()) < 2:  # noqa: PLR2004
        raise ValidationError("Must have at least 2 characters.")


class BookSearchArguments(BookFilters, ListArguments):
    """What to search for, and within what."""

    q = Text(
        max_length=200,
        required=True,
        validate=_two_characters,
        metadata={
            "description": "All words must be found, each in title, subtitle, authors, series or subjects; of the last "
            "one, its beginning is enough.",
            "example": "dune herbert",
        },
    )
    facets = DelimitedItems(
        Text(validate=validate.OneOf([facet.value for facet in Facet])),
        most=_MOST_VALUES,
        load_default=[],
        metadata={"description": "What to count the matches by, with commas between.", "example": ["author", "year"]},
    )


class CoverArguments(StrictSchema):
    """Which image of a cover."""

    size = Text(
        validate=validate.OneOf(list(COVER_SIZES)),
        load_default="M",
        metadata={"description": "Small, medium or large.", "example": "L"},
    )
