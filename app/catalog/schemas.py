"""What comes in and goes out for the catalogue."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from app.catalog.models import BookSource, UpstreamStatus, VersionOrigin
from app.catalog.queries import AUTHORS, BOOKS, COVER_SIZES, Facet
from app.core.clock import utc_now
from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.schemas import (
    DelimitedItems,
    Flag,
    Items,
    ListArguments,
    Moment,
    StrictSchema,
    Text,
    WholeNumber,
    list_of,
)
from app.core.text import folded

# — reading ————————————————————————————————————————————————————————————————————————————————————————


class BookAuthorSchema(StrictSchema):
    """An author as a book names them."""

    name = fields.String(required=True, metadata={"description": "As the book spells it.", "example": "Frank Herbert"})
    open_library_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The author at Open Library; null: unknown there.", "example": "OL79034A"},
    )


class ContributorSchema(StrictSchema):
    """Somebody who took part in a book without being an author."""

    name = fields.String(
        required=True, metadata={"description": "As the book spells it.", "example": "John Schoenherr"}
    )
    role = fields.String(
        required=True, metadata={"description": "What they did, in the words of the source.", "example": "illustrator"}
    )


class CoverSchema(StrictSchema):
    """Addresses of a cover's image."""

    small = fields.String(
        required=True,
        metadata={"description": "For lists.", "example": "https://covers.openlibrary.org/b/id/11481354-S.jpg"},
    )
    medium = fields.String(
        required=True,
        metadata={
            "description": "For a page about the book.",
            "example": "https://covers.openlibrary.org/b/id/11481354-M.jpg",
        },
    )
    large = fields.String(
        required=True,
        metadata={
            "description": "The largest that Open Library has.",
            "example": "https://covers.openlibrary.org/b/id/11481354-L.jpg",
        },
    )


class LabelsSchema(StrictSchema):
    """What a book is like, and for whom; a label that nobody has given is absent or null."""

    hues = fields.List(
        fields.String(),
        metadata={"description": "Its moods, the strongest first; three at most.", "example": ["dark_suspense"]},
    )
    reading_abilities = fields.List(
        fields.String(), metadata={"description": "How well one must read for it.", "example": ["early"]}
    )
    min_age = fields.Integer(
        allow_none=True, metadata={"description": "Years from which on it is fit for readers.", "example": 8}
    )
    max_age = fields.Integer(
        allow_none=True, metadata={"description": "Years up to which it is fit for readers.", "example": 12}
    )
    summary = fields.String(
        allow_none=True, metadata={"description": "A few words for readers.", "example": "A desert and its spice."}
    )
    recommendable = fields.Boolean(
        allow_none=True, metadata={"description": "Whether it may be recommended.", "example": True}
    )
    origins = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={
            "description": "Who gave each label: `person`, `publisher`, `import`, `model` or `rule`.",
            "example": {"hues": "person"},
        },
    )


class BookSchema(StrictSchema):
    """A book."""

    id = fields.UUID(required=True)
    title = fields.String(
        required=True, metadata={"description": "In the words of the source, or as set by hand.", "example": "Dune"}
    )
    subtitle = fields.String(required=True, allow_none=True, metadata={"description": "Null: none.", "example": None})
    authors = fields.List(
        fields.Nested(BookAuthorSchema), required=True, metadata={"description": "In the order of the source."}
    )
    contributors = fields.List(
        fields.Nested(ContributorSchema),
        required=True,
        metadata={"description": "Illustrators, translators and others."},
    )
    first_publish_year = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "When it first came out; negative: before our era; null: unknown.", "example": 1965},
    )
    description = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Plain text; null: none.", "example": "A desert planet and the spice that all want."},
    )
    subjects = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "In the words of the source.", "example": ["Science fiction"]},
    )
    languages = fields.List(
        fields.String(), required=True, metadata={"description": "MARC codes, of three letters.", "example": ["eng"]}
    )
    publishers = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "In the words of the source.", "example": ["Chilton Books"]},
    )
    isbns = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "As 13 digits; each belongs to one book of the library.",
            "example": ["9780441172719"],
        },
    )
    page_count = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null: unknown.", "example": 541}
    )
    cover = fields.Nested(
        CoverSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Addresses of its image in three sizes; null: no cover is known."},
    )
    cover_id = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The cover's number at Open Library.", "example": 11481354},
    )
    series = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Names of the series it belongs to.", "example": ["Dune"]},
    )
    open_library_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The work at Open Library; null: not from there.", "example": "OL893415W"},
    )
    upstream_status = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([status.value for status in UpstreamStatus]),
        metadata={"description": "What became of the work at Open Library; null: the book is not from there."},
    )
    source = fields.String(
        required=True,
        validate=validate.OneOf([source.value for source in BookSource]),
        metadata={"description": "Where it came from first."},
    )
    labels = fields.Nested(
        LabelsSchema,
        required=True,
        allow_none=True,
        metadata={"description": "What it is like, and for whom; null: nobody has said.", "example": None},
    )
    copies_total = fields.Integer(required=True, metadata={"description": "Copies that the library has.", "example": 3})
    copies_available = fields.Integer(
        required=True, metadata={"description": "Copies of them that can be had now.", "example": 2}
    )
    times_borrowed = fields.Integer(required=True, metadata={"description": "Loans so far.", "example": 17})
    version = fields.Integer(
        required=True, metadata={"description": "The number of its newest version; 1 at first.", "example": 1}
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class EditionSchema(StrictSchema):
    """One ISBN of a book, or an edition without one."""

    id = fields.UUID(required=True)
    isbn = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "13 digits; null: it has none.", "example": "9780441172719"},
    )
    open_library_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The edition at Open Library; null: unknown there.", "example": "OL9526377M"},
    )
    title = fields.String(required=True, allow_none=True, metadata={"description": "Null: unknown.", "example": "Dune"})
    subtitle = fields.String(required=True, allow_none=True, metadata={"description": "Null: none.", "example": None})
    publishers = fields.List(
        fields.String(), required=True, metadata={"description": "As the edition names them.", "example": ["Ace Books"]}
    )
    publish_date = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As printed, in no particular form; null: unknown.", "example": "September 1, 1990"},
    )
    publish_year = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Read from `publish_date`; null: unknown.", "example": 1990},
    )
    languages = fields.List(fields.String(), required=True, metadata={"description": "MARC codes.", "example": ["eng"]})
    page_count = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null: unknown.", "example": 535}
    )
    physical_format = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "In the words of the source; null: unknown.", "example": "Paperback"},
    )
    cover_id = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The number of its cover at Open Library; null: none.", "example": 11481354},
    )


class VersionSchema(StrictSchema):
    """When a book changed, by what, and in which fields."""

    number = fields.Integer(
        required=True, metadata={"description": "1 for the first; counts up within the book.", "example": 1}
    )
    created_at = Moment(required=True)
    origin = fields.String(
        required=True,
        validate=validate.OneOf([origin.value for origin in VersionOrigin]),
        metadata={"description": "What brought it about; `redirect`: another work was merged into this one."},
    )
    changed_fields = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "The fields that differ from the version before.", "example": ["title"]},
    )


class BookDetailSchema(BookSchema):
    """A book with its editions and versions; `overridden` names the fields that were set by hand."""

    overridden = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Fields that were set by hand, which no synchronisation changes.",
            "example": ["title"],
        },
    )
    editions = fields.List(fields.Nested(EditionSchema), required=True, metadata={"description": "All that are known."})
    versions = fields.List(
        fields.Nested(VersionSchema), required=True, metadata={"description": "Every version so far."}
    )


_EARLIEST_YEAR: Final = -3000
_LATEST_YEAR: Final = 9999
# More values of one filter than anybody picks by hand.
_MOST_VALUES: Final = 50


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
        minimum=_EARLIEST_YEAR,
        maximum=_LATEST_YEAR,
        metadata={"description": "First published then or later.", "example": 1950},
    )
    year_to = WholeNumber(
        minimum=_EARLIEST_YEAR,
        maximum=_LATEST_YEAR,
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


BookListSchema = list_of(BookSchema)


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


class CoverArguments(StrictSchema):
    """Which image of a cover."""

    size = Text(
        validate=validate.OneOf(list(COVER_SIZES)),
        load_default="M",
        metadata={"description": "Small, medium or large.", "example": "L"},
    )


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


# — writing ————————————————————————————————————————————————————————————————————————————————————————

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
        minimum=_EARLIEST_YEAR,
        maximum=_LATEST_YEAR,
        validate=_not_far_ahead,
        allow_none=True,
        metadata={"description": "Negative for years before our era.", "example": 1965},
    )
    description = Text(
        max_length=10_000,
        allow_none=True,
        metadata={"description": "Plain text; null clears it.", "example": "A desert planet and its spice."},
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


class ChangeSchema(StrictSchema):
    """How one field differs between two versions."""

    field = fields.String(required=True, metadata={"description": "The field's name in the book.", "example": "title"})
    op = fields.String(
        required=True,
        validate=validate.OneOf(["added", "removed", "changed"]),
        metadata={"description": "`added`: there was none before; `removed`: there is none after."},
    )
    before = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "Its value in `from`; null or an empty list: none.", "example": "Dune"},
    )
    after = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "Its value in `to`; null or an empty list: none.", "example": "Dune, revised"},
    )


class VersionDiffSchema(StrictSchema):
    """What changed from one version to another."""

    from_ = fields.Integer(
        required=True,
        data_key="from",
        metadata={"description": "The number of the version to begin with.", "example": 1},
    )
    to = fields.Integer(required=True, metadata={"description": "The number of the version to end with.", "example": 2})
    changes = fields.List(
        fields.Nested(ChangeSchema),
        required=True,
        metadata={"description": "The fields that differ; empty if none does."},
    )
