"""The short way to read updates takes nothing that the schemas would not, and reads the same from what it takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.inventory.models import Row
from app.inventory.schemas import NewUpdateSchema, NewUpdatesSchema, _rows_of
from tests.inventory.stock import item

ONE, MANY = NewUpdateSchema(), NewUpdatesSchema()
# The offset is drawn apart.
EARLIEST, LATEST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - see above
MOMENTS = st.datetimes(min_value=EARLIEST, max_value=LATEST)
OFFSETS = st.sampled_from(
    ["Z", "z", "", "+00:00", "-00:00", "+14:00", "+14:59", "-15:00", "+23:59", "+24:00", "+2:00", "+0200"]
)
FRACTIONS = st.sampled_from(["", ".", ".0", ".5", ".123456", ".1234567", ".123456789", ".1234567890", ",5"])
NEARLY_TIMES = st.from_regex(r"(0|1|2|9)\d{3}-[01]\d-[0-3]\d[T t][0-2]\d:[0-6]\d:[0-6]\d", fullmatch=True)
TIMES = st.one_of(
    st.builds(lambda at, rest, offset: at.isoformat(timespec="seconds") + rest + offset, MOMENTS, FRACTIONS, OFFSETS),
    st.builds(lambda at, rest, offset: at + rest + offset, NEARLY_TIMES, FRACTIONS, OFFSETS),
)
WHATEVER = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({})
)
PRODUCTS = st.one_of(
    st.text(max_size=8), st.text(min_size=250, max_size=260), st.sampled_from(["A", " ", "\t", "\\", "a\nb"])
)
QUANTITIES = st.one_of(
    st.integers(-1, 5), st.integers(10**17, 10**19), st.sampled_from([2**63 - 1, 2**63, -0.0, 1e3, "1"])
)
ITEMS = st.builds(item, st.one_of(PRODUCTS, WHATEVER), st.one_of(QUANTITIES, WHATEVER), st.one_of(TIMES, WHATEVER))


def as_sent(value: Any) -> Any:
    """What arrives of a value that is sent as JSON."""
    return orjson.loads(orjson.dumps(value))


def by_schema(sent: dict[str, Any]) -> tuple[str, int, datetime] | None:
    """What the schema reads; None where it refuses."""
    try:
        loaded = ONE.load(sent)
    except ValidationError:
        return None
    return loaded["product_id"], loaded["quantity"], loaded["timestamp"]


def read(row: Row) -> tuple[str, int, datetime]:
    """What PostgreSQL will read from a row."""
    product_id, moment, quantity = row
    return product_id, quantity, datetime.fromisoformat(moment).astimezone(UTC)


@settings(max_examples=2000, deadline=None)
@given(ITEMS)
@example(item(timestamp="2024-02-29T00:00:00Z"))
@example(item(timestamp="2023-02-29T00:00:00Z"))
@example(item(timestamp="1900-02-29T00:00:00Z"))
@example(item(timestamp="2000-02-29T00:00:00Z"))
@example(item(timestamp="2026-04-31T00:00:00Z"))
@example(item(timestamp="2026-11-01T23:59:60Z"))
@example(item("A\u2028"))
@example(item("\u00a0"))
@example(item("\u1680"))
@example(item("\u3000"))
@example(item("\u200b"))
@example(item("\u202eA"))
@example(item("\ufeff"))
@example(item("A\u061cB"))
@example(item("A\u2060"))
def test_both_ways_take_and_refuse_the_same(drawn: dict[str, Any]) -> None:
    try:
        sent = as_sent(drawn)
    except TypeError:  # lone surrogates and the like can't be sent
        return
    expected, short = by_schema(sent), _rows_of([sent])

    if short is not None:
        assert [read(row) for row in short] == [expected]
    if expected is None:
        with pytest.raises(ValidationError):
            MANY.load({"items": [sent]})
    else:
        assert [read(row) for row in MANY.load({"items": [sent]})[0]] == [expected]


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_a_faulty_one_among_many_is_found(drawn: list[dict[str, Any]]) -> None:
    try:
        sent = as_sent(drawn)
    except TypeError:
        return
    expected = [by_schema(each) for each in sent]

    if None in expected:
        assert _rows_of(sent) is None
        with pytest.raises(ValidationError) as refusal:
            MANY.load({"items": sent})
        messages: Any = refusal.value.messages
        assert set(messages["items"]) == {at for at, each in enumerate(expected) if each is None}
    else:
        assert [read(row) for row in MANY.load({"items": sent})[0]] == expected


def test_the_usual_goes_the_short_way() -> None:
    day = datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC)
    for number in range(1500):
        moment = (day + timedelta(days=number)).isoformat()
        for spelling in (moment, moment.replace("+00:00", "Z"), moment.replace("+00:00", ".250-05:30")):
            assert _rows_of([item(f"SKU {number} é 料", number, spelling)]) is not None, spelling


@pytest.mark.parametrize("given_items", [[None], [[]], [["a", "b", "c"]], ["abc"], [{}], [{"a": 1}], [5]])
def test_what_is_no_update_goes_the_long_way(given_items: list[Any]) -> None:
    assert _rows_of(given_items) is None


def test_a_product_that_looks_like_rows_is_none() -> None:
    assert _rows_of([item("A\t2026-11-01T12:00:00Z\t1\nB")]) is None
    assert _rows_of([item("A\t2026-11-01T12:00:00Z\t1\nB"), item()]) is None


def test_every_character_of_the_short_way_is_one_that_the_schema_takes() -> None:
    taken = [chr(number) for number in range(0x110000) if _rows_of([item(f"A{chr(number)}")]) is not None]

    assert len(taken) > 20_000
    for begin in range(0, len(taken), 250):
        assert by_schema(item("A" + "".join(taken[begin : begin + 250]))) is not None
