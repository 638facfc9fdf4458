"""Input fields: nothing repaired, nothing ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict

from app.core.schemas import Flag, Moment, StrictSchema, Text, WholeNumber, json_response, parse_id, rfc3339

NONSENSE: list[Any] = [None, [], {}, [1], {"a": 1}, True, 0, 1.5, float("inf")]


class Body(StrictSchema):
    """One of each."""

    name = Text(max_length=5)
    note = Text(min_length=0, max_length=5, lines=True)
    number = WholeNumber(minimum=-3, maximum=3)
    flag = Flag()
    at = Moment()


def load(**fields: Any) -> Any:
    return Body().load(fields)


def load_query(**fields: str) -> Any:
    return Body().load(MultiDictProxy(MultiDict(fields), Body()))


def assert_refused(**fields: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        load(**fields)
    assert set(refusal.value.messages_dict) == set(fields)


@pytest.mark.parametrize("text", ["a", "12345", "Ärger", "日本語", "a b", "\U0001f4da", "\u0646\u200c\u0645"])
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert load(name=text) == {"name": text}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\t\n",
        "123456",
        "\x00",
        "a\x00b",
        "\x1b[31",
        "\x7f",
        "\x85",
        "\ud800",
        "\u2028",
        "x\u202ey",
        "x\u2066y",
        "x\u200by",
        "x\U000e0041",
    ],
)
def test_a_text_that_nobody_could_read_is_refused(text: str) -> None:
    assert_refused(name=text)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\r\nb", "a\n"])
def test_line_ends_and_tabs_are_taken_where_a_text_has_lines_and_nowhere_else(text: str) -> None:
    assert load(note=text) == {"note": text}
    assert_refused(name=text)


@pytest.mark.parametrize("text", ["\x00", "a\x0bb", "\x1b[31", "\x7f", "\x85", "\ud800", "x\u202ey", "x\U000e0041"])
def test_other_control_characters_are_refused_in_lines_too(text: str) -> None:
    assert_refused(note=text)


def test_a_text_may_be_empty_where_that_is_said() -> None:
    assert load(note="") == {"note": ""}


@pytest.mark.parametrize("value", NONSENSE)
def test_another_type_is_no_text(value: Any) -> None:
    assert_refused(name=value)


@pytest.mark.parametrize("number", [-3, 0, 3])
def test_a_whole_number_within_bounds_is_taken(number: int) -> None:
    assert load(number=number) == {"number": number}
    assert load_query(number=str(number)) == {"number": number}


@pytest.mark.parametrize("value", [-4, 4, 10**400, 1.0, "1", "", " 1", "1e0", None, True, False, [1], {}, float("nan")])
def test_anything_else_is_no_whole_number(value: Any) -> None:
    assert_refused(number=value)


@pytest.mark.parametrize("value", ["4", "1.0", "", " 1", "+1", "1e0", "٣", "1" * 400, "true", "1_0"])
def test_anything_else_in_a_query_is_no_whole_number(value: str) -> None:
    with pytest.raises(ValidationError):
        load_query(number=value)


@pytest.mark.parametrize("truth", [True, False])
def test_a_flag_is_true_or_false(truth: bool) -> None:  # noqa: FBT001 - the value under test
    assert load(flag=truth) == {"flag": truth}
    assert load_query(flag=str(truth).lower()) == {"flag": truth}


@pytest.mark.parametrize("value", [0, 1, "true", "yes", "", None, [], {}, 1.0])
def test_anything_else_is_no_flag(value: Any) -> None:
    assert_refused(flag=value)


@pytest.mark.parametrize("value", ["1", "0", "True", "yes", "on", ""])
def test_anything_else_in_a_query_is_no_flag(value: str) -> None:
    with pytest.raises(ValidationError):
        load_query(flag=value)


@pytest.mark.parametrize(
    ("given_text", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456Z", datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_moment_is_taken_in_utc(given_text: str, moment: datetime) -> None:
    assert load(at=given_text) == {"at": moment}


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00",
        "2026-01-31",
        "12:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2026-02-30T00:00:00Z",
        "2026-01-31T25:00:00Z",
        "now",
        "",
        "\x00",
        1767225600,
        "1767225600",
        "२०२६-01-31T12:00:00Z",
        *NONSENSE,
    ],
)
def test_anything_else_is_no_moment(value: Any) -> None:
    assert_refused(at=value)


def test_unknown_fields_are_refused() -> None:
    assert_refused(colour="red")


@given(st.text(max_size=5))
def test_whatever_text_passes_is_storable(text: str) -> None:
    try:
        taken = load(name=text)["name"]
    except ValidationError:
        return
    assert taken == text
    assert "\x00" not in taken
    assert taken.encode().decode() == taken


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 36,
        "{00000000-0000-7000-8000-000000000000}",
        "urn:00000000000070008000000000000000",
        "{00000000000070008000000000000000}--",
        "00000000-0000-7000-8000-00000000000A",
        "00000000-0000-7000-8000-00000000000a\n",
        "\x00" * 36,
        "ü" * 36,
    ],
)
def test_a_malformed_id_is_an_id_that_is_not_there(text: str) -> None:
    assert parse_id(text) is None


def test_an_id_is_read_in_its_canonical_form() -> None:
    assert parse_id("00000000-0000-7000-8000-00000000000a") == UUID("00000000-0000-7000-8000-00000000000a")


def test_answers_write_times_in_utc_with_z() -> None:
    noon = datetime.fromisoformat("2026-01-31T13:00:00+01:00")

    assert rfc3339(noon) == "2026-01-31T12:00:00Z"
    assert json_response({"at": datetime(2026, 1, 31, 12, tzinfo=UTC), "id": UUID(int=1)}).data == (
        b'{"at":"2026-01-31T12:00:00Z","id":"00000000-0000-0000-0000-000000000001"}'
    )
