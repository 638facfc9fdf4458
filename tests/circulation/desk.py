"""A library's desk, as its staff and readers use it by HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Answer, Library, Person

_BARCODES = count(31205000000001)


@dataclass(frozen=True)
class Desk:
    """The desk of one library; librarians ask unless a test says otherwise."""

    library: Library

    def book(self, *, copies: int = 0, title: str = "Dune", **fields: Any) -> str:
        """A new book with so many copies; its id."""
        made = self.library.post("/books", {"title": title, "authors": [{"name": "Frank Herbert"}], **fields})
        assert made.status_code == 201, made.text
        for _ in range(copies):
            self.copy(made.json["id"])
        return str(made.json["id"])

    def copy(self, book_id: str, **fields: Any) -> dict[str, Any]:
        """A new copy of a book."""
        answer = self.library.post(f"/books/{book_id}/copies", {"barcode": str(next(_BARCODES)), **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json
        return made

    def lend(self, reader: Person | UUID, **which: Any) -> Answer:
        """Lend something."""
        body = {"reader_id": str(reader.id if isinstance(reader, Person) else reader), **which}
        return self.library.post("/loans", body, role="kiosk")

    def lent(self, reader: Person, **which: Any) -> dict[str, Any]:
        """The same, where it must go well."""
        answer = self.lend(reader, **which)
        assert answer.status_code == 201, answer.text
        loan: dict[str, Any] = answer.json
        return loan

    def give_back(self, loan: Mapping[str, Any]) -> Answer:
        """Take it back."""
        return self.library.post(f"/loans/{loan['id']}/return", role="kiosk")

    def renew(self, loan: Mapping[str, Any], *, by: Person | None = None) -> Answer:
        """Renew it."""
        return self.library.post(f"/loans/{loan['id']}/renew", **_signed(by))

    def hold(self, book_id: str, *, by: Person) -> Answer:
        """Let somebody wait."""
        return self.library.post("/holds", {"book_id": book_id}, token=by.token)

    def held(self, book_id: str, *, by: Person) -> dict[str, Any]:
        """The same, where it must go well."""
        answer = self.hold(book_id, by=by)
        assert answer.status_code == 201, answer.text
        hold: dict[str, Any] = answer.json
        return hold

    def again(self, hold: Mapping[str, Any]) -> dict[str, Any]:
        """What has become of a hold."""
        seen: dict[str, Any] = self.library.get(f"/holds/{hold['id']}", role="librarian").json
        return seen

    def statuses(self, book_id: str) -> list[str]:
        """Of a book's copies, in the order of their making."""
        listed = self.library.get(f"/books/{book_id}/copies", role="librarian").json["items"]
        return [each["status"] for each in listed]

    def counts(self, book_id: str) -> tuple[int, int, int]:
        """Copies, those that are available, and loans ever."""
        shown = self.library.get(f"/books/{book_id}", role="librarian").json
        return shown["copies_total"], shown["copies_available"], shown["times_borrowed"]


def _signed(by: Person | None) -> dict[str, Any]:
    return {"role": "librarian"} if by is None else {"token": by.token}


# What must be true of every library at any time, each a question for rows that belie it.
WRONG = {
    "a book's counts": """
        SELECT b.id FROM books b LEFT JOIN copies c ON c.tenant_id = b.tenant_id AND c.book_id = b.id
        GROUP BY b.tenant_id, b.id
        HAVING b.barcoded_total <> count(c.id) FILTER (WHERE c.status NOT IN ('lost', 'withdrawn'))
            OR b.barcoded_available <> count(c.id) FILTER (WHERE c.status = 'available')""",
    "how often it was borrowed": """
        SELECT b.id FROM books b LEFT JOIN loans l ON l.tenant_id = b.tenant_id AND l.book_id = b.id
        GROUP BY b.tenant_id, b.id HAVING b.times_borrowed <> count(l.id)""",
    "what is out": """
        SELECT c.id FROM copies c
        LEFT JOIN loans l ON l.tenant_id = c.tenant_id AND l.copy_id = c.id AND l.returned_at IS NULL
        WHERE (c.status = 'on_loan') <> (l.id IS NOT NULL)""",
    "what waits": """
        SELECT c.id FROM copies c LEFT JOIN holds h ON h.tenant_id = c.tenant_id AND h.copy_id = c.id
        WHERE (c.status = 'on_hold') <> (h.id IS NOT NULL)""",
    "of which book it is": """
        SELECT c.id FROM copies c JOIN holds h ON h.tenant_id = c.tenant_id AND h.copy_id = c.id
        WHERE h.book_id <> c.book_id
        UNION ALL
        SELECT c.id FROM copies c JOIN loans l ON l.tenant_id = c.tenant_id AND l.copy_id = c.id
        WHERE l.book_id <> c.book_id""",
    "nothing is on the shelf that somebody waits for": """
        SELECT h.id FROM holds h JOIN copies c ON c.tenant_id = h.tenant_id AND c.book_id = h.book_id
        JOIN users u ON u.tenant_id = h.tenant_id AND u.id = h.reader_id AND u.is_active
        WHERE h.status = 'queued' AND c.status = 'available'""",
}


def faults(owner: Engine) -> dict[str, list[Any]]:
    """What is not as it must be, in any library."""
    with owner.connect() as connection:
        found = {name: list(connection.scalars(text(question))) for name, question in WRONG.items()}
    return {name: rows for name, rows in found.items() if rows}
