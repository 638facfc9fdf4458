"""A collection, as it is sent and answered."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.core.schemas import ListArguments, Moment, StrictSchema, Text, list_of
from app.holdings.queries import COLLECTIONS


def _name(**options: Any) -> Text:
    return Text(max_length=200, metadata={"description": "As people say it.", "example": "Main branch"}, **options)


def _description(**options: Any) -> Text:
    return Text(
        max_length=2000,
        lines=True,
        allow_none=True,
        metadata={"description": "What is in it.", "example": "Everything on the ground floor"},
        **options,
    )


def _owner_id(**options: Any) -> fields.UUID:
    what = "Whose own collection it is, a user of the tenant; null: it is the library's."
    return fields.UUID(allow_none=True, metadata={"description": what, "example": None}, **options)


class NewCollectionSchema(StrictSchema):
    """A collection to be made."""

    name = _name(required=True)
    description = _description(load_default=None)
    owner_id = _owner_id(load_default=None)


class CollectionChangesSchema(StrictSchema):
    """What may be changed of a collection; what is absent stays as it is."""

    name = _name()
    description = _description()
    owner_id = _owner_id()


class CollectionSchema(StrictSchema):
    """A collection."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, metadata={"description": "As people say it.", "example": "Main branch"})
    description = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What is in it.", "example": "Everything on the ground floor"},
    )
    owner_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={
            "description": "Whose own it is; null: it is the library's, whose copies books count.",
            "example": None,
        },
    )
    synced_at = Moment(
        required=True,
        allow_none=True,
        metadata={
            "description": "When its items were last brought up to date, even if nothing had changed; null: never.",
            "example": "2026-01-31T09:30:00Z",
        },
    )
    created_at = Moment(required=True)
    updated_at = Moment(
        required=True,
        metadata={"description": "When it, or anything in it, last changed.", "example": "2026-01-31T09:30:00Z"},
    )


CollectionListSchema = list_of(CollectionSchema)


class CollectionListArguments(ListArguments):
    """Filters and order of the list of collections."""

    owner_id = fields.UUID(metadata={"description": "Those that are this person's own."})
    sort = Text(validate=validate.OneOf(COLLECTIONS.sort_names), load_default=COLLECTIONS.default_sort)
