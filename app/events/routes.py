"""The endpoint of the audit trail."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.core.blueprint import Blueprint
from app.core.schemas import json_response
from app.core.security import Permission, requires
from app.events import queries
from app.events.schemas import EventListArguments, EventListSchema

blp = Blueprint("events", __name__, description="The audit trail: what happened in the tenant, when, and by whom.")


@blp.get("/tenants/<slug>/events")
@requires(Permission.EVENTS_READ)
@blp.arguments(EventListArguments, location="query")
@blp.response(200, EventListSchema)
def list_events(arguments: dict[str, Any]) -> Response:
    """List what happened in the tenant

    Newest first. Every change leaves an event, which is there as soon as the change is; no call changes or removes one.
    """
    return json_response(queries.EVENTS.page(**queries.narrowed_by(arguments)))
