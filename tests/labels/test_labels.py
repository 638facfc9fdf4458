"""Labels: given one by one and in bulk, and kept by the origin that has the most weight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from bench.dataset import isbn13
from tests.auth.people import told
from tests.conftest import Answer, Library
from tests.naming import sent_statements

NOBODY = "01980000-0000-7000-8000-000000000000"


def book(library: Library, **fields: Any) -> str:
    """A new book; its id."""
    made = library.post("/books", {"title": "Dune", "authors": [{"name": "Frank Herbert"}], **fields})
    assert made.status_code == 201, made.text
    return str(made.json["id"])


def label(library: Library, book_id: str, origin: str = "person", **labels: Any) -> Answer:
    """Give a book labels."""
    return library.call("PUT", f"/books/{book_id}/labels", json={"origin": origin, **labels})


def labels_of(library: Library, book_id: str) -> Any:
    """What a book's labels are."""
    return library.get(f"/books/{book_id}").json["labels"]


def bulk(library: Library, *items: dict[str, Any], role: str = "lms") -> Answer:
    """Give many."""
    return library.patch("/books/labels", {"items": list(items)}, role=role)


def test_a_book_says_what_it_is_like_and_who_said_so(library: Library) -> None:
    made = book(library)

    answer = label(library, made, hues=["dark_gritty", "inspiring"], min_age=12, summary="A desert.\nAnd its spice.")

    expected = {
        "hues": ["dark_gritty", "inspiring"],
        "min_age": 12,
        "summary": "A desert.\nAnd its spice.",
        "origins": {"hues": "person", "min_age": "person", "summary": "person"},
    }
    assert (answer.status_code, answer.json) == (200, {"labels": expected, "kept": []})
    assert labels_of(library, made) == expected
    assert [each["id"] for each in library.get("/books?label=inspiring").json["items"]] == [made]


def test_a_lighter_origin_keeps_its_hands_off(library: Library) -> None:
    made = book(library)
    label(library, made, "publisher", hues=["inspiring"], max_age=99)

    lighter = label(library, made, "import", hues=["dark_gritty"], max_age=None, min_age=3)
    same = label(library, made, "publisher", max_age=80)
    heavier = label(library, made, "person", hues=["funny_comic"])

    assert lighter.json["kept"] == ["hues", "max_age"]
    assert lighter.json["labels"]["min_age"] == 3
    assert same.json["labels"]["max_age"] == 80
    assert heavier.json["labels"] == {
        "hues": ["funny_comic"],
        "min_age": 3,
        "max_age": 80,
        "origins": {"hues": "person", "min_age": "import", "max_age": "publisher"},
    }


def test_null_takes_a_label_away_and_with_the_last_one_all(library: Library) -> None:
    made = book(library)
    label(library, made, hues=["inspiring"], recommendable=False)

    assert label(library, made, hues=[]).json["labels"] == {
        "recommendable": False,
        "origins": {"recommendable": "person"},
    }
    assert label(library, made, recommendable=None).json["labels"] is None
    assert labels_of(library, made) is None
    # A label that was taken away is anybody's to give.
    assert label(library, made, "rule", recommendable=True).json["kept"] == []


@pytest.mark.parametrize(
    ("field", "labels"),
    [
        ("origin", {"origin": "me", "min_age": 1}),
        ("hues.0", {"hues": ["sad"]}),
        ("hues", {"hues": ["inspiring", "inspiring"]}),
        ("hues", {"hues": ["inspiring", "dark_gritty", "funny_comic", "informative"]}),
        ("reading_abilities.0", {"reading_abilities": ["fluent"]}),
        ("min_age", {"min_age": -1}),
        ("min_age", {"min_age": 121}),
        ("min_age", {"min_age": "8"}),
        ("max_age", {"min_age": 9, "max_age": 8}),
        ("summary", {"summary": "x" * 2001}),
        ("summary", {"summary": " "}),
        ("recommendable", {"recommendable": "yes"}),
        ("recommendable", {"recommendable": 1}),
        ("colour", {"colour": "red"}),
    ],
)
def test_what_is_no_label_is_refused(library: Library, field: str, labels: dict[str, Any]) -> None:
    made = book(library)

    answer = label(library, made, **labels)

    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json["errors"]], answer.text
    assert labels_of(library, made) is None


def test_ages_that_contradict_those_there_are_refused(library: Library) -> None:
    made = book(library)
    label(library, made, min_age=8)

    assert told(label(library, made, "import", max_age=7)) == (422, "invalid_input")
    assert labels_of(library, made) == {"min_age": 8, "origins": {"min_age": "person"}}


def test_many_books_are_labelled_at_once_by_id_or_isbn(library: Library) -> None:
    first, second = book(library, isbns=[isbn13(1)]), book(library, isbns=[isbn13(2)])
    label(library, second, "person", min_age=9)

    answer = bulk(
        library,
        {"isbn": f"{isbn13(1)[:3]}-{isbn13(1)[3:]}", "origin": "import", "min_age": 5},
        {"book_id": second, "origin": "import", "min_age": 6, "hues": ["informative"]},
        {"isbn": "9780441172710", "origin": "import", "min_age": 5},
        {"isbn": isbn13(3), "origin": "import", "min_age": 5},
        {"book_id": NOBODY, "origin": "import", "min_age": 5},
        {"book_id": first, "origin": "person", "min_age": 7},
    )

    assert answer.json["results"] == [
        {"index": 0, "status": "updated", "kept": []},
        {"index": 1, "status": "updated", "kept": ["min_age"]},
        {"index": 2, "status": "rejected", "kept": [], "code": "invalid_isbn"},
        {"index": 3, "status": "rejected", "kept": [], "code": "unknown_book"},
        {"index": 4, "status": "rejected", "kept": [], "code": "unknown_book"},
        {"index": 5, "status": "rejected", "kept": [], "code": "duplicate_in_request"},
    ]
    assert labels_of(library, first) == {"min_age": 5, "origins": {"min_age": "import"}}
    assert labels_of(library, second)["hues"] == ["informative"]


def test_an_item_with_contradicting_ages_is_rejected_alone(library: Library) -> None:
    first, second = book(library), book(library)

    answer = bulk(
        library,
        {"book_id": first, "origin": "import", "min_age": 9, "max_age": 8},
        {"book_id": second, "origin": "import", "max_age": 8},
    )

    assert [each.get("code") for each in answer.json["results"]] == ["invalid_ages", None]
    assert labels_of(library, first) is None


@pytest.mark.parametrize(
    ("field", "items"),
    [
        ("items", []),
        ("items", [{"book_id": NOBODY, "origin": "import", "min_age": 1}] * 1001),
        ("items.0", [{"origin": "import", "min_age": 1}]),
        ("items.0", [{"book_id": NOBODY, "isbn": "9780441172719", "origin": "import", "min_age": 1}]),
        ("items.0.book_id", [{"book_id": "x", "origin": "import", "min_age": 1}]),
        ("items.0.origin", [{"book_id": NOBODY, "min_age": 1}]),
    ],
)
def test_a_bulk_of_another_shape_is_refused_whole(library: Library, field: str, items: list[Any]) -> None:
    answer = bulk(library, *items)

    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json["errors"]], answer.text


def test_a_thousand_take_as_many_statements_as_one(library: Library) -> None:
    books = [book(library, isbns=[isbn13(number)]) for number in range(1, 6)]

    bulk(library, {"book_id": books[1], "origin": "import", "max_age": 99})  # signs in
    with sent_statements() as one:
        bulk(library, {"book_id": books[0], "origin": "import", "min_age": 1})
    with sent_statements() as many:
        bulk(library, *({"book_id": each, "origin": "import", "min_age": 2} for each in books))

    assert len(many) == len(one)


def test_labels_leave_an_event_each_and_nothing_where_nothing_changed(library: Library, owner: Engine) -> None:
    made = book(library)
    for _ in range(2):
        label(library, made, hues=["inspiring"], summary="A secret")

    with owner.connect() as connection:
        events = connection.execute(text("SELECT subject_id, data FROM events WHERE type = 'book.labelled'")).all()
    assert [(str(subject), data) for subject, data in events] == [
        (made, {"origin": "person", "labels": ["hues", "summary"]})
    ]


def test_labels_given_at_once_are_all_there(library: Library) -> None:
    made = book(library)
    given = [{"hues": ["inspiring"]}, {"min_age": 3}, {"max_age": 9}, {"summary": "Short"}, {"recommendable": True}]

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda labels: label(library, made, **labels).status_code, given))

    assert answers == [200] * 5
    assert len(labels_of(library, made)["origins"]) == 5


def test_the_label_of_a_book_shows_in_lists_at_once(library: Library) -> None:
    made = book(library)
    assert library.get("/books").json["items"][0]["labels"] is None

    label(library, made, min_age=3)

    assert library.get("/books").json["items"][0]["labels"]["min_age"] == 3


def test_another_librarys_book_is_not_labelled(library: Library, other_library: Library) -> None:
    made = book(other_library, isbns=[isbn13(1)])

    assert label(library, made, min_age=1).status_code == 404
    answer = bulk(
        library,
        {"book_id": made, "origin": "person", "min_age": 1},
        {"isbn": isbn13(1), "origin": "person", "min_age": 1},
    )
    assert [each["code"] for each in answer.json["results"]] == ["unknown_book"] * 2
    assert labels_of(other_library, made) is None
