"""A book, its editions and its versions, as they are answered."""

from __future__ import annotations

from marshmallow import fields, validate

from app.catalog.models import BookSource, UpstreamStatus, VersionOrigin
from app.core.schemas import Moment, StrictSchema, list_of


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


BookListSchema = list_of(BookSchema)


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
