"""Putting books into a catalogue, and reading it through its endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from marshmallow import Schema

from app.catalog.service import record_works
from app.core.tenancy import tenant
from app.extensions import db
from app.openlibrary.records import WORK_FIELDS, AuthorRef, NormalizedWork
from tests.conftest import Library


def a_book(number: int, title: str, **told: Any) -> NormalizedWork:
    """A work of which only this is known; of `authors`, names are enough."""
    names = told.pop("authors", ("Anonymous",))
    authors = tuple(name if isinstance(name, AuthorRef) else AuthorRef(name, None) for name in names)
    return NormalizedWork(
        open_library_key=f"OL{number}W", title=title, authors=authors, **{"unasked": WORK_FIELDS, **told}
    )


def shelve(library: Library, *works: NormalizedWork) -> list[UUID]:
    """Record works one after the other, the newest last; gives the books' ids."""
    with library.app.app_context(), tenant(library.id):
        ids = [recorded.book_id for work in works for recorded in record_works([work])]
        db.session.remove()
    return ids


def read(library: Library, path: str, **parameters: Any) -> dict[str, Any]:
    """A list's answer; several values of a parameter are given as a list."""
    answer = library.get(address(path, **parameters))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def address(path: str, **parameters: Any) -> str:
    """A path with its query."""
    return f"{path}?{urlencode(parameters, doseq=True)}"


def titles(page: dict[str, Any]) -> list[str]:
    """The titles on a page."""
    return [item["title"] for item in page["items"]]


def pages(library: Library, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """All pages from the first to the last."""
    cursor: dict[str, str] = {}
    while True:
        page = read(library, path, **parameters, **cursor)
        yield page
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def refused(library: Library, path: str, **parameters: Any) -> set[str]:
    """The faulty parameters of a refused question."""
    answer = library.get(address(path, **parameters))
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "invalid_input"
    return {error["field"].split(".")[0] for error in answer.json["errors"]}


def held_against(schema: Schema, body: Any) -> None:
    """The body has every field that the schema documents, and none that it does not."""
    faults = schema.validate(body)
    assert faults == {}
