"""A collection under a test's hands, asked by HTTP as a library management system does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.dataset import isbn13
from tests.conftest import Answer, Library

# Each with its check digit; the catalogue knows none of them by itself.
DUNE, HOBBIT, EMMA, BEOWULF, ULYSSES = (isbn13(number) for number in range(1, 6))


@dataclass(frozen=True)
class Shelf:
    """One collection of a library."""

    library: Library
    id: str

    @classmethod
    def put_up(cls, library: Library, **fields: Any) -> Shelf:
        """A new one."""
        answer = library.post("/collections", {"name": "Main branch", **fields})
        assert answer.status_code == 201, answer.text
        return cls(library, answer.json["id"])

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/collections/{self.id}"

    def put(self, *rows: Mapping[str, Any] | str, role: str | None = "lms", **query: Any) -> Answer:
        """Replace all that is in it; a text is a row of one copy."""
        return self.library.call("PUT", f"{self.path}/items", role=role, json=_body(rows), query_string=query)

    def change(self, *rows: Mapping[str, Any], role: str | None = "lms", **query: Any) -> Answer:
        """Change some of it."""
        return self.library.patch(f"{self.path}/items", _body(rows), role=role, query_string=query)

    def items(self, **query: Any) -> list[dict[str, Any]]:
        """What is in it, as the list of items says."""
        answer = self.library.get(f"{self.path}/items", query_string={"limit": 500, **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json["items"]
        return items

    def holds(self) -> dict[str, tuple[int, int]]:
        """The copies of each ISBN, in all and to be had."""
        return {item["isbn"]: (item["copies_total"], item["copies_available"]) for item in self.items()}


def _body(rows: tuple[Mapping[str, Any] | str, ...]) -> dict[str, Any]:
    return {"items": [{"isbn": row} if isinstance(row, str) else row for row in rows]}


def make_book(library: Library, title: str, *isbns: str) -> str:
    """A book of these ISBNs; gives its id."""
    answer = library.post("/books", {"title": title, "authors": [{"name": "Somebody"}], "isbns": list(isbns)})
    assert answer.status_code == 201, answer.text
    made: str = answer.json["id"]
    return made


def copies_of(library: Library, book_id: str) -> tuple[int, int]:
    """What a book says that the library has of it, in all and to be had."""
    book = library.get(f"/books/{book_id}").json
    return book["copies_total"], book["copies_available"]


def told(answer: Answer) -> tuple[int, ...]:
    """How many rows were added, updated, removed and unchanged."""
    assert answer.status_code == 200, answer.text
    return tuple(answer.json[name] for name in ("added", "updated", "removed", "unchanged"))


def rejected(answer: Answer) -> list[tuple[int, str]]:
    """Places and codes of the rejected rows."""
    assert answer.status_code == 200, answer.text
    return [(each["index"], each["code"]) for each in answer.json["rejected"]]
