"""Writing stock: as JSON and as lines."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.database import transaction
from app.core.tenancy import tenant as as_tenant
from app.inventory import service
from tests.conftest import Answer, Library
from tests.inventory.stock import NOON, item, lines_of, stored, write, write_lines
from tests.naming import sent_statements


def faults(answer: Answer) -> dict[str, str]:
    """What is said of each field."""
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input"), answer.text
    return {error["field"]: error["message"] for error in answer.json["errors"]}


# — who ————————————————————————————————————————————————————————————————————————————————————————————


def test_a_stranger_and_who_only_reads_write_nothing(library: Library, owner: Engine) -> None:
    assert write(library, item(), role=None).status_code == 401
    assert write(library, item(), role="librarian").status_code == 403
    assert write_lines(library, lines_of(item()), role="kiosk").status_code == 403
    assert stored(owner) == []


def test_nobody_writes_anothers_stock(library: Library, other_library: Library, owner: Engine) -> None:
    key = library.key("lms")

    assert write(other_library, item(), token=key).status_code == 404
    assert write_lines(other_library, lines_of(item()), token=key).status_code == 404
    assert stored(owner) == []


# — all or nothing —————————————————————————————————————————————————————————————————————————————————


def test_updates_are_written_by_one_statement_and_told_by_their_number(library: Library, owner: Engine) -> None:
    with sent_statements() as sent:
        answer = write(library, item("A", 1), item("A", 2), item("B", 2**63 - 1))

    assert (answer.status_code, answer.json) == (201, {"inserted": 3})
    assert answer.headers["Location"] == f"/api/v1/tenants/{library.slug}/inventory?product_id=A"
    assert stored(owner) == [("A", 1), ("A", 2), ("B", 2**63 - 1)]
    assert len([statement for statement in sent if "INSERT INTO inventory_updates" in statement]) == 1


@pytest.mark.parametrize(
    "product_id",
    ['"', "\\", "\\N", "{a,b}", "NULL", "it's", "'); DROP TABLE x; --", "%s %(x)s :x", "é料 \U0001f4d6", " a"],
)
def test_a_product_is_called_as_it_was_sent(library: Library, owner: Engine, product_id: str) -> None:
    assert write(library, item(product_id, 1), item(product_id, 2)).status_code == 201
    assert write_lines(library, lines_of(item(product_id, 3))).status_code == 201

    assert stored(owner) == [(product_id, 1), (product_id, 2), (product_id, 3)]


def test_two_writings_in_one_transaction_are_written_once_each(in_app: Flask, library: Library, owner: Engine) -> None:
    with as_tenant(library.id), transaction():
        service.record_updates([[("A", NOON, 1)], [("B", NOON, 2)]])
        service.record_updates([[("C", NOON, 3)]])

    assert stored(owner) == [("A", 1), ("B", 2), ("C", 3)]


def test_a_writing_leaves_an_event_without_what_was_written(library: Library, owner: Engine) -> None:
    write(library, item("SECRET-1", 41), item("SECRET-2", 42))

    with owner.connect() as connection:
        [event] = connection.execute(
            text("SELECT data, actor_kind, subject_id FROM events WHERE type = 'inventory.updated'")
        )
    assert tuple(event) == ({"rows": 2}, "service_account", None)


@pytest.mark.parametrize(
    ("bad", "field", "message"),
    [
        (item(quantity=-1), "quantity", "Must be greater than or equal to 0"),
        (
            item(quantity=2**63),
            "quantity",
            "Must be greater than or equal to 0 and less than or equal to 9223372036854775807.",
        ),
        (item(quantity=2**64), "quantity", "Not a valid integer."),
        (item(quantity=1.0), "quantity", "Not a valid integer."),
        (item(quantity=True), "quantity", "Not a valid integer."),
        (item(quantity="3"), "quantity", "Not a valid integer."),
        (item(quantity=None), "quantity", "Field may not be null."),
        (item(timestamp="2026-11-01T12:00:00"), "timestamp", "Not a valid aware datetime."),
        (item(timestamp="2026-02-30T12:00:00Z"), "timestamp", "Not a valid datetime."),
        (item(timestamp="2026-11-01T24:00:00Z"), "timestamp", "Not a valid datetime."),
        (item(timestamp="2026-11-01"), "timestamp", "Not a valid datetime."),
        (item(timestamp=1793534400), "timestamp", "Not a valid datetime."),
        (item("x" * 256), "product_id", "Length must be between 1 and 255."),
        (item(""), "product_id", "Must not be blank."),
        (item(" "), "product_id", "Must not be blank."),
        (item("a\nb"), "product_id", "Must not contain control characters."),
        (item(f"a\t{NOON}\t1\nb"), "product_id", "Must not contain control characters."),
        ({**item(), "colour": "red"}, "colour", "Unknown field."),
        ({"product_id": "A", "quantity": 1}, "timestamp", "Missing data for required field."),
    ],
)
def test_a_faulty_update_is_named_and_nothing_is_written(
    library: Library, owner: Engine, bad: dict[str, Any], field: str, message: str
) -> None:
    as_json = faults(write(library, item(), item(), bad))
    as_lines = faults(write_lines(library, lines_of(item(), item(), bad, item())))

    [(json_field, told)], [(line_field, line_told)] = as_json.items(), as_lines.items()
    assert (json_field, line_field) == (f"items.2.{field}", f"lines.3.{field}")
    assert told == line_told
    assert told.startswith(message)
    assert stored(owner) == []


def test_several_faults_are_named_each_with_its_place(library: Library) -> None:
    found = faults(write(library, item(quantity=-1), item(), item("", timestamp="now")))

    assert set(found) == {"items.0.quantity", "items.2.product_id", "items.2.timestamp"}


@pytest.mark.parametrize("count", [0, 10_001])
def test_more_or_fewer_than_allowed_are_refused_at_once(library: Library, count: int) -> None:
    assert faults(write(library, *[item()] * count)) == {"items": "Length must be between 1 and 10000."}


def test_ten_thousand_are_written_at_once(library: Library, owner: Engine) -> None:
    assert write(library, *[item(f"SKU-{number}", number) for number in range(10_000)]).json == {"inserted": 10_000}
    assert stored(owner) == [(f"SKU-{number}", number) for number in range(10_000)]


@pytest.mark.parametrize("timestamp", ["1995-07-01T00:00:00+02:00", "2031-01-01T00:00:00Z", "1000-01-02T00:00:00Z"])
def test_an_update_of_any_time_has_its_place(library: Library, timestamp: str) -> None:
    assert write(library, item("A", timestamp=timestamp)).status_code == 201
    assert library.get("/inventory?product_id=A").json["total"] == 1


@pytest.mark.parametrize(
    "product_id",
    [
        "a\\b",
        "\\N",
        "\\.",
        "a b",
        " a",
        "É-1",
        "料理-3",
        "🐙",
        'say "hi"',
        "x" * 255,
        "🐙" * 255,
        "'; DROP TABLE books",
        "%s",
    ],
)
def test_a_product_is_called_whatever_its_keeper_calls_it(library: Library, product_id: str) -> None:
    assert write(library, item(product_id, 1)).status_code == 201
    assert write_lines(library, lines_of(item(product_id, 2))).status_code == 201

    found = library.get("/inventory", query_string={"product_id": product_id}).json["items"]
    assert [(each["product_id"], each["quantity"]) for each in found] == [(product_id, 1), (product_id, 2)]


def test_a_time_is_kept_to_the_microsecond_in_utc(library: Library) -> None:
    write(library, item("A", timestamp="2026-11-01T01:00:00.123456+02:00"))
    write(library, item("A", timestamp="2026-11-02T01:00:00.123456789Z"))

    found = library.get("/inventory?product_id=A").json["items"]
    assert [each["timestamp"] for each in found] == ["2026-10-31T23:00:00.123456Z", "2026-11-02T01:00:00.123456Z"]


# — keys given twice ———————————————————————————————————————————————————————————————————————————————

TWICE = f'{{"product_id": "A", "quantity": 1, "quantity": 2, "timestamp": "{NOON}"}}'.encode()
SHORT = b'{"product_id": "A", "quantity": 1}'


def test_a_key_given_twice_is_refused(library: Library, owner: Engine) -> None:
    body = b'{"items": [%s]}' % TWICE
    answer = library.call("POST", "/inventory/updates", role="lms", data=body, content_type="application/json")

    assert (answer.status_code, answer.json["code"]) == (400, "invalid_json")
    assert "'quantity' twice" in answer.json["detail"]
    assert faults(write_lines(library, TWICE)) == {"lines.1": "An object in the line has the key 'quantity' twice."}
    assert stored(owner) == []


def test_a_key_given_twice_beside_one_left_out_is_refused(library: Library, owner: Engine) -> None:
    # As many quotation marks as two proper updates have.
    twice = TWICE.replace(b'"quantity": 1, ', b'"product_id": "B", ')
    few = b'{"quantity": 1, "timestamp": 2, "a": 3}'
    assert (twice + few).count(b'"') == 20

    body = b'{"items": [%s, %s]}' % (twice, few)
    answer = library.call("POST", "/inventory/updates", role="lms", data=body, content_type="application/json")

    assert answer.status_code in {400, 422}
    assert write_lines(library, twice + b"\n" + few).status_code == 422
    assert stored(owner) == []


# — lines ——————————————————————————————————————————————————————————————————————————————————————————


def test_lines_are_written_whatever_ends_them(library: Library, owner: Engine) -> None:
    body = b"\r\n".join(
        [orjson.dumps(item("A", 1)), b"  " + orjson.dumps(item("B", 2)) + b"\t", orjson.dumps(item("C", 3))]
    )

    assert write_lines(library, body).json == {"inserted": 3}
    assert stored(owner) == [("A", 1), ("B", 2), ("C", 3)]


def test_many_lines_are_written_in_one_transaction(library: Library, owner: Engine) -> None:
    many = [item(f"SKU-{number}", number) for number in range(30_000)]

    assert write_lines(library, lines_of(*many)).json == {"inserted": 30_000}
    assert stored(owner) == [(each["product_id"], each["quantity"]) for each in many]


def test_a_faulty_line_far_on_undoes_all_before(library: Library, owner: Engine) -> None:
    many = lines_of(*[item()] * 30_000)

    answer = write_lines(library, many + lines_of(item(quantity=-1)) + many)

    assert set(faults(answer)) == {"lines.30001.quantity"}
    assert "Line 30001" in answer.json["detail"]
    assert stored(owner) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", "The line is not JSON in UTF-8"),
        (b"{", "The line is not JSON in UTF-8"),
        (b"[]", "Must be an object."),
        (b"null", "Must be an object."),
        (orjson.dumps(item()) + orjson.dumps(item()), "The line is not JSON in UTF-8"),
        (b"[" + orjson.dumps(item()) + b"]", "Must be an object."),
        (orjson.dumps(item("caf?")).replace(b"?", b"\xe9"), "The line is not JSON in UTF-8: the byte 0xe9"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "The line"),
        (b" " * 16_384 + orjson.dumps(item()), "Must have at most 16384 bytes."),
        (b"x" * 3_000_000, "Must have at most 16384 bytes."),
    ],
)
def test_what_is_no_line_is_named_by_its_number(library: Library, owner: Engine, bad: bytes, message: str) -> None:
    answer = write_lines(library, lines_of(item(), item()) + bad + b"\n" + lines_of(item()))

    [(field, told)] = faults(answer).items()
    assert (field, told[: len(message)]) == ("lines.3", message)
    assert stored(owner) == []


def test_no_lines_at_all_are_refused(library: Library) -> None:
    assert faults(write_lines(library, b"")) == {"lines": "Must have at least one line."}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-ndjson; charset=latin-1"},
        {"Content-Encoding": "gzip"},
        {"Content-Type": "text/csv"},
    ],
)
def test_lines_in_another_coding_are_refused(library: Library, headers: dict[str, str]) -> None:
    headers = {"Content-Type": "application/x-ndjson", **headers}
    answer = library.call("POST", "/inventory/updates", role="lms", data=lines_of(item()), headers=headers)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_lines_are_taken_where_they_are_taken_and_nowhere_else(library: Library) -> None:
    for path in ("/books", "/service-accounts"):
        answer = library.call("POST", path, role="admin", data=lines_of(item()), content_type="application/x-ndjson")

        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


# — again ——————————————————————————————————————————————————————————————————————————————————————————

KEY = {"Idempotency-Key": "feed-1"}


def test_lines_sent_again_are_written_once(library: Library, owner: Engine) -> None:
    body = lines_of(*[item()] * 20_000)

    first, again = write_lines(library, body, headers=KEY), write_lines(library, body, headers=KEY)

    assert (first.status_code, first.json, "Idempotent-Replayed" in first.headers) == (201, {"inserted": 20_000}, False)
    assert (again.status_code, again.json, again.headers["Idempotent-Replayed"]) == (201, {"inserted": 20_000}, "true")
    assert len(stored(owner)) == 20_000


def test_other_lines_with_the_same_key_are_refused(library: Library, owner: Engine) -> None:
    body = lines_of(*[item()] * 20_000)
    write_lines(library, body, headers=KEY)

    for other in (body[:-1], body + lines_of(item()), b"\xff" * 5):
        answer = write_lines(library, other, headers=KEY)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert write(library, item(), headers=KEY).json["code"] == "idempotency_key_reused"
    assert len(stored(owner)) == 20_000


def test_lines_that_were_refused_may_come_mended_with_the_same_key(library: Library, owner: Engine) -> None:
    assert write_lines(library, lines_of(item(quantity=-1)), headers=KEY).status_code == 422
    assert write_lines(library, lines_of(item(quantity=1)), headers=KEY).status_code == 201
    assert stored(owner) == [("SKU-1", 1)]


# — limits —————————————————————————————————————————————————————————————————————————————————————————


def test_writing_counts_against_its_own_limit(make_app: Any, library: Library) -> None:
    library.app = make_app(INVENTORY_WRITE_RATE_LIMIT="2/minute")

    answers = [write(library, item()), write_lines(library, lines_of(item())), write(library, item())]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert '"inventory_write"' in answers[0].headers["RateLimit-Policy"]
