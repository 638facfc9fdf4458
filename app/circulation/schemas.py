"""What comes in and goes out for circulation."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate, validates_schema

from app.catalog.schemas import BookSchema
from app.circulation.models import HoldStatus, LoanStatus
from app.circulation.queries import HOLDS, LOANS, PERIODS
from app.core.schemas import ListArguments, Moment, StrictSchema, Text, WholeNumber, list_of
from app.holdings.schemas import BARCODE

_TITLE = {"description": "Of the book.", "example": "Dune"}


class NewLoanSchema(StrictSchema):
    """A copy to be lent: exactly one of `barcode`, `copy_id` and `book_id` says which."""

    exactly_one_of: ClassVar[tuple[str, ...]] = ("barcode", "copy_id", "book_id")

    reader_id = fields.UUID(required=True, metadata={"description": "Who takes it, a reader or a student."})
    barcode = Text(
        max_length=64, validate=BARCODE, metadata={"description": "Of the copy.", "example": "31205004567890"}
    )
    copy_id = fields.UUID(metadata={"description": "The copy."})
    book_id = fields.UUID(metadata={"description": "The book, of which any free copy will do."})

    @validates_schema(skip_on_field_errors=True)
    def _check_one_copy(self, data: dict[str, Any], **_: Any) -> None:
        if sum(name in data for name in self.exactly_one_of) != 1:
            raise ValidationError("Give exactly one of barcode, copy_id and book_id.")


class LoanSchema(StrictSchema):
    """What a reader has, or had, and until when."""

    id = fields.UUID(required=True)
    reader_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Null once the reader's account was erased."}
    )
    book_id = fields.UUID(required=True, metadata={"description": "The book that the copy is of."})
    title = fields.String(required=True, metadata=_TITLE)
    copy_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Null once the copy was struck off the register."}
    )
    barcode = fields.String(
        required=True, allow_none=True, metadata={"description": "Of the copy.", "example": "31205004567890"}
    )
    status = fields.String(
        required=True,
        validate=validate.OneOf(list(LoanStatus)),
        metadata={"description": "`overdue` is an open loan whose time is over."},
    )
    borrowed_at = Moment(required=True, metadata={"description": "When it was lent."})
    due_at = Moment(required=True, metadata={"description": "Until when it lasts."})
    returned_at = Moment(
        required=True, allow_none=True, metadata={"description": "When it ended; null while it lasts."}
    )
    renewals = fields.Integer(required=True, metadata={"description": "How often it was renewed.", "example": 0})


LoanListSchema = list_of(LoanSchema)


class LoanListArguments(ListArguments):
    """Filters and order of the list of loans."""

    reader_id = fields.UUID(metadata={"description": "Those of this reader."})
    book_id = fields.UUID(metadata={"description": "Those of copies of this book."})
    copy_id = fields.UUID(metadata={"description": "Those of this copy."})
    barcode = Text(
        max_length=64,
        validate=BARCODE,
        metadata={"description": "Those of the copy that bears it.", "example": "31205004567890"},
    )
    status = Text(
        validate=validate.OneOf(list(LoanStatus)),
        metadata={"description": "`active`: open and not overdue; `overdue`; `returned`."},
    )
    due_before = Moment(metadata={"description": "Those that are due before this time."})
    sort = Text(validate=validate.OneOf(LOANS.sort_names), load_default=LOANS.default_sort)


class NewHoldSchema(StrictSchema):
    """A book to wait for."""

    book_id = fields.UUID(required=True, metadata={"description": "The book."})
    reader_id = fields.UUID(metadata={"description": "Who waits; staff say it, readers wait for themselves."})


class HoldSchema(StrictSchema):
    """A reader who waits for a book, and where in its queue."""

    id = fields.UUID(required=True)
    reader_id = fields.UUID(required=True, metadata={"description": "Who waits."})
    book_id = fields.UUID(required=True, metadata={"description": "What for."})
    title = fields.String(required=True, metadata=_TITLE)
    status = fields.String(
        required=True,
        validate=validate.OneOf(list(HoldStatus)),
        metadata={"description": "`ready`: a copy waits until `expires_at`."},
    )
    position = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The place in the queue, from 1; null once it is over.", "example": 1},
    )
    copy_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The copy that waits."})
    placed_at = Moment(required=True, metadata={"description": "Since when."})
    expires_at = Moment(
        required=True, allow_none=True, metadata={"description": "Until when the copy waits; null unless one does."}
    )
    ended_at = Moment(
        required=True, allow_none=True, metadata={"description": "When it was over; null while it lasts."}
    )


HoldListSchema = list_of(HoldSchema)


class HoldListArguments(ListArguments):
    """Filters and order of the list of holds."""

    reader_id = fields.UUID(metadata={"description": "Those of this reader."})
    book_id = fields.UUID(metadata={"description": "The queue of this book."})
    status = Text(validate=validate.OneOf(list(HoldStatus)), metadata={"description": "Those of this status."})
    sort = Text(validate=validate.OneOf(HOLDS.sort_names), load_default=HOLDS.default_sort)


class PopularArguments(StrictSchema):
    """How many, of which time."""

    limit = WholeNumber(minimum=1, maximum=100, load_default=10, metadata={"description": "As many.", "example": 10})
    period = Text(
        validate=validate.OneOf(list(PERIODS)),
        load_default="month",
        metadata={"description": "The last 7, 30 or 365 days, or all time.", "example": "month"},
    )


class PopularBookSchema(BookSchema):
    """A book, with how often it was lent."""

    loans = fields.Integer(required=True, metadata={"description": "In the period.", "example": 12})


class PopularBooksSchema(StrictSchema):
    """The books that were lent most in a period."""

    period = fields.String(
        required=True, validate=validate.OneOf(list(PERIODS)), metadata={"description": "The one that was asked for."}
    )
    items = fields.List(fields.Nested(PopularBookSchema), required=True)
