"""Rows of holdings as they are sent: each is taken, or rejected for a reason, without a look at what is there.

A feed of a library management system has tens of thousands of rows, written by many hands: what is wrong with the value
of one must not keep the others out. Whatever is wrong with the shape of all of them, such as a field that nobody knows,
is the sending program's fault, and refused before anything gets here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.text import CONTROL_CHARACTERS_IN_LINES
from app.holdings.models import MOST_COPIES, Action, RowFault

# In characters, an object's in JSON.
LONGEST_INFO: Final = 2000
# No ISBN is longer, however it is written; what else stands in its place is told back no further.
_LONGEST_ISBN: Final = 40
# From here on PostgreSQL writes a number with a point as one without.
_LARGEST_FRACTION: Final = 1e15
_ACTIONS: Final = frozenset(action.value for action in Action)


class Row(NamedTuple):
    """A row that can be taken: copies that are None were not given, and so was `info` where it does not say so."""

    place: int
    isbn: str
    # As it was sent.
    written: str
    action: Action | None
    copies_total: int | None
    copies_available: int | None
    info: Any
    gives_info: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not taken."""

    index: int
    isbn: str | None
    code: RowFault
    message: str


@dataclass(slots=True)
class Judged:
    """Rows by their ISBN-13s, in their order; those that were rejected, and the ISBNs that these name."""

    rows: dict[str, Row] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    spared: set[str] = field(default_factory=set)

    def reject(self, row: Row, code: RowFault, message: str) -> None:
        """Reject a row that was taken."""
        self.rejected.append(Rejection(row.place, row.written, code, message))


class _Refused(Exception):
    """What is wrong with a row."""

    def __init__(self, code: RowFault, message: str) -> None:
        super().__init__(message)
        self.code = code


def judge(given: Sequence[Mapping[str, Any]], *, takes_actions: bool = False) -> Judged:
    """Tell the rows that can be taken from those that can't; an ISBN counts once, where it is named first."""
    judged = Judged()
    for index, each in enumerate(given):
        isbn = None
        try:
            isbn = _isbn_of(each)
            _refuse_if_named(isbn, judged)
            judged.rows[isbn] = _row(index, isbn, each, takes_actions=takes_actions)
        except _Refused as refusal:
            judged.rejected.append(Rejection(index, _as_told(each.get("isbn")), refusal.code, str(refusal)))
            if isbn is not None and refusal.code is not RowFault.DUPLICATE_IN_REQUEST:
                judged.spared.add(isbn)
    return judged


def _refuse_if_named(isbn: str, judged: Judged) -> None:
    if isbn in judged.rows or isbn in judged.spared:
        raise _Refused(RowFault.DUPLICATE_IN_REQUEST, "Another row before this one names the same ISBN.")


def _isbn_of(given: Mapping[str, Any]) -> str:
    written = given.get("isbn")
    if not isinstance(written, str):
        raise _Refused(RowFault.INVALID_ISBN, "An ISBN is a string of 10 or 13 digits.")
    try:
        return normalize_isbn(written)
    except InvalidIsbn as error:
        raise _Refused(RowFault.INVALID_ISBN, str(error)) from error


def _as_told(written: Any) -> str | None:
    return written[:_LONGEST_ISBN] if isinstance(written, str) else None


def _row(place: int, isbn: str, given: Mapping[str, Any], *, takes_actions: bool) -> Row:
    action = _action_of(given) if takes_actions else None
    total, available = _copies(given, "copies_total"), _copies(given, "copies_available")
    # What an update does not say is known later.
    most = 1 if total is None and action is not Action.UPDATE else total
    if available is not None and most is not None and available > most:
        raise _Refused(RowFault.AVAILABLE_EXCEEDS_TOTAL, too_many_available(available, most))
    return Row(
        place=place,
        isbn=isbn,
        written=given["isbn"],
        action=action,
        copies_total=total,
        copies_available=available,
        info=_info_of(given),
        gives_info="info" in given,
    )


def _action_of(given: Mapping[str, Any]) -> Action:
    action = given.get("action")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise _Refused(RowFault.INVALID_ACTION, "`action` must be one of: add, update, remove.")
    return Action(action)


def _copies(given: Mapping[str, Any], name: str) -> int | None:
    if name not in given:
        return None
    number = given[name]
    # In Python, True is an integer.
    if type(number) is not int or not 0 <= number <= MOST_COPIES:
        raise _Refused(RowFault.INVALID_COPIES, f"`{name}` must be a whole number from 0 to {MOST_COPIES}.")
    return number


def too_many_available(available: int, total: int) -> str:
    """What is said of a row with more copies to be had than there are."""
    return f"{available} copies can't be available where there are {total}."


def _info_of(given: Mapping[str, Any]) -> Any:
    info = given.get("info")
    if info is None:
        return None
    if not isinstance(info, str | dict) or not _can_be_kept(info):
        raise _Refused(
            RowFault.INVALID_INFO,
            f"`info` must be a text or an object of at most {LONGEST_INFO} characters, without control characters.",
        )
    return info


def _can_be_kept(info: str | dict[str, Any]) -> bool:
    try:
        length = len(info) if isinstance(info, str) else len(orjson.dumps(info).decode())
    except TypeError:
        # It nests deeper than anybody reads.
        return False
    return length <= LONGEST_INFO and not _has_what_json_lacks(info)


def _has_what_json_lacks(value: Any) -> bool:
    """True where PostgreSQL's JSON would not give it back as it is: control characters, and numbers far too large."""
    match value:
        case str():
            return CONTROL_CHARACTERS_IN_LINES.search(value) is not None
        case dict():
            return any(_has_what_json_lacks(part) for pair in value.items() for part in pair)
        case list():
            return any(_has_what_json_lacks(part) for part in value)
        case float():
            return not abs(value) < _LARGEST_FRACTION
        case _:
            return False
