"""Commands on holdings.

`collections` makes, changes and removes them; `syncing` brings one up to what a library management system says, row by
row as `rows` judges them, written by `items`. `copies` registers single ones.
"""

from __future__ import annotations

from app.holdings.service.collections import create_collection, delete_collection, update_collection, visible_collection
from app.holdings.service.copies import (
    BarcodeTaken,
    CopyInUse,
    StatusNotAllowed,
    create_copy,
    delete_copy,
    follow_copies,
    shown_copy,
    update_copy,
)
from app.holdings.service.errors import AlreadyInCollection, TooManyRemovals
from app.holdings.service.rows import Rejection
from app.holdings.service.syncing import Changes, replace_items, update_items

__all__ = [
    "AlreadyInCollection",
    "BarcodeTaken",
    "Changes",
    "CopyInUse",
    "Rejection",
    "StatusNotAllowed",
    "TooManyRemovals",
    "create_collection",
    "create_copy",
    "delete_collection",
    "delete_copy",
    "follow_copies",
    "replace_items",
    "shown_copy",
    "update_collection",
    "update_copy",
    "update_items",
    "visible_collection",
]
