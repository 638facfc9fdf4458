"""Two who wait for each other: PostgreSQL lets one of them go on, and the other one is told so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final

import pytest
from flask import Flask
from psycopg2.errors import DeadlockDetected
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.catalog import service as catalog
from app.catalog.models import Book
from app.core.database import Question, transaction
from app.core.errors import Collided
from app.core.security import SYSTEM, acting_as
from app.core.sets import one_id
from app.core.tenancy import own, tenant
from app.extensions import db
from tests.catalog.reading import a_book, shelve
from tests.conftest import Library

_HOLD: Final = Question(select(Book.id).where(own(Book), Book.id == one_id("book_id")).with_for_update())


def test_one_of_two_who_wait_for_each_other_goes_on(app: Flask, library: Library) -> None:
    first, second = shelve(library, a_book(1, "Dune"), a_book(2, "Emma"))
    both = Barrier(2, timeout=10)

    def hold(*books: object) -> str:
        with app.app_context(), tenant(library.id), acting_as(SYSTEM):
            try:
                with transaction():
                    _HOLD.all(book_id=books[0])
                    both.wait()
                    _HOLD.all(book_id=books[1])
            except Collided:
                return "gave way"
            finally:
                db.session.remove()
        return "went on"

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(hold, first, second), pool.submit(hold, second, first)]
        assert sorted(each.result() for each in results) == ["gave way", "went on"]


def test_whoever_gave_way_is_asked_to_come_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    [book] = shelve(library, a_book(1, "Dune"))
    monkeypatch.setattr(catalog, "update_book", _deadlocked)

    answer = library.patch(f"/books/{book}", {"title": "Emma"})

    assert (answer.status_code, answer.json["code"]) == (503, "busy")
    assert answer.headers["Retry-After"]
    assert "try again" in answer.json["detail"]


def _deadlocked(*_: object) -> None:
    raise OperationalError("UPDATE books", {}, DeadlockDetected())
