"""Endpoints of stock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import Response, g, url_for

from app.core.blueprint import Blueprint
from app.core.cache import Generation, cached
from app.core.idempotency import idempotent
from app.core.limits import Limit, limited
from app.core.lines import or_lines
from app.core.schemas import json_response
from app.core.security import Permission, requires
from app.inventory import queries, service
from app.inventory.models import Row
from app.inventory.schemas import (
    LatestArguments,
    LatestSchema,
    NewUpdatesSchema,
    RecordedSchema,
    UpdateListArguments,
    UpdateListSchema,
)

blp = Blueprint(
    "inventory", __name__, description="How many of a product there were, and when: a feed that only grows."
)


@blp.post("/tenants/<slug>/inventory/updates")
@requires(Permission.INVENTORY_WRITE)
@limited(Limit.INVENTORY_WRITE)
@idempotent
@or_lines(NewUpdatesSchema)
@blp.arguments(NewUpdatesSchema)
@blp.response(201, RecordedSchema)
def record_updates(batches: Iterable[Sequence[Row]]) -> Response:
    """Write updates of stock

    All of them or none. As JSON up to 10 000; as `application/x-ndjson`, an item a line of at most 16 KiB, as many as
    you have: without a limit, and at no less than 16 KiB a second on average, nor silent for more than 30 seconds. The
    first line that is not acceptable is named by its number, `lines.17.quantity`. A product may have several updates of
    one time; the one that was written last is the newest. `Location` is the history of the first product written.
    """
    recorded = service.record_updates(batches)
    location = url_for("inventory.list_updates", slug=g.tenant.slug, product_id=recorded.product_id)
    return json_response({"inserted": recorded.inserted}, 201, {"Location": location})


@blp.get("/tenants/<slug>/inventory")
@requires(Permission.INVENTORY_READ)
@limited(Limit.INVENTORY_READ)
@cached(Generation.INVENTORY, arguments=UpdateListArguments)
@blp.arguments(UpdateListArguments, location="query")
@blp.response(200, UpdateListSchema)
def list_updates(arguments: dict[str, Any]) -> Response:
    """List a product's updates of stock

    The oldest first, in an order that stays the same where several are of one time. Ask for the next page by `cursor`,
    or pass over some by `offset`.
    """
    return json_response(queries.updates(**arguments))


@blp.get("/tenants/<slug>/inventory/latest")
@requires(Permission.INVENTORY_READ)
@limited(Limit.INVENTORY_READ)
@cached(Generation.INVENTORY, arguments=LatestArguments)
@blp.arguments(LatestArguments, location="query")
@blp.response(200, LatestSchema)
def list_latest(arguments: dict[str, Any]) -> Response:
    """Show the newest quantities

    Of up to 500 products, the newest update of each. A product without any is left out.
    """
    return json_response({"items": queries.latest(arguments["product_id"])})
