"""The table of stock updates."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import new_id
from app.core.tenancy import TenantScoped
from app.extensions import Model

LONGEST_PRODUCT_ID: Final = 255
# What a column of PostgreSQL's holds.
MOST_QUANTITY: Final = 2**63 - 1
# A row of a feed: a product, a time as RFC 3339 has it, and how many there were.
Row = tuple[str, str, int]


class InventoryUpdate(TenantScoped, Model):
    """How many of a product were there at a time; written once and never changed.

    The table is in parts, one for each month of `timestamp`; the parts `before` and `after` hold what is older or
    newer than all of them, so that any time has its place. There is no DEFAULT part: with one, PostgreSQL could not
    read the parts one after the other in the order of time. Nor a foreign key to the tenant, which would be looked up
    for each of a million rows.
    """

    __tablename__ = "inventory_updates"

    # The order in which a product's updates are read: key and index in one, so that a row costs one entry.
    product_id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    quantity: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(f"length(product_id) BETWEEN 1 AND {LONGEST_PRODUCT_ID}", name="product_id"),
        CheckConstraint("quantity >= 0", name="quantity"),
        {"postgresql_partition_by": 'RANGE ("timestamp")'},
    )
