"""Questions about stock, which functions in the database answer: migration 0010 has them, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, DateTime, Text, Uuid, bindparam, column, func, select

from app.core.cache import Generation, remembered
from app.core.database import Question
from app.core.errors import Invalid
from app.core.pagination import EXACT_TOTAL, bounded_total, fingerprint, read_cursor, write_cursor
from app.core.sets import text_list


def updates(
    *,
    product_id: str,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int,
    cursor: str | None = None,
    offset: int = 0,
) -> dict[str, Any]:
    """One page of a product's updates from `start` to `end`, both included, the oldest first.

    Raises:
        Invalid: the time ends before it starts; the cursor is damaged or another list's, or comes with an offset.
    """
    if start and end and start > end:
        raise Invalid.field("end", "Must not be before `start`.")
    if cursor and offset:
        raise Invalid.field("offset", "Give this or `cursor`, not both.")
    narrowed = {"product_id": product_id, "start": start, "end": end}
    asked = fingerprint("inventory", "timestamp", narrowed)
    after_time, after_id = read_cursor(cursor, asked) if cursor else (None, None)
    items, found, *last = _PAGE.all(
        **narrowed, after_time=after_time, after_id=after_id, at_most=limit, passed_over=offset
    )[0]
    is_all = found <= limit and not cursor and not offset
    return {
        "items": orjson.Fragment(f"[{items or ''}]"),
        **bounded_total(found if is_all else _counted(narrowed, asked)),
        "next_cursor": write_cursor(last, asked) if found > limit else None,
        "count": min(found, limit),
        "limit": limit,
        "offset": offset,
    }


def latest(product_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The newest update of each of these products that has any, in their order.

    Of several at the same time, the one that was written last.
    """
    return _LATEST.records(product_ids=list(dict.fromkeys(product_ids)))


def _counted(narrowed: dict[str, Any], asked: bytes) -> int:
    def count() -> int:
        return int(_COUNT.value(**narrowed))

    return int(remembered(asked.decode(), Generation.INVENTORY, count))


_OF_PRODUCT: Final[tuple[Any, ...]] = (bindparam("product_id"), bindparam("start"), bindparam("end"))
_PLACE: Final[tuple[Any, ...]] = (
    bindparam("after_time"),
    bindparam("after_id"),
    bindparam("at_most"),
    bindparam("passed_over"),
)
_PAGE: Final = Question(
    select(
        *func.inventory_page(*_OF_PRODUCT, *_PLACE)
        .table_valued(
            column("items", Text()),
            column("found", BigInteger()),
            column("last_time", DateTime(timezone=True)),
            column("last_id", Uuid()),
        )
        .c
    )
)
_COUNT: Final = Question(select(func.inventory_count(*_OF_PRODUCT, EXACT_TOTAL + 1)))
_LATEST: Final = Question(
    select(
        *func.inventory_latest(text_list("product_ids"))
        .table_valued(
            column("id", Uuid()),
            column("product_id", Text()),
            column("quantity", BigInteger()),
            column("timestamp", DateTime(timezone=True)),
            column("created_at", DateTime(timezone=True)),
        )
        .c
    )
)
