"""Keyset pages: every list of the API is a `Listing`.

A page begins after the last row of the one before (by sort key and id), so that no row is repeated or skipped however
many come in between, and page 1000 costs what page 1 costs. A cursor names the list, filters and sort it was made for
and is signed: one that was damaged, or taken from another list, is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, bindparam, cast, func, literal_column, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.core.cache import Generation, remembered
from app.core.database import Question, Row
from app.core.errors import Invalid
from app.core.tenancy import tenant_id_or_none
from app.settings import current_settings

EXACT_TOTAL = 10_000
_Column = ColumnElement[Any] | InstrumentedAttribute[Any]
_SIGNATURE_BYTES = 9


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's question, and where in its rows the sort key and the tie stand."""

    asked: Question
    key_at: int
    tie_at: int

    def position(self, row: Row) -> tuple[Any, Any]:
        return row[self.key_at], row[self.tie_at]


class Listing:
    """One list: what its rows are, how it may be filtered and sorted.

    `statement` selects what an item shows (of `own(Model)`, where the table is a tenant's): the values of a row by the
    names of its columns. `render` makes something else of that; `render_page`, instead, of all items of a page, where
    they have work in common. Each filter is a condition with a `bindparam` of the filter's own name. Sort keys must
    never be NULL, and `tie` makes them unique; both want an index. Where `generation` is given, totals are kept under
    it.
    """

    def __init__(
        self,
        name: str,
        statement: Select[Any],
        *,
        tie: _Column,
        sorts: Mapping[str, _Column],
        default_sort: str,
        render: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        render_page: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None,
        filters: Mapping[str, ColumnElement[bool]] | None = None,
        generation: Generation | None = None,
    ) -> None:
        """Keep the parts; statements are compiled when first asked for, once for each combination of filters."""
        self.name = name
        self.sorts = sorts
        self.default_sort = default_sort
        self._statement = statement
        self._tie = tie
        self._filters = filters or {}
        self._render = render
        self._render_page = render_page
        self._names = tuple(statement.selected_columns.keys())
        self._generation = generation
        self._page_sql = lru_cache(maxsize=512)(self._compile_page)
        self._count_sql = lru_cache(maxsize=512)(self._compile_count)

    @property
    def sort_names(self) -> list[str]:
        """Every accepted value of `sort`."""
        return [sign + name for name in self.sorts for sign in ("", "-")]

    def page(self, *, limit: int, cursor: str | None = None, sort: str | None = None, **filters: Any) -> dict[str, Any]:
        """One page in the shape of every list: `items`, `total`, `total_relation`, `next_cursor`.

        Filters that are None do not apply.

        Raises:
            Invalid: the cursor is damaged or belongs to another list.
        """
        sort = sort or self.default_sort
        chosen = {name: value for name, value in filters.items() if value is not None}
        asked = fingerprint(self.name, sort, chosen)
        after = read_cursor(cursor, asked) if cursor else None
        position = {"after_key": after[0], "after_tie": after[1]} if after else {}
        question = self._page_sql(frozenset(chosen), sort, after is not None)
        found = question.asked.all(limit=limit + 1, **chosen, **position)
        shown = found[:limit]
        return {
            "items": self._rendered(shown),
            **bounded_total(self._counted(chosen)),
            "next_cursor": write_cursor(question.position(shown[-1]), asked) if len(found) > limit else None,
        }

    def _rendered(self, shown: Sequence[Row]) -> list[Any]:
        # The columns of the position, where they are not shown, stand behind those that are.
        items = [dict(zip(self._names, row, strict=False)) for row in shown]
        if self._render_page is not None:
            return self._render_page(items)
        return [self._render(item) for item in items] if self._render else items

    def _counted(self, chosen: Mapping[str, Any]) -> int:
        def count() -> int:
            return int(self._count_sql(frozenset(chosen)).value(**chosen))

        if self._generation is None:
            return count()
        name = f"{self.name}:{orjson.dumps(chosen, default=str, option=orjson.OPT_SORT_KEYS).decode()}"
        return int(remembered(name, self._generation, count))

    def _where(self, names: Iterable[str]) -> Select[Any]:
        return self._statement.where(*(self._filters[name] for name in sorted(names)))

    def _compile_page(self, names: frozenset[str], sort: str, after: bool) -> _Page:  # noqa: FBT001 - a cache key
        key = self.sorts[sort.removeprefix("-")]
        descending = sort.startswith("-")
        statement = self._where(names)
        places = []
        for wanted in (key, self._tie):
            place = _place_of(wanted, statement)
            if place is None:
                place = len(statement.selected_columns)
                statement = statement.add_columns(wanted.label(f"position_{place}"))
            places.append(place)
        if after:
            here = tuple_(key, self._tie)
            there = tuple_(
                cast(bindparam("after_key"), key.type),
                cast(bindparam("after_tie"), self._tie.type),
            )
            statement = statement.where(here < there if descending else here > there)
        order = (key.desc(), self._tie.desc()) if descending else (key.asc(), self._tie.asc())
        return _Page(Question(statement.order_by(*order).limit(bindparam("limit"))), *places)

    def _compile_count(self, names: frozenset[str]) -> Question:
        some: Select[Any] = self._where(names).with_only_columns(literal_column("1"), maintain_column_froms=True)
        matching = some.limit(EXACT_TOTAL + 1)
        return Question(select(func.count()).select_from(matching.subquery()))


def _place_of(wanted: _Column, statement: Select[Any]) -> int | None:
    """Where a statement selects a column already: to fetch it twice costs as much as to fetch another one."""
    for place, selected in enumerate(statement.selected_columns):
        if selected.compare(wanted.expression if isinstance(wanted, InstrumentedAttribute) else wanted):
            return place
    return None


def bounded_total(counted: int) -> dict[str, Any]:
    """`total` and `total_relation` for a count that stopped one beyond `EXACT_TOTAL`."""
    if counted > EXACT_TOTAL:
        return {"total": EXACT_TOTAL, "total_relation": "gte"}
    return {"total": counted, "total_relation": "eq"}


def write_cursor(position: Sequence[Any], fingerprint: bytes) -> str:
    """A signed cursor for the row whose sort key and tie are `position`."""
    payload = orjson.dumps(list(position), default=str)
    return base64.urlsafe_b64encode(_sign(payload, fingerprint) + payload).decode().rstrip("=")


def read_cursor(cursor: str, fingerprint: bytes) -> list[Any]:
    """The position in a cursor.

    Raises:
        Invalid: it is damaged or was made for another list, filter or sort.
    """
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    signature, payload = content[:_SIGNATURE_BYTES], content[_SIGNATURE_BYTES:]
    if not payload or not hmac.compare_digest(signature, _sign(payload, fingerprint)):
        raise Invalid.field("cursor", "Take it unchanged from `next_cursor`, with the same filters and sort.")
    position: list[Any] = orjson.loads(payload)
    return position


def fingerprint(name: str, sort: str, filters: Mapping[str, Any]) -> bytes:
    """What a cursor is good for: this list, of this tenant, in this order, so narrowed."""
    asked = [name, str(tenant_id_or_none()), sort, filters]
    return orjson.dumps(asked, default=str, option=orjson.OPT_SORT_KEYS)


def _sign(payload: bytes, fingerprint: bytes) -> bytes:
    secret = _secret(current_settings().secret_key)
    return hashlib.blake2b(fingerprint + payload, key=secret, digest_size=_SIGNATURE_BYTES).digest()


@cache
def _secret(key: str) -> bytes:
    return hashlib.blake2b(key.encode()).digest()
