"""Holding still what the counts of copies are made of.

Triggers add up what collections list of each book. They meet in two ways, through items and through editions, and would
miss each other where both are new; so who lists items comes alone, and who writes editions comes with others of their
kind (`hold_counts` of the database, until the transaction ends). The triggers see to that themselves. Who locks books
before, or several, asks first by these functions, or two would wait for each other in a circle.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, bindparam, func, select

from app.core.database import transaction
from app.core.sets import run
from app.core.tenancy import OWN_TENANT_ID

_HOLD: Final = select(func.hold_counts(OWN_TENANT_ID, bindparam("alone", type_=Boolean())))


def share_counts() -> None:
    """Keep collections from changing the counts of books until the transaction ends; editions may be written."""
    with transaction():
        run(_HOLD, alone=False)


def hold_counts() -> None:
    """Keep everybody else from changing the counts of books, and from writing editions, until the transaction ends."""
    with transaction():
        run(_HOLD, alone=True)
