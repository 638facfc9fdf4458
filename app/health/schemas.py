"""What goes out about the service itself."""

from __future__ import annotations

from marshmallow import fields, validate

from app.core.schemas import StrictSchema

_STATES = ["ok", "unavailable"]


class RootSchema(StrictSchema):
    """Where everything is."""

    name = fields.String(required=True, metadata={"description": "Of the service.", "example": "Library API"})
    version = fields.String(
        required=True, metadata={"description": "Of the service and of this document.", "example": "0.1.0"}
    )
    links = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={
            "description": "Where to go on, by what is there.",
            "example": {"documentation": "/docs", "openapi": "/openapi.json", "health": "/health", "api": "/api/v1"},
        },
    )


class HealthSchema(StrictSchema):
    """The state of each dependency."""

    db = fields.String(
        required=True, validate=validate.OneOf(_STATES), metadata={"description": "PostgreSQL.", "example": "ok"}
    )
    redis = fields.String(
        required=True,
        validate=validate.OneOf(_STATES),
        metadata={"description": "Redis, which counts the limits and holds the queue.", "example": "ok"},
    )
    worker = fields.String(
        required=True,
        validate=validate.OneOf(_STATES),
        metadata={
            "description": "Whether any worker for background jobs answers; without one, jobs wait.",
            "example": "ok",
        },
    )


class StatusSchema(StrictSchema):
    """The state of the process: that it answers is all there is to say."""

    status = fields.String(required=True, metadata={"description": "Always `ok`.", "example": "ok"})
