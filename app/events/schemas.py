"""What comes in and goes out for the audit trail."""

from __future__ import annotations

from marshmallow import fields, validate

from app.core.schemas import ListArguments, Moment, StrictSchema, Text, list_of
from app.core.security import ActorKind
from app.events.models import EventLevel
from app.events.queries import EVENTS

_LEVELS = [level.value for level in EventLevel]


class EventActorSchema(StrictSchema):
    """Who did it."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf([kind.value for kind in ActorKind]),
        metadata={
            "description": "A person, a program, the service itself, or somebody who was not signed in.",
            "example": "service_account",
        },
    )
    id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null: the service itself, or nobody signed in."}
    )


class EventSubjectSchema(StrictSchema):
    """What it was done to."""

    kind = fields.String(
        required=True, metadata={"description": "The beginning of the event's type.", "example": "book"}
    )
    id = fields.UUID(required=True, metadata={"description": "It may have been deleted since."})


class EventSchema(StrictSchema):
    """One thing that happened; it is never changed or removed."""

    id = fields.UUID(required=True)
    type = fields.String(
        required=True,
        metadata={"description": "What it happened to and, after a dot, what happened.", "example": "book.updated"},
    )
    level = fields.String(
        required=True,
        validate=validate.OneOf(_LEVELS),
        metadata={"description": "How much attention it wants.", "example": "info"},
    )
    actor = fields.Nested(EventActorSchema, required=True)
    subject = fields.Nested(
        EventSubjectSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null: it happened to nothing in particular."},
    )
    data = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "More about it, depending on the type: ids, names of fields and numbers; nothing personal.",
            "example": {"version": 2},
        },
    )
    at = Moment(required=True, metadata={"description": "When it happened."})
    request_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The `X-Request-ID` of the call that brought it about; null: none did.",
            "example": "6f1c2f0a4f0e4c2f9a0f6f1c2f0a4f0e",
        },
    )


class EventListArguments(ListArguments):
    """Filters and order of the audit trail."""

    type = Text(
        max_length=100,
        validate=validate.Regexp(
            r"^[a-z0-9_.]+\*?\Z",
            error="Must be a type like book.updated, or the beginning of one and an asterisk: book.*",
        ),
        metadata={
            "description": "Only events of this type, or, with an asterisk at the end, of types that begin so.",
            "example": "book.*",
        },
    )
    level = Text(
        validate=validate.OneOf(_LEVELS), metadata={"description": "Only events of this level.", "example": "error"}
    )
    actor_id = fields.UUID(metadata={"description": "Only what this person or program did."})
    subject_id = fields.UUID(metadata={"description": "Only what was done to this."})
    since = Moment(metadata={"description": "At this time or later.", "example": "2026-01-31T00:00:00Z"})
    until = Moment(metadata={"description": "Before this time.", "example": "2026-12-31T00:00:00Z"})
    sort = Text(validate=validate.OneOf(EVENTS.sort_names), load_default=EVENTS.default_sort)


EventListSchema = list_of(EventSchema)
