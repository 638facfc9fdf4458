"""What is written: books by hand, changes, overrides lifted."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from app.catalog.schemas.values import EARLIEST_YEAR, LATEST_YEAR, Isbn
from app.core.clock import utc_now
from app.core.schemas import Items, StrictSchema, Text, WholeNumber

# Books are announced some years before they come out.
_YEARS_AHEAD: Final = 6
_MOST_ENTRIES: Final = 100
_MOST_SUBJECTS: Final = 200
_MOST_ISBNS: Final = 500
_NAME_LENGTH: Final = 300


def _not_far_ahead(year: int) -> None:
    latest = utc_now().year + _YEARS_AHEAD
    if year > latest:
        raise ValidationError(f"Must be {latest} at the latest.")


class IsbnList(Items):
    """ISBNs in their order; the same number twice, in one form or the other, counts once."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's arguments."""
        super().__init__(Isbn(), most=_MOST_ISBNS, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str | None]:
        return list(dict.fromkeys(super()._deserialize(value, attr, data, **kwargs)))


class NewAuthorSchema(StrictSchema):
    """An author to be named by a book."""

    name = Text(
        max_length=_NAME_LENGTH,
        required=True,
        metadata={"description": "As the book spells it.", "example": "Frank Herbert"},
    )
    open_library_key = Text(
        validate=validate.Regexp(r"^OL[0-9]{1,12}A\Z", error="Must be an author's key such as OL79034A."),
        allow_none=True,
        load_default=None,
        metadata={"description": "The author at Open Library; null or absent: unknown there.", "example": "OL79034A"},
    )


class NewContributorSchema(StrictSchema):
    """Somebody else who took part in a book."""

    name = Text(
        max_length=_NAME_LENGTH,
        required=True,
        metadata={"description": "As the book spells it.", "example": "John Schoenherr"},
    )
    role = Text(
        max_length=60,
        load_default="contributor",
        metadata={"description": "What they did, in a word or two.", "example": "illustrator"},
    )


def _texts(most: int, told: str, **bounds: Any) -> Items:
    metadata = {"description": f"{told}; null clears them."}
    return Items(Text(**bounds), most=most, allow_none=True, metadata=metadata)


class BookChangesSchema(StrictSchema):
    """What may be changed of a book: what is absent stays, null clears a field."""

    title = Text(max_length=500, metadata={"description": "Can't be cleared.", "example": "Dune"})
    subtitle = Text(max_length=500, allow_none=True, metadata={"description": "Null clears it.", "example": "A novel"})
    authors = Items(
        fields.Nested(NewAuthorSchema),
        least=1,
        most=_MOST_ENTRIES,
        metadata={"description": "All of them, in their order."},
    )
    contributors = Items(
        fields.Nested(NewContributorSchema),
        most=_MOST_ENTRIES,
        allow_none=True,
        metadata={"description": "All of them: illustrators, translators and others; null clears them."},
    )
    first_publish_year = WholeNumber(
        minimum=EARLIEST_YEAR,
        maximum=LATEST_YEAR,
        validate=_not_far_ahead,
        allow_none=True,
        metadata={"description": "Negative for years before our era.", "example": 1965},
    )
    description = Text(
        max_length=10_000,
        lines=True,
        allow_none=True,
        metadata={
            "description": "Plain text, in lines where you like; null clears it.",
            "example": "A desert planet and its spice.",
        },
    )
    subjects = _texts(_MOST_SUBJECTS, "All of them", max_length=200, metadata={"example": "Science fiction"})
    languages = _texts(
        _MOST_ENTRIES,
        "All of them, as MARC codes",
        max_length=3,
        validate=validate.Regexp(r"^[a-z]{3}\Z", error="Must be three letters (MARC), such as eng."),
        metadata={"example": "eng"},
    )
    publishers = _texts(_MOST_ENTRIES, "All of them", max_length=_NAME_LENGTH, metadata={"example": "Chilton Books"})
    isbns = IsbnList(
        allow_none=True,
        metadata={"description": "All of them, ISBN-10 or ISBN-13; kept as 13 digits; null clears them."},
    )
    page_count = WholeNumber(
        minimum=1, maximum=100_000, allow_none=True, metadata={"description": "Null clears it.", "example": 541}
    )
    cover_id = WholeNumber(
        minimum=1,
        maximum=2_147_483_647,
        allow_none=True,
        metadata={"description": "The cover's number at Open Library.", "example": 11481354},
    )
    series = _texts(_MOST_ENTRIES, "All that it belongs to", max_length=_NAME_LENGTH, metadata={"example": "Dune"})


class NewBookSchema(BookChangesSchema):
    """A book to be made by hand; what is absent or null is left empty."""

    title = Text(
        max_length=500,
        required=True,
        metadata={"description": "The only field needed beside `authors`.", "example": "Dune"},
    )
    authors = Items(
        fields.Nested(NewAuthorSchema),
        least=1,
        most=_MOST_ENTRIES,
        required=True,
        metadata={"description": "At least one, in their order."},
    )


def _lifted(name: str) -> fields.Raw:
    """Null, and nothing else: the field goes back to what the source tells."""
    must_be_null = validate.OneOf([None], error="Must be null, which lifts the override.")
    told = f"Null lifts the override of `{name}`."
    return fields.Raw(allow_none=True, validate=must_be_null, metadata={"description": told})


OverridesSchema = StrictSchema.from_dict(
    {name: _lifted(name) for name in BookChangesSchema().fields}, name="LiftedOverrides"
)
OverridesSchema.__doc__ = "The fields whose override is lifted."


class BookPatchSchema(BookChangesSchema):
    """Fields to set by hand, and overrides to lift."""

    overrides = fields.Nested(
        OverridesSchema,
        metadata={
            "description": "Fields whose override is to be lifted, each as null.",
            "example": {"title": None},
        },
    )
