"""Guardians and the readers they look after."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from app.core.database import transaction
from app.core.errors import NotFound
from app.core.tenancy import current_tenant_id, own
from app.events import service as events
from app.members import queries
from app.members.models import Guardian, GuardianReader, Reader
from app.members.service.users import check_grant


def link_reader(guardian_id: UUID | None, reader_id: UUID | None) -> None:
    """Let a guardian look after a reader; once more changes nothing.

    Raises:
        NotFound: there is no such guardian, or no such reader.
    """
    with transaction() as session:
        pair = _existing_pair(guardian_id, reader_id)
        row = {"tenant_id": current_tenant_id(), **pair}
        made = insert(GuardianReader).values(row).on_conflict_do_nothing().returning(GuardianReader.reader_id)
        if session.scalar(made) is not None:
            events.record("guardian.linked", subject_id=pair["guardian_id"], reader_id=str(pair["reader_id"]))


def unlink_reader(guardian_id: UUID | None, reader_id: UUID | None) -> None:
    """Let a guardian look after a reader no longer; once more changes nothing.

    Raises:
        NotFound: there is no such guardian, or no such reader.
    """
    with transaction() as session:
        pair = _existing_pair(guardian_id, reader_id)
        gone = session.scalar(
            delete(GuardianReader)
            .where(
                own(GuardianReader),
                GuardianReader.guardian_id == pair["guardian_id"],
                GuardianReader.reader_id == pair["reader_id"],
            )
            .returning(GuardianReader.reader_id)
        )
        if gone is not None:
            events.record("guardian.unlinked", subject_id=pair["guardian_id"], reader_id=str(gone))


def _existing_pair(guardian_id: UUID | None, reader_id: UUID | None) -> dict[str, UUID]:
    """Both, of whom nobody is erased before the transaction is over."""
    guardian, reader = queries.user(guardian_id, lock=True), queries.user(reader_id, lock=True)
    if not isinstance(guardian, Guardian):
        raise NotFound("There is no such guardian.")
    if not isinstance(reader, Reader):
        raise NotFound("There is no such reader.")
    # Whoever is linked sees what the reader sees.
    check_grant(guardian.role)
    return {"guardian_id": guardian.id, "reader_id": reader.id}
