"""What goes out about the service itself."""

from __future__ import annotations

from marshmallow import fields, validate

from app.core.schemas import StrictSchema

_STATES = ["ok", "unavailable"]


class RootSchema(StrictSchema):
    """Where everything is."""

    name = fields.String(required=True, metadata={"example": "Library API"})
    version = fields.String(required=True, metadata={"example": "0.1.0"})
    links = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={
            "example": {"documentation": "/docs", "openapi": "/openapi.json", "health": "/health", "api": "/api/v1"}
        },
    )


class HealthSchema(StrictSchema):
    """The state of each dependency."""

    db = fields.String(required=True, validate=validate.OneOf(_STATES), metadata={"example": "ok"})
    redis = fields.String(required=True, validate=validate.OneOf(_STATES), metadata={"example": "ok"})
    worker = fields.String(required=True, validate=validate.OneOf(_STATES), metadata={"example": "ok"})


class StatusSchema(StrictSchema):
    """The state of the process: that it answers is all there is to say."""

    status = fields.String(required=True, metadata={"example": "ok"})
