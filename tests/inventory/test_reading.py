"""Reading stock: a product's history, and the newest of many products."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Answer, Library
from tests.inventory.stock import item, write
from tests.naming import sent_statements

MORNING, NOON, EVENING = ("2026-10-31T06:00:00Z", "2026-10-31T12:00:00Z", "2026-11-01T18:00:00Z")


def history(library: Library, product_id: str = "A", **query: Any) -> Answer:
    """The list."""
    return library.get("/inventory", query_string={"product_id": product_id, **query})


def quantities(answer: Answer) -> list[int]:
    """What a list or the newest say, in their order."""
    assert answer.status_code == 200, answer.text
    return [each["quantity"] for each in answer.json["items"]]


@pytest.fixture
def stocked(library: Library, other_library: Library) -> Library:
    """Three updates of A and one of B, beside those of another library."""
    write(library, item("A", 2, NOON), item("B", 9, NOON), item("A", 3, EVENING), item("A", 1, MORNING))
    write(other_library, item("A", 77, NOON), item("C", 78, NOON))
    return library


def test_a_products_updates_come_the_oldest_first(stocked: Library) -> None:
    answer = history(stocked)

    assert quantities(answer) == [1, 2, 3]
    first = answer.json["items"][0]
    assert {name: first[name] for name in ("product_id", "quantity", "timestamp")} == item("A", 1, MORNING)
    assert set(first) == {"id", "product_id", "quantity", "timestamp", "created_at"}
    assert {name: value for name, value in answer.json.items() if name != "items"} == {
        "total": 3, "total_relation": "eq", "next_cursor": None, "count": 3, "limit": 50, "offset": 0,
    }  # fmt: skip


def test_both_ends_of_a_time_are_included(stocked: Library) -> None:
    assert quantities(history(stocked, start=NOON)) == [2, 3]
    assert quantities(history(stocked, end=NOON)) == [1, 2]
    assert quantities(history(stocked, start=NOON, end=NOON)) == [2]
    assert quantities(history(stocked, start="2026-10-31T14:00:00+02:00", end="2026-10-31T07:00:00-05:00")) == [2]
    assert quantities(history(stocked, start="2026-10-31T12:00:00.000001Z", end="2026-11-01T17:59:59.999999Z")) == []


def test_an_unknown_product_has_no_updates(stocked: Library) -> None:
    answer = history(stocked, "C")

    assert (quantities(answer), answer.json["total"], answer.json["count"]) == ([], 0, 0)
    assert answer.json["next_cursor"] is None


def test_pages_of_updates_at_one_time_repeat_and_skip_nothing(library: Library) -> None:
    write(library, *[item("A", number, NOON) for number in range(25)], item("A", 25, EVENING))

    pages: list[list[int]] = []
    cursor = None
    while len(pages) < 20:
        answer = history(library, limit=4, **({"cursor": cursor} if cursor else {}))
        pages.append(quantities(answer))
        assert (answer.json["total"], answer.json["count"]) == (26, len(pages[-1]))
        cursor = answer.json["next_cursor"]
        # What comes in before the place changes nothing behind it.
        write(library, item("A", 99, MORNING)) if len(pages) == 7 else None
        if cursor is None:
            break

    assert [len(page) for page in pages] == [4, 4, 4, 4, 4, 4, 2]
    assert [number for page in pages for number in page] == list(range(26))


def test_an_offset_passes_over_some(library: Library) -> None:
    write(library, *[item("A", number, NOON) for number in range(10)])

    middle, beyond = history(library, offset=4, limit=3), history(library, offset=10_000)

    assert quantities(middle) == [4, 5, 6]
    assert {name: middle.json[name] for name in ("total", "count", "limit", "offset")} == {
        "total": 10, "count": 3, "limit": 3, "offset": 4,
    }  # fmt: skip
    assert quantities(history(library, cursor=middle.json["next_cursor"])) == [7, 8, 9]
    assert (quantities(beyond), beyond.json["total"], beyond.json["next_cursor"]) == ([], 10, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start": EVENING, "end": NOON}, "end"),
        ({"start": "2026-11-01T00:00:00"}, "start"),
        ({"end": "yesterday"}, "end"),
        ({"offset": 10_001}, "offset"),
        ({"offset": -1}, "offset"),
        ({"limit": 501}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"colour": "red"}, "colour"),
        ({"product_id": "x" * 256}, "product_id"),
    ],
)
def test_what_can_not_be_asked_is_refused(stocked: Library, query: dict[str, Any], field: str) -> None:
    answer = history(stocked, **query)

    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [field])


def test_a_product_must_be_named(stocked: Library) -> None:
    for path in ("/inventory", "/inventory/latest"):
        answer = stocked.get(path)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "product_id")


def test_a_cursor_is_good_for_its_own_list_only(library: Library, other_library: Library) -> None:
    write(library, *[item("A", number, NOON) for number in range(3)], *[item("B", 1, NOON)] * 3)
    cursor = history(library, limit=2).json["next_cursor"]

    assert quantities(history(library, cursor=cursor)) == [2]
    for refused in (
        history(library, "B", cursor=cursor),
        history(library, cursor=cursor, start=MORNING),
        history(library, cursor=cursor, offset=1),
        history(other_library, cursor=cursor),
    ):
        assert refused.status_code == 422


def test_a_total_is_told_up_to_ten_thousand(library: Library) -> None:
    write(library, *[item("A", number, NOON) for number in range(10_000)])
    whole = history(library)
    write(library, item("A", 0, MORNING))
    more = history(library)

    assert (whole.json["total"], whole.json["total_relation"]) == (10_000, "eq")
    assert (more.json["total"], more.json["total_relation"]) == (10_000, "gte")


# — the newest —————————————————————————————————————————————————————————————————————————————————————


def test_the_newest_of_each_product_comes_in_the_order_asked(stocked: Library) -> None:
    answer = stocked.get("/inventory/latest?product_id=B&product_id=C&product_id=A&product_id=B")

    assert [(each["product_id"], each["quantity"]) for each in answer.json["items"]] == [("B", 9), ("A", 3)]


def test_of_two_at_one_time_the_one_written_last_is_the_newest(library: Library) -> None:
    write(library, item("A", 1, NOON), item("A", 2, NOON))
    write(library, item("A", 3, NOON))
    write(library, item("A", 4, MORNING))

    assert quantities(library.get("/inventory/latest?product_id=A")) == [3]


def test_the_newest_may_lie_in_the_past_or_the_future(library: Library) -> None:
    write(library, item("old", 1, "1995-01-01T00:00:00Z"), item("new", 2, "2031-01-01T00:00:00Z"))

    assert quantities(library.get("/inventory/latest?product_id=old&product_id=new")) == [1, 2]


@pytest.mark.parametrize(("count", "status"), [(500, 200), (501, 422)])
def test_five_hundred_products_may_be_asked_for(library: Library, count: int, status: int) -> None:
    write(library, *[item(f"SKU-{number}", number) for number in range(500)])

    answer = library.get("/inventory/latest", query_string={"product_id": [f"SKU-{number}" for number in range(count)]})

    assert answer.status_code == status
    assert status != 200 or quantities(answer) == list(range(500))


# — who, and how often —————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("path", ["/inventory?product_id=A", "/inventory/latest?product_id=A"])
def test_stock_is_read_by_those_who_may(stocked: Library, other_library: Library, path: str) -> None:
    statuses = {role: stocked.get(path, role=role).status_code for role in (None, "lms", "librarian", "admin", "kiosk")}

    assert statuses == {None: 401, "lms": 200, "librarian": 200, "admin": 200, "kiosk": 403}
    assert stocked.get(path, token=other_library.key("lms")).status_code == 404


@pytest.mark.parametrize("path", ["/inventory?product_id=A", "/inventory/latest?product_id=A"])
def test_what_was_read_is_kept_until_something_is_written(stocked: Library, path: str) -> None:
    first = stocked.get(path)
    with sent_statements() as sent:
        again = stocked.get(path)
    spared = stocked.get(path, headers={"If-None-Match": first.headers["ETag"]})
    write(stocked, item("A", 4, "2026-11-02T00:00:00Z"))
    newer = stocked.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (again.data, sent) == (first.data, [])
    assert (spared.status_code, spared.data) == (304, b"")
    assert (newer.status_code, quantities(newer)[-1]) == (200, 4)


def test_reading_counts_against_its_own_limit(make_app: Any, stocked: Library) -> None:
    stocked.app = make_app(INVENTORY_READ_RATE_LIMIT="2/minute")

    answers = [history(stocked), stocked.get("/inventory/latest?product_id=A"), history(stocked, "B")]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert '"inventory_read"' in answers[0].headers["RateLimit-Policy"]
