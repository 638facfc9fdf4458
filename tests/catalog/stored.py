"""Looking at what the catalogue has stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import event, text

from app.core.cache import Generation, generation_key
from app.core.database import transaction
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db, redis
from tests.conftest import Library

_Answer = TypeVar("_Answer")
SECONDS_FOR_A_THREAD = 60


@dataclass
class Stored:
    """A tenant's rows."""

    library: Library

    def rows(self, question: str, **values: Any) -> list[Any]:
        """What a query finds, as the application's role in this tenant."""
        with tenant(self.library.id), transaction() as session:
            return list(session.execute(text(question), values).mappings())

    def column(self, question: str, **values: Any) -> list[Any]:
        """The first column of what a query finds."""
        return [next(iter(row.values())) for row in self.rows(question, **values)]

    def book(self, book_id: UUID) -> dict[str, Any]:
        """A book's row."""
        return dict(self.rows("SELECT * FROM books WHERE id = :id", id=book_id)[0])

    def versions(self, book_id: UUID) -> list[tuple[int, str, list[str]]]:
        """Number, origin and changed fields of a book's versions."""
        found = self.rows(
            "SELECT number, origin, changed_fields FROM book_versions WHERE book_id = :id ORDER BY number", id=book_id
        )
        return [(row["number"], row["origin"], row["changed_fields"]) for row in found]

    def isbns(self, book_id: UUID) -> list[str]:
        """The ISBNs of a book's editions."""
        return self.column("SELECT isbn FROM editions WHERE book_id = :id AND isbn IS NOT NULL ORDER BY 1", id=book_id)

    def events(self) -> list[tuple[str, UUID]]:
        """Type and subject of the events about books, in their order."""
        found = self.rows("SELECT type, subject_id FROM events WHERE type LIKE 'book.%' ORDER BY at, id")
        return [(row["type"], row["subject_id"]) for row in found]

    def generation(self) -> bytes | None:
        """The number that cached answers of the catalogue belong to."""
        found = redis.client.get(generation_key(self.library.id, Generation.CATALOGUE))
        return found if isinstance(found, bytes) else None


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Collects the statements that the block sends."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def at_once(library: Library, *commands: Callable[[], _Answer]) -> Sequence[_Answer]:
    """Run the commands for the tenant in threads that begin together; raises what one of them raises."""
    start = Barrier(len(commands))

    def run(command: Callable[[], _Answer]) -> _Answer:
        with library.app.app_context(), tenant(library.id), acting_as(SYSTEM):
            start.wait(SECONDS_FOR_A_THREAD)
            try:
                return command()
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(commands)) as threads:
        running = [threads.submit(run, command) for command in commands]
        return [each.result(SECONDS_FOR_A_THREAD) for each in running]
