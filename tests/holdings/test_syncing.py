"""Bringing a collection up to a feed: replacements and deltas, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.isbn import isbn10_of
from bench.dataset import isbn13
from tests.conftest import Library
from tests.holdings.shelf import BEOWULF, DUNE, EMMA, HOBBIT, ULYSSES, Shelf, rejected, told
from tests.naming import sent_statements

WRONG_DIGIT = DUNE[:-1] + str((int(DUNE[-1]) + 1) % 10)


def short(value: object) -> str:
    """A parameter's name in a report."""
    return str(value)[:60]


# — replacement ————————————————————————————————————————————————————————————————————————————————————


def test_a_replacement_says_what_came_changed_went_and_stayed(shelf: Shelf) -> None:
    first = shelf.put(DUNE, {"isbn": HOBBIT, "copies_total": 3, "copies_available": 2}, EMMA)
    second = shelf.put(
        {"isbn": DUNE, "copies_total": 2}, {"isbn": HOBBIT, "copies_total": 3, "copies_available": 2}, BEOWULF
    )

    assert told(first) == (3, 0, 0, 0)
    assert told(second) == (1, 1, 1, 1)
    assert shelf.holds() == {DUNE: (2, 2), HOBBIT: (3, 2), BEOWULF: (1, 1)}


def test_the_same_again_changes_no_row(shelf: Shelf, owner: Engine) -> None:
    rows: list[dict[str, Any]] = [
        {"isbn": isbn, "copies_total": 2, "info": {"shelf": "A", "weight": 1.5}} for isbn in (DUNE, HOBBIT)
    ]
    shelf.put(*rows)
    before = places(owner)

    answer = shelf.put(*rows)

    assert told(answer) == (0, 0, 0, 2)
    assert places(owner) == before


def places(owner: Engine) -> set[tuple[str, str]]:
    """Where the rows of items and books lie on disk: elsewhere once they were written again."""
    question = "SELECT isbn, ctid::text FROM collection_items UNION ALL SELECT id::text, ctid::text FROM books"
    with owner.connect() as connection:
        return {(name, place) for name, place in connection.execute(text(question))}


def test_an_empty_feed_empties_the_collection(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT)

    assert told(shelf.put()) == (0, 0, 2, 0)
    assert shelf.holds() == {}


def test_an_isbn_counts_in_any_spelling(shelf: Shelf) -> None:
    spellings = [isbn10_of(DUNE), f"{HOBBIT[:3]}-{HOBBIT[3:]}", f" {EMMA} "]

    assert told(shelf.put(*(str(each) for each in spellings))) == (3, 0, 0, 0)
    assert set(shelf.holds()) == {DUNE, HOBBIT, EMMA}


def test_zero_copies_are_kept(shelf: Shelf) -> None:
    shelf.put({"isbn": DUNE, "copies_total": 0})

    assert shelf.holds() == {DUNE: (0, 0)}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"isbn": WRONG_DIGIT}, "invalid_isbn"),
        ({"isbn": ""}, "invalid_isbn"),
        ({"isbn": "x" * 100_000}, "invalid_isbn"),
        ({"isbn": None}, "invalid_isbn"),
        ({"isbn": int(HOBBIT)}, "invalid_isbn"),
        ({}, "invalid_isbn"),
        ({"isbn": HOBBIT, "copies_total": -1}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": 1_000_001}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": "3"}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": 1.0}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": True}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": None}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_available": -1}, "invalid_copies"),
        ({"isbn": HOBBIT, "copies_total": 2, "copies_available": 3}, "available_exceeds_total"),
        ({"isbn": HOBBIT, "copies_available": 2}, "available_exceeds_total"),
        ({"isbn": HOBBIT, "info": 5}, "invalid_info"),
        ({"isbn": HOBBIT, "info": []}, "invalid_info"),
        ({"isbn": HOBBIT, "info": "x" * 2001}, "invalid_info"),
        ({"isbn": HOBBIT, "info": "\x00"}, "invalid_info"),
        ({"isbn": HOBBIT, "info": {"a": ["\x00"]}}, "invalid_info"),
        ({"isbn": HOBBIT, "info": {"\x00": 1}}, "invalid_info"),
        ({"isbn": HOBBIT, "info": {"a": 1e300}}, "invalid_info"),
        ({"isbn": HOBBIT, "info": {"a": "x" * 2000}}, "invalid_info"),
        ({"isbn": DUNE}, "duplicate_in_request"),
        ({"isbn": isbn10_of(DUNE)}, "duplicate_in_request"),
    ],
    ids=short,
)
def test_a_row_with_an_unacceptable_value_is_rejected_and_the_others_are_taken(
    shelf: Shelf, row: dict[str, Any], code: str
) -> None:
    answer = shelf.put(DUNE, row, EMMA)

    assert rejected(answer) == [(1, code)]
    assert answer.json["rejected"][0]["message"]
    assert set(shelf.holds()) == {DUNE, EMMA}


def test_a_rejected_row_is_named_as_it_was_sent(shelf: Shelf) -> None:
    answer = shelf.put(DUNE, WRONG_DIGIT, {"isbn": None}, "x" * 500)

    assert [each["isbn"] for each in answer.json["rejected"]] == [WRONG_DIGIT, None, "x" * 40]


def test_what_there_is_of_a_rejected_rows_isbn_stays(shelf: Shelf) -> None:
    shelf.put({"isbn": DUNE, "copies_total": 4}, HOBBIT)

    answer = shelf.put({"isbn": DUNE, "copies_total": 1, "copies_available": 2}, EMMA)

    assert told(answer) == (1, 0, 1, 0)
    assert shelf.holds() == {DUNE: (4, 4), EMMA: (1, 1)}


def test_where_every_row_is_bad_nothing_changes(shelf: Shelf) -> None:
    shelf.put(DUNE)

    answer = shelf.put({"isbn": WRONG_DIGIT}, {"isbn": HOBBIT, "copies_total": -1})

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert [error["field"] for error in answer.json["errors"]] == ["items.0", "items.1"]
    assert shelf.holds() == {DUNE: (1, 1)}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"items": [{"isbn": DUNE}, {"isbn": HOBBIT, "copies": 3}]}, "items.1.copies"),
        ({"items": [{"isbn": DUNE}, DUNE]}, "items.1"),
        ({"items": [None]}, "items.0"),
        ({"items": {"isbn": DUNE}}, "items"),
        ({"items": None}, "items"),
        ({}, "items"),
        ({"items": [], "dry_run": True}, "dry_run"),
        ({"items": [{"isbn": DUNE, "action": "add"}]}, "items.0.action"),
    ],
    ids=short,
)
def test_a_body_of_another_shape_is_refused_whole(shelf: Shelf, body: dict[str, Any], field: str) -> None:
    answer = shelf.library.call("PUT", f"{shelf.path}/items", role="lms", json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert shelf.holds() == {}


def test_more_rows_than_a_request_may_have_are_refused_at_once(shelf: Shelf) -> None:
    answer = shelf.put(*[DUNE] * 50_001)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == ["items"]


def test_a_dry_run_tells_the_same_and_changes_nothing(shelf: Shelf, owner: Engine) -> None:
    shelf.put(DUNE, HOBBIT)
    before = shelf.library.get(shelf.path).json
    feed: list[dict[str, Any] | str] = [{"isbn": DUNE, "copies_total": 2}, EMMA, WRONG_DIGIT]

    dry, holds, after = shelf.put(*feed, dry_run="true"), shelf.holds(), shelf.library.get(shelf.path).json
    wet = shelf.put(*feed)

    assert told(dry) == (1, 1, 1, 0)
    assert dry.json == wet.json
    assert holds == {DUNE: (1, 1), HOBBIT: (1, 1)}
    assert after == before
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM events WHERE type = 'collection.synced'")) == 2


def test_a_feed_that_would_remove_too_much_is_refused(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT, EMMA)

    refused, allowed = shelf.put(DUNE, max_removals=1), shelf.put(DUNE, max_removals=2)

    assert (refused.status_code, refused.json["code"], refused.json["removals"]) == (409, "too_many_removals", 2)
    assert told(allowed) == (0, 0, 2, 1)


def test_a_refused_feed_changes_nothing(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT)

    shelf.put(BEOWULF, max_removals=1)

    assert set(shelf.holds()) == {DUNE, HOBBIT}


def test_info_comes_back_as_it_was_sent(shelf: Shelf) -> None:
    notes = ["SF HER", {"shelf": "SF", "floors": [1, 2], "on_order": False, "price": 9.5, "note": None}, "two\nlines"]

    shelf.put(*({"isbn": isbn, "info": info} for isbn, info in zip((DUNE, HOBBIT, EMMA), notes, strict=True)), BEOWULF)

    assert [item["info"] for item in shelf.items()] == [*notes, None]


def test_what_python_takes_for_the_same_info_is_none(shelf: Shelf) -> None:
    infos: list[Any] = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": True, "b": 2}, {"a": 1.0, "b": 2}]

    assert [told(shelf.put({"isbn": DUNE, "info": info}))[1] for info in infos] == [0, 0, 1, 1]


def test_rejected_rows_are_named_in_their_order(shelf: Shelf) -> None:
    rows = [{"action": "remove", "isbn": HOBBIT}, {"action": "add", "isbn": DUNE}, {"action": "add", "isbn": ""}]

    assert rejected(shelf.change(*rows)) == [(0, "not_in_collection"), (2, "invalid_isbn")]


def test_a_replacement_without_info_clears_it(shelf: Shelf) -> None:
    shelf.put({"isbn": DUNE, "info": "SF HER"})

    assert told(shelf.put(DUNE)) == (0, 1, 0, 0)
    assert shelf.items()[0]["info"] is None


# — delta ——————————————————————————————————————————————————————————————————————————————————————————


def test_a_delta_does_what_its_rows_say_and_leaves_the_rest(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT, EMMA)

    answer = shelf.change(
        {"action": "add", "isbn": BEOWULF, "copies_total": 2},
        {"action": "update", "isbn": DUNE, "copies_total": 5},
        {"action": "update", "isbn": EMMA, "copies_total": 1},
        {"action": "remove", "isbn": HOBBIT},
    )

    assert told(answer) == (1, 1, 1, 1)
    assert shelf.holds() == {DUNE: (5, 5), EMMA: (1, 1), BEOWULF: (2, 2)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"copies_available": 1}, (4, 1, "A")),
        ({"copies_total": 6}, (6, 6, "A")),
        ({"copies_total": 6, "copies_available": 0}, (6, 0, "A")),
        ({"info": "B"}, (4, 2, "B")),
        ({"info": None}, (4, 2, None)),
        ({}, (4, 2, "A")),
    ],
    ids=short,
)
def test_what_an_update_leaves_out_stays(shelf: Shelf, given: dict[str, Any], expected: tuple[int, int, str]) -> None:
    shelf.put({"isbn": DUNE, "copies_total": 4, "copies_available": 2, "info": "A"})

    shelf.change({"action": "update", "isbn": DUNE, **given})

    [item] = shelf.items()
    assert (item["copies_total"], item["copies_available"], item["info"]) == expected


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"action": "update", "isbn": ULYSSES, "copies_total": 1}, "not_in_collection"),
        ({"action": "remove", "isbn": ULYSSES}, "not_in_collection"),
        ({"action": "update", "isbn": DUNE, "copies_available": 2}, "available_exceeds_total"),
        ({"action": "add", "isbn": ULYSSES, "copies_available": 2}, "available_exceeds_total"),
        ({"action": "drop", "isbn": DUNE}, "invalid_action"),
        ({"action": ["add"], "isbn": DUNE}, "invalid_action"),
        ({"isbn": DUNE}, "invalid_action"),
        ({"action": "add", "isbn": WRONG_DIGIT}, "invalid_isbn"),
        ({"action": "remove", "isbn": EMMA}, "duplicate_in_request"),
    ],
    ids=short,
)
def test_a_row_of_a_delta_that_cannot_be_done_is_rejected(shelf: Shelf, row: dict[str, Any], code: str) -> None:
    shelf.put(DUNE)

    answer = shelf.change({"action": "add", "isbn": EMMA}, row)

    assert rejected(answer) == [(1, code)]
    assert shelf.holds() == {DUNE: (1, 1), EMMA: (1, 1)}


def test_what_is_to_be_added_and_is_there_refuses_all_of_it(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT)

    answer = shelf.change(
        {"action": "remove", "isbn": HOBBIT}, {"action": "add", "isbn": EMMA}, {"action": "add", "isbn": DUNE}
    )

    assert (answer.status_code, answer.json["code"], answer.json["isbns"]) == (409, "already_in_collection", [DUNE])
    assert [error["field"] for error in answer.json["errors"]] == ["items.2.isbn"]
    assert set(shelf.holds()) == {DUNE, HOBBIT}


def test_what_is_there_already_is_passed_over_where_it_is_asked_for(shelf: Shelf) -> None:
    shelf.put({"isbn": DUNE, "copies_total": 3})

    answer = shelf.change({"action": "add", "isbn": DUNE}, {"action": "add", "isbn": EMMA}, on_conflict="skip")

    assert told(answer) == (1, 0, 0, 1)
    assert shelf.holds() == {DUNE: (3, 3), EMMA: (1, 1)}


def test_a_delta_in_which_every_row_is_bad_changes_nothing(shelf: Shelf) -> None:
    answer = shelf.change({"action": "remove", "isbn": DUNE}, {"action": "update", "isbn": HOBBIT})

    assert (answer.status_code, len(answer.json["errors"])) == (422, 2)


def test_a_delta_may_be_tried_and_bounded_as_well(shelf: Shelf) -> None:
    shelf.put(DUNE, HOBBIT)
    rows = [{"action": "remove", "isbn": isbn} for isbn in (DUNE, HOBBIT)]

    dry, refused = shelf.change(*rows, dry_run="true"), shelf.change(*rows, max_removals=1)

    assert told(dry) == (0, 0, 2, 0)
    assert (refused.status_code, refused.json["code"]) == (409, "too_many_removals")
    assert set(shelf.holds()) == {DUNE, HOBBIT}


def test_an_unknown_way_to_meet_conflicts_is_refused(shelf: Shelf) -> None:
    assert shelf.change({"action": "add", "isbn": DUNE}, on_conflict="merge").status_code == 422


# — around both ————————————————————————————————————————————————————————————————————————————————————


def test_a_sync_is_recorded_in_numbers(shelf: Shelf, owner: Engine) -> None:
    shelf.put(DUNE, HOBBIT, WRONG_DIGIT)

    with owner.connect() as connection:
        [data] = connection.scalars(text("SELECT data FROM events WHERE type = 'collection.synced'"))
    assert data == {"added": 2, "updated": 0, "removed": 0, "unchanged": 0, "rejected": 1}


def test_a_collection_tells_when_it_was_synced_and_when_it_changed(shelf: Shelf) -> None:
    before = shelf.library.get(shelf.path).json
    shelf.put(DUNE)
    changed = shelf.library.get(shelf.path).json
    shelf.put(DUNE)
    same = shelf.library.get(shelf.path).json

    assert before["synced_at"] is None
    assert changed["updated_at"] == changed["synced_at"] > before["updated_at"]
    assert same["updated_at"] == changed["updated_at"] < same["synced_at"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_sync_may_be_bound_to_what_was_read(shelf: Shelf, method: str) -> None:
    path = f"{shelf.path}/items"
    etag = shelf.library.get(path).headers["ETag"]
    body = {"items": [{"isbn": DUNE, **({"action": "add"} if method == "PATCH" else {})}]}

    first = shelf.library.call(method, path, role="lms", json=body, headers={"If-Match": etag})
    second = shelf.library.call(method, path, role="lms", json=body, headers={"If-Match": etag})

    assert (first.status_code, second.status_code) == (200, 412)
    assert "ETag" not in first.headers


def test_beyond_the_first_page_a_change_moves_the_etag_as_well(shelf: Shelf) -> None:
    rows = [isbn13(number) for number in range(100, 180)]
    shelf.put(*rows)
    etag = shelf.library.get(f"{shelf.path}/items").headers["ETag"]

    shelf.change({"action": "update", "isbn": max(rows), "copies_total": 9})

    assert shelf.library.get(f"{shelf.path}/items").headers["ETag"] != etag


def test_rows_are_written_by_a_few_statements(shelf: Shelf) -> None:
    def statements(number: int) -> int:
        with sent_statements() as sent:
            shelf.put(*[{"isbn": isbn13(each), "copies_total": number % 7} for each in range(number)])
        return len(sent)

    shelf.put(DUNE)
    assert statements(1000) <= statements(10) + 2


def test_a_librarian_may_sync_as_well(shelf: Shelf, library: Library) -> None:
    assert shelf.put(DUNE, role="librarian").status_code == 200
