"""Who has to wait for a synchronisation of another collection: in the end they are told to come again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Library
from tests.holdings.shelf import DUNE, EMMA, HOBBIT, Shelf, make_book

# What a synchronisation holds until its end: all counts, and the books that it counts.
SYNC = ("SELECT hold_counts(:tenant, true)", "SELECT FROM books WHERE tenant_id = :tenant AND id = :book FOR UPDATE")


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app whose statements are not given long."""
    return make_app(DATABASE_STATEMENT_TIMEOUT_MS="300")


@pytest.mark.parametrize(
    "asked",
    [
        ("lms", "PUT", "/collections/{shelf}/items", {"items": [{"isbn": HOBBIT}]}),
        ("lms", "PATCH", "/collections/{shelf}/items", {"items": [{"isbn": DUNE, "action": "remove"}]}),
        ("lms", "DELETE", "/collections/{shelf}", {}),
        ("librarian", "POST", "/books", {"title": "Emma", "authors": [{"name": "Jane Austen"}], "isbns": [EMMA]}),
        ("librarian", "PATCH", "/books/{book}", {"isbns": [EMMA]}),
        ("kiosk", "POST", "/loans", {"reader_id": "{reader}", "book_id": "{book}"}),
        ("librarian", "POST", "/holds", {"reader_id": "{reader}", "book_id": "{book}"}),
    ],
    ids=["sync", "delta", "removal", "new book", "changed book", "loan", "hold"],
)
def test_whoever_waits_too_long_is_told_to_come_again(
    library: Library, shelf: Shelf, owner: Engine, asked: tuple[str, str, str, dict[str, Any]]
) -> None:
    shelf.put(DUNE)
    book = make_book(library, "Dune", DUNE)
    library.post(f"/books/{book}/copies", {"barcode": "31205000000001"})
    ids = {"shelf": shelf.id, "book": book, "reader": str(library.person("reader").id)}
    role, method, path, body = asked
    options: dict[str, Any] = {"json": {name: filled(value, ids) for name, value in body.items()}} if body else {}
    library.key(role)

    with owner.begin() as connection:
        for lock in SYNC:
            connection.execute(text(lock), {"tenant": library.id, "book": book})
        refused = library.call(method, path.format(**ids), role=role, **options)
    again = library.call(method, path.format(**ids), role=role, **options)

    assert (refused.status_code, refused.json["code"]) == (503, "database_too_slow")
    assert int(refused.headers["Retry-After"]) > 0
    assert again.status_code < 300


def filled(value: Any, ids: dict[str, str]) -> Any:
    """A text with the ids that it names; anything else as it is."""
    return value.format(**ids) if isinstance(value, str) else value
