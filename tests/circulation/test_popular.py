"""What was lent most."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import Engine

from tests.auth.people import execute
from tests.circulation.desk import Desk
from tests.conftest import Library, Person


def popular(library: Library, **query: Any) -> list[tuple[str, int]]:
    answer = library.get("/books/popular", role="read_only", query_string=query)
    assert answer.status_code == 200, answer.text
    return [(each["title"], each["loans"]) for each in answer.json["items"]]


def test_books_are_counted_by_their_loans_in_a_period(desk: Desk, anna: Person, owner: Engine) -> None:
    dune, emma, _ = (desk.book(copies=1, title=each) for each in ("Dune", "Emma", "Ulysses"))
    for book in (dune, dune, dune, emma):
        desk.give_back(desk.lent(anna, book_id=book))
    execute(owner, "UPDATE loans SET borrowed_at = now() - interval '20 days' WHERE book_id = :id", id=dune)
    desk.give_back(desk.lent(anna, book_id=dune))

    assert popular(desk.library) == [("Dune", 4), ("Emma", 1)]
    assert popular(desk.library, period="week") in ([("Dune", 1), ("Emma", 1)], [("Emma", 1), ("Dune", 1)])
    assert popular(desk.library, period="all") == [("Dune", 4), ("Emma", 1)]
    assert popular(desk.library, period="year", limit=1) == [("Dune", 4)]


def test_a_library_without_loans_has_no_popular_books(desk: Desk, other_library: Library, anna: Person) -> None:
    desk.lent(anna, book_id=desk.book(copies=1))
    Desk(other_library).book(copies=1)

    assert [popular(other_library, period=each) for each in ("week", "month", "year", "all")] == [[]] * 4


@pytest.mark.parametrize("query", [{"period": "decade"}, {"limit": 0}, {"limit": 101}, {"cursor": "x"}])
def test_what_is_no_period_or_number_is_refused(library: Library, query: dict[str, Any]) -> None:
    assert library.get("/books/popular", query_string=query).status_code == 422


def test_what_was_told_is_kept_until_something_is_lent(desk: Desk, anna: Person) -> None:
    book = desk.book(copies=1)
    loan = desk.lent(anna, book_id=book)
    first = desk.library.get("/books/popular")

    same = desk.library.get("/books/popular", headers={"If-None-Match": first.headers["ETag"]})
    desk.give_back(loan)
    desk.lent(anna, book_id=book)

    assert same.status_code == 304
    assert popular(desk.library) == [("Dune", 2)]
