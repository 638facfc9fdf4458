"""ISBNs that the library holds and that no book of it has: what is to be looked up at Open Library.

An ISBN is here until an edition of it comes, which a trigger sees to. `enrichment_schedule` says when a tenant next has
any to be asked for, so that a scheduler need not look into every tenant.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import DateTime, Integer, Select, Update, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from app.catalog.models import Edition, Enrichment, WantedIsbn
from app.catalog.service.counts import hold_counts
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.sets import inserting, run, table_of, text_list
from app.core.tenancy import OWN_TENANT_ID, own

# Open Library learns of a book when somebody enters it; a month changes that for few.
ASKED_AGAIN_AFTER: Final = timedelta(days=30)
_TIME: Final = DateTime(timezone=True)
_WANTED: Final = table_of(WantedIsbn)
_EDITIONS: Final = table_of(Edition)
_SCHEDULE: Final = table_of(Enrichment)


def want_isbns(isbns: Collection[str]) -> bool:
    """Let these ISBN-13s be looked up, but for those that a book has; True where any of them is wanted."""
    with transaction():
        # So that no edition of one is on its way in unseen.
        hold_counts()
        known = {row.isbn for row in run(_known(), isbns=list(isbns))}
        wanted = sorted(set(isbns) - known)
        if wanted:
            run(_insert(), [{"isbn": isbn} for isbn in wanted])
            run(_schedule())
    return bool(wanted)


def want_no_more(isbns: Collection[str]) -> None:
    """Let these not be looked up: the library holds them no longer."""
    with transaction():
        run(delete(_WANTED).where(_named()), isbns=list(isbns))


def want_again(isbns: Collection[str], *, after: timedelta) -> None:
    """Let these be looked up again `after` some time, because nobody answered."""
    with transaction():
        run(update(_WANTED).values(due_at=utc_now() + after).where(_named()), isbns=list(isbns))
        _plan_next()


def take_wanted_isbns(*, most: int) -> list[str]:
    """Up to `most` ISBNs that are due, for a caller who asks for them now: they are due again after 30 days.

    None where another transaction takes some of this tenant's at the moment.
    """
    with transaction():
        if not run(select(_SCHEDULE.c.tenant_id).where(own(_SCHEDULE.c)).with_for_update(skip_locked=True)):
            return []
        now = utc_now()
        taken = run(_take(), most=most, now=now, next_time=now + ASKED_AGAIN_AFTER)
        _plan_next()
    return sorted(row.isbn for row in taken)


def _plan_next() -> None:
    soonest = select(func.min(_WANTED.c.due_at)).where(own(_WANTED.c))
    [(due_at,)] = run(soonest)
    if due_at is None:
        run(delete(_SCHEDULE).where(own(_SCHEDULE.c)))
    else:
        run(update(_SCHEDULE).values(due_at=due_at).where(own(_SCHEDULE.c)))


def _named() -> Any:
    return own(_WANTED.c) & (_WANTED.c.isbn == func.any(text_list("isbns")))


@cache
def _known() -> Select[Any]:
    return select(_EDITIONS.c.isbn).where(own(_EDITIONS.c), _EDITIONS.c.isbn == func.any(text_list("isbns")))


@cache
def _insert() -> Insert:
    return inserting(_WANTED, "isbn", order_by=("isbn",)).on_conflict_do_nothing()


@cache
def _schedule() -> Insert:
    statement = insert(_SCHEDULE).from_select(["tenant_id"], select(OWN_TENANT_ID), include_defaults=False)
    soonest = func.least(_SCHEDULE.c.due_at, func.now())
    return statement.on_conflict_do_update(index_elements=["tenant_id"], set_={"due_at": soonest})


@cache
def _take() -> Update:
    wanted = _WANTED.alias("due")
    due = (
        select(wanted.c.isbn)
        .where(own(wanted.c), wanted.c.due_at <= bindparam("now", type_=_TIME))
        .order_by(wanted.c.due_at, wanted.c.isbn)
        .limit(bindparam("most", type_=Integer()))
    )
    values = {"asked_at": bindparam("now", type_=_TIME), "due_at": bindparam("next_time", type_=_TIME)}
    return update(_WANTED).values(values).where(own(_WANTED.c), _WANTED.c.isbn.in_(due)).returning(_WANTED.c.isbn)
