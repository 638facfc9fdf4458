"""Bodies of lines (NDJSON), each a JSON object: read some thousands at a time, and the first faulty one named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final, NoReturn, Protocol, TypeVar

import orjson
from flask import request
from marshmallow import Schema, ValidationError

from app.core.errors import FieldError, Invalid, InvalidJson, field_errors
from app.core.schemas import check_coding, parse_json
from app.core.spool import Spool, is_stream, spooled_body, streams

_View = TypeVar("_View", bound=Callable[..., Any])
LONGEST_LINE_BYTES: Final = 16 * 1024


class Reader(Protocol):
    """What makes rows of lines: some at once where all are as they should be, or one after the other."""

    item: Schema

    def rows_of(self, items: list[Any], quotes: int) -> list[Any] | None:
        """The rows of parsed lines that have so many quotation marks; None where one needs a closer look."""

    def row_of(self, item: dict[str, Any]) -> Any:
        """The row of what the schema has loaded."""


def or_lines(reader: Callable[[], Reader]) -> Callable[[_View], _View]:
    """Let a POST take lines as well: its view then gets an iterator of rows in the place of the body."""

    def mark(view: _View) -> _View:
        # Within are the view's own arguments, without those who would read a body of JSON.
        own = inspect.unwrap(view)

        @wraps(view)
        def chosen(*args: Any, **kwargs: Any) -> Any:
            if not is_stream(request):
                return view(*args, **kwargs)
            check_coding(request)
            return own(rows_in(spooled_body(request), reader()), **kwargs)

        return streams(chosen)  # type: ignore[return-value]  # wraps() keeps the view's own signature

    return mark


def rows_in(spool: Spool, reader: Reader) -> Iterator[list[Any]]:
    """The rows of all lines, some thousands at once.

    Raises:
        Invalid: a line is not acceptable; its number, from 1 on, is the name of the faulty field.
    """
    number = 1
    for lines in spool.blocks_of_lines(longest_bytes=LONGEST_LINE_BYTES):
        yield _at_once(lines, reader) or [_one(line, number + at, reader) for at, line in enumerate(lines)]
        number += len(lines)
    if number == 1:
        raise Invalid.field("lines", "Must have at least one line.")


def _at_once(lines: list[bytes], reader: Reader) -> list[Any] | None:
    if max(map(len, lines)) > LONGEST_LINE_BYTES:
        return None
    try:
        items = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        return None
    return reader.rows_of(items, sum([line.count(b'"') for line in lines]))


def _one(line: bytes, number: int, reader: Reader) -> Any:
    if len(line) > LONGEST_LINE_BYTES:
        _refuse(number, f"Must have at most {LONGEST_LINE_BYTES} bytes.")
    at_once = _at_once([line], reader)
    if at_once is not None:
        return at_once[0]
    try:
        return reader.row_of(reader.item.load(parse_json(line, what="line")))
    except InvalidJson as error:
        _refuse(number, error.detail)
    except ValidationError as error:
        _refuse(number, error.messages)


def _refuse(number: int, messages: Any) -> NoReturn:
    errors: list[FieldError] = list(field_errors({"lines": {number: messages}}))
    raise Invalid(f"Line {number} is not acceptable, so nothing was done; see `errors`.", errors=errors)
