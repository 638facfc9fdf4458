"""What readers are told by mail: a loan is due or overdue, a copy waits.

Each is promised once, for each date that a loan is due at, and written when it is sent: of a loan that is back or was
renewed by then, nobody is told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import case, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from app.circulation import queries
from app.circulation.models import HoldStatus, Loan, LoanNotice, NoticeKind
from app.circulation.service.queues import HOLD_READY
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.sets import run, table_of
from app.core.tenancy import OWN_TENANT_ID, current_tenant_id, own
from app.mail import service as mail
from app.members import queries as people
from app.tenants import queries as tenants

# So long before the day, unless the loan itself is hardly longer.
TOLD_BEFORE: Final = timedelta(days=2)
_MOST_AT_ONCE: Final = 1000
_LOANS, _NOTICES = table_of(Loan), table_of(LoanNotice)


def promise_notices() -> int:
    """Promise the mails of the current tenant that are due; returns how many."""
    promised = 0
    while True:
        with transaction():
            some = run(_promising())
            for kind in NoticeKind:
                mail.promise_many(kind, [each.loan_id for each in some if each.kind == kind])
        promised += len(some)
        if len(some) < _MOST_AT_ONCE:
            return promised


def _promising() -> Any:
    kind = case((_LOANS.c.due_at < func.now(), literal(NoticeKind.OVERDUE)), else_=literal(NoticeKind.DUE))
    is_told = (
        select(_NOTICES.c.loan_id)
        .where(
            own(_NOTICES.c),
            _NOTICES.c.loan_id == _LOANS.c.id,
            _NOTICES.c.kind == kind,
            _NOTICES.c.due_at == _LOANS.c.due_at,
        )
        .exists()
    )
    due = (
        select(OWN_TENANT_ID, _LOANS.c.id, kind, _LOANS.c.due_at)
        .where(
            own(_LOANS.c),
            _LOANS.c.returned_at.is_(None),
            _LOANS.c.reader_id.is_not(None),
            _LOANS.c.due_at < func.now() + TOLD_BEFORE,
            (_LOANS.c.due_at < func.now()) | (_LOANS.c.borrowed_at < _LOANS.c.due_at - TOLD_BEFORE),
            ~is_told,
        )
        .order_by(_LOANS.c.due_at, _LOANS.c.id)
        .limit(_MOST_AT_ONCE)
    )
    statement = insert(_NOTICES).from_select(["tenant_id", "loan_id", "kind", "due_at"], due, include_defaults=False)
    # Two who look at once tell once.
    return statement.on_conflict_do_nothing().returning(_NOTICES.c.loan_id, _NOTICES.c.kind)


@mail.writes(NoticeKind.DUE)
def write_due(loan_id: UUID) -> mail.Mail | None:
    """Say until when a loan lasts, as long as it does."""
    loan = queries.loan(loan_id)
    if loan is None or not utc_now() <= loan.due_at < utc_now() + TOLD_BEFORE:
        return None
    return _about_loan(loan, "is due on", subject="Due soon")


@mail.writes(NoticeKind.OVERDUE)
def write_overdue(loan_id: UUID) -> mail.Mail | None:
    """Say since when a loan is overdue, as long as it is."""
    loan = queries.loan(loan_id)
    if loan is None or loan.due_at >= utc_now():
        return None
    return _about_loan(loan, "was due on", subject="Overdue")


@mail.writes(HOLD_READY)
def write_ready(hold_id: UUID) -> mail.Mail | None:
    """Say that a copy waits and until when, as long as it does."""
    hold = queries.hold(hold_id)
    if hold is None or hold.status != HoldStatus.READY or hold.expires_at is None:
        return None
    title = queries.title_of(hold.book_id)
    told = f"“{title}” waits for you until {_day(hold.expires_at)}."
    return _to_reader(hold.reader_id, told, subject="Ready to be fetched")


def _about_loan(loan: Loan, when: str, *, subject: str) -> mail.Mail | None:
    if loan.returned_at is not None:
        return None
    told = f"“{queries.title_of(loan.book_id)}”, which you have on loan, {when} {_day(loan.due_at)}."
    return _to_reader(loan.reader_id, told, subject=subject)


def _to_reader(reader_id: UUID | None, told: str, *, subject: str) -> mail.Mail | None:
    person = people.user(reader_id) if reader_id else None
    library = tenants.tenant(current_tenant_id())
    if person is None or not person.is_active or library is None:
        return None
    profile = people.profile_of(person)
    if not profile["email"]:
        return None
    text = f"Hello {profile['name']},\n\n{told}\n\n{library.name}\n"
    return mail.Mail(to=profile["email"], subject=f"{subject} at {library.name}", text=text)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
