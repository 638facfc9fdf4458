"""The audit trail as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Library


@dataclass
class Trail:
    """One tenant's events, seals and queue, seen and changed by the database's owner."""

    owner: Engine
    tenant_id: UUID

    def change(self, statement: str, **values: Any) -> None:
        """What somebody does who may do everything; `:tenant` is the tenant."""
        with self.owner.begin() as connection:
            changed = connection.execute(text(statement), {"tenant": self.tenant_id, **values})
        assert changed.rowcount > 0, "Nothing was changed, so nothing can be found."

    def found(self, question: str, **values: Any) -> list[Any]:
        """The rows of a question."""
        with self.owner.connect() as connection:
            return list(connection.execute(text(question), {"tenant": self.tenant_id, **values}).all())

    def events(self) -> list[UUID]:
        """All events, in the order in which they happened."""
        rows = self.found("SELECT id FROM events WHERE tenant_id = :tenant ORDER BY at, id")
        return [event_id for (event_id,) in rows]

    def seals(self) -> list[tuple[int, UUID]]:
        """Position and event of every seal."""
        rows = self.found("SELECT position, event_id FROM event_seals WHERE tenant_id = :tenant ORDER BY position")
        return [(position, event_id) for position, event_id in rows]

    def hashes(self) -> list[str]:
        """The hashes along the chain."""
        rows = self.found("SELECT hash FROM event_seals WHERE tenant_id = :tenant ORDER BY position")
        return [bytes(each).hex() for (each,) in rows]

    def queue(self) -> list[UUID]:
        """The events that wait for their seal."""
        rows = self.found("SELECT event_id FROM unsealed_events WHERE tenant_id = :tenant ORDER BY event_id")
        return [event_id for (event_id,) in rows]


@pytest.fixture
def trail(library: Library, owner: Engine) -> Trail:
    """The tenant's."""
    return Trail(owner, library.id)


@pytest.fixture
def other_trail(other_library: Library, owner: Engine) -> Trail:
    """The other tenant's."""
    return Trail(owner, other_library.id)
