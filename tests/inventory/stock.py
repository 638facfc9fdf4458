"""Stock for tests, and what is really stored of it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Answer, Library

LINES = "application/x-ndjson"
NOON = "2026-11-01T12:00:00Z"


def item(product_id: str = "SKU-1", quantity: Any = 3, timestamp: Any = NOON) -> dict[str, Any]:
    """One update."""
    return {"product_id": product_id, "quantity": quantity, "timestamp": timestamp}


def write(library: Library, *items: dict[str, Any], **options: Any) -> Answer:
    """Write updates as JSON."""
    return library.post("/inventory/updates", {"items": list(items)}, **{"role": "lms", **options})


def write_lines(library: Library, body: bytes, **options: Any) -> Answer:
    """Write updates as lines."""
    options = {"role": "lms", "content_type": LINES, **options}
    return library.call("POST", "/inventory/updates", data=body, **options)


def lines_of(*items: dict[str, Any]) -> bytes:
    """Updates as lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in items)


def stored(owner: Engine) -> list[tuple[str, int]]:
    """Product and quantity of every update, in the order of their ids."""
    with owner.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT product_id, quantity FROM inventory_updates ORDER BY id"))
        ]
