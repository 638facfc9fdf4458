"""What comes in and goes out for the catalogue."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from app.catalog.models import BookSource, UpstreamStatus, VersionOrigin
from app.core.clock import utc_now
from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.schemas import Moment, StrictSchema, Text, WholeNumber

# — reading ————————————————————————————————————————————————————————————————————————————————————————


class BookAuthorSchema(StrictSchema):
    """An author as a book names them."""

    name = fields.String(required=True, metadata={"example": "Frank Herbert"})
    open_library_key = fields.String(required=True, allow_none=True, metadata={"example": "OL79034A"})


class ContributorSchema(StrictSchema):
    """Somebody who took part in a book without being an author."""

    name = fields.String(required=True, metadata={"example": "John Schoenherr"})
    role = fields.String(required=True, metadata={"example": "illustrator"})


class CoverSchema(StrictSchema):
    """Addresses of a cover's image."""

    small = fields.String(required=True, metadata={"example": "https://covers.openlibrary.org/b/id/11481354-S.jpg"})
    medium = fields.String(required=True)
    large = fields.String(required=True)


class BookSchema(StrictSchema):
    """A book."""

    id = fields.UUID(required=True)
    title = fields.String(required=True, metadata={"example": "Dune"})
    subtitle = fields.String(required=True, allow_none=True)
    authors = fields.List(fields.Nested(BookAuthorSchema), required=True)
    contributors = fields.List(fields.Nested(ContributorSchema), required=True)
    first_publish_year = fields.Integer(required=True, allow_none=True, metadata={"example": 1965})
    description = fields.String(required=True, allow_none=True)
    subjects = fields.List(fields.String(), required=True, metadata={"example": ["Science fiction"]})
    languages = fields.List(fields.String(), required=True, metadata={"example": ["eng"]})
    publishers = fields.List(fields.String(), required=True, metadata={"example": ["Chilton Books"]})
    isbns = fields.List(fields.String(), required=True, metadata={"example": ["9780441172719"]})
    page_count = fields.Integer(required=True, allow_none=True, metadata={"example": 541})
    cover = fields.Nested(CoverSchema, required=True, allow_none=True)
    cover_id = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The cover's number at Open Library."}
    )
    series = fields.List(fields.String(), required=True)
    open_library_key = fields.String(required=True, allow_none=True, metadata={"example": "OL893415W"})
    upstream_status = fields.String(
        required=True, allow_none=True, validate=validate.OneOf([status.value for status in UpstreamStatus])
    )
    source = fields.String(required=True, validate=validate.OneOf([source.value for source in BookSource]))
    labels = fields.Dict(required=True, allow_none=True)
    copies_total = fields.Integer(required=True)
    copies_available = fields.Integer(required=True)
    times_borrowed = fields.Integer(required=True)
    version = fields.Integer(required=True, metadata={"example": 1})
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class EditionSchema(StrictSchema):
    """One ISBN of a book, or an edition without one."""

    id = fields.UUID(required=True)
    isbn = fields.String(required=True, allow_none=True, metadata={"example": "9780441172719"})
    open_library_key = fields.String(required=True, allow_none=True, metadata={"example": "OL9526377M"})
    title = fields.String(required=True, allow_none=True)
    subtitle = fields.String(required=True, allow_none=True)
    publishers = fields.List(fields.String(), required=True)
    publish_date = fields.String(required=True, allow_none=True, metadata={"example": "September 1, 1990"})
    publish_year = fields.Integer(required=True, allow_none=True, metadata={"example": 1990})
    languages = fields.List(fields.String(), required=True)
    page_count = fields.Integer(required=True, allow_none=True)
    physical_format = fields.String(required=True, allow_none=True, metadata={"example": "Paperback"})
    cover_id = fields.Integer(required=True, allow_none=True)


class VersionSchema(StrictSchema):
    """When a book changed, by what, and in which fields."""

    number = fields.Integer(required=True, metadata={"example": 1})
    created_at = Moment(required=True)
    origin = fields.String(required=True, validate=validate.OneOf([origin.value for origin in VersionOrigin]))
    changed_fields = fields.List(fields.String(), required=True, metadata={"example": ["title"]})


class BookDetailSchema(BookSchema):
    """A book with its editions and versions; `overridden` names the fields that were set by hand."""

    overridden = fields.List(fields.String(), required=True, metadata={"example": ["title"]})
    editions = fields.List(fields.Nested(EditionSchema), required=True)
    versions = fields.List(fields.Nested(VersionSchema), required=True)


# — writing ————————————————————————————————————————————————————————————————————————————————————————

_EARLIEST_YEAR: Final = -3000
_LATEST_YEAR: Final = 9999
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


class Isbn(Text):
    """An ISBN-10 or ISBN-13, hyphens and spaces allowed; kept as the thirteen digits."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's arguments."""
        super().__init__(max_length=40, metadata={"example": "9780441172719"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return normalize_isbn(super()._deserialize(value, attr, data, **kwargs))
        except InvalidIsbn as error:
            raise ValidationError(str(error)) from error


class IsbnList(fields.List[str]):
    """ISBNs in their order; the same number twice, in one form or the other, counts once."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's arguments."""
        super().__init__(Isbn(), validate=validate.Length(max=_MOST_ISBNS), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str | None]:
        if isinstance(value, list) and len(value) > _MOST_ISBNS:
            raise ValidationError(f"Must be {_MOST_ISBNS} at most.")
        return list(dict.fromkeys(super()._deserialize(value, attr, data, **kwargs)))


class NewAuthorSchema(StrictSchema):
    """An author to be named by a book."""

    name = Text(max_length=_NAME_LENGTH, required=True, metadata={"example": "Frank Herbert"})
    open_library_key = Text(
        validate=validate.Regexp(r"^OL[0-9]{1,12}A\Z", error="Must be an author's key such as OL79034A."),
        allow_none=True,
        load_default=None,
        metadata={"example": "OL79034A"},
    )


class NewContributorSchema(StrictSchema):
    """Somebody else who took part in a book."""

    name = Text(max_length=_NAME_LENGTH, required=True, metadata={"example": "John Schoenherr"})
    role = Text(max_length=60, load_default="contributor", metadata={"example": "illustrator"})


def _texts(most: int, **bounds: Any) -> fields.List[str]:
    return fields.List(Text(**bounds), validate=validate.Length(max=most), allow_none=True)


class BookChangesSchema(StrictSchema):
    """What may be changed of a book: what is absent stays, null clears a field."""

    title = Text(max_length=500, metadata={"example": "Dune"})
    subtitle = Text(max_length=500, allow_none=True, metadata={"example": "A novel"})
    authors = fields.List(fields.Nested(NewAuthorSchema), validate=validate.Length(min=1, max=_MOST_ENTRIES))
    contributors = fields.List(
        fields.Nested(NewContributorSchema), validate=validate.Length(max=_MOST_ENTRIES), allow_none=True
    )
    first_publish_year = WholeNumber(
        minimum=_EARLIEST_YEAR,
        maximum=_LATEST_YEAR,
        validate=_not_far_ahead,
        allow_none=True,
        metadata={"description": "Negative for years before our era.", "example": 1965},
    )
    description = Text(max_length=10_000, allow_none=True, metadata={"example": "A desert planet and its spice."})
    subjects = _texts(_MOST_SUBJECTS, max_length=200, metadata={"example": "Science fiction"})
    languages = _texts(
        _MOST_ENTRIES,
        max_length=3,
        validate=validate.Regexp(r"^[a-z]{3}\Z", error="Must be three letters (MARC), such as eng."),
        metadata={"example": "eng"},
    )
    publishers = _texts(_MOST_ENTRIES, max_length=_NAME_LENGTH, metadata={"example": "Chilton Books"})
    isbns = IsbnList(allow_none=True)
    page_count = WholeNumber(minimum=1, maximum=100_000, allow_none=True, metadata={"example": 541})
    cover_id = WholeNumber(
        minimum=1,
        maximum=2_147_483_647,
        allow_none=True,
        metadata={"description": "The cover's number at Open Library.", "example": 11481354},
    )
    series = _texts(_MOST_ENTRIES, max_length=_NAME_LENGTH, metadata={"example": "Dune"})


class NewBookSchema(BookChangesSchema):
    """A book to be made by hand; what is absent or null is left empty."""

    title = Text(max_length=500, required=True, metadata={"example": "Dune"})
    authors = fields.List(
        fields.Nested(NewAuthorSchema), validate=validate.Length(min=1, max=_MOST_ENTRIES), required=True
    )


def _lifted() -> fields.Raw:
    """Null, and nothing else: the field goes back to what the source tells."""
    return fields.Raw(allow_none=True, validate=validate.OneOf([None], error="Must be null, which lifts the override."))


OverridesSchema = StrictSchema.from_dict(
    {name: _lifted() for name in BookChangesSchema().fields}, name="LiftedOverrides"
)


class BookPatchSchema(BookChangesSchema):
    """Fields to set by hand, and overrides to lift."""

    overrides = fields.Nested(
        OverridesSchema,
        metadata={
            "description": "Fields whose override is to be lifted, each as null.",
            "example": {"title": None},
        },
    )


class ChangeSchema(StrictSchema):
    """How one field differs between two versions."""

    field = fields.String(required=True, metadata={"example": "title"})
    op = fields.String(required=True, validate=validate.OneOf(["added", "removed", "changed"]))
    before = fields.Raw(required=True, allow_none=True, metadata={"example": "Dune"})
    after = fields.Raw(required=True, allow_none=True, metadata={"example": "Dune, revised"})


class VersionDiffSchema(StrictSchema):
    """What changed from one version to another."""

    from_ = fields.Integer(required=True, data_key="from", metadata={"example": 1})
    to = fields.Integer(required=True, metadata={"example": 2})
    changes = fields.List(fields.Nested(ChangeSchema), required=True)
