"""What comes in and goes out for holdings; the endpoints take it from here."""

from __future__ import annotations

from app.holdings.schemas.collections import (
    CollectionChangesSchema,
    CollectionListArguments,
    CollectionListSchema,
    CollectionSchema,
    NewCollectionSchema,
)
from app.holdings.schemas.copies import (
    BARCODE,
    CopyChangesSchema,
    CopyListArguments,
    CopyListSchema,
    CopySchema,
    NewCopySchema,
)
from app.holdings.schemas.items import ItemListArguments, ItemListSchema, StatisticsSchema
from app.holdings.schemas.syncing import DeltaArguments, DeltaSchema, ReplacementSchema, SyncArguments, SyncSchema

__all__ = [
    "BARCODE",
    "CollectionChangesSchema",
    "CollectionListArguments",
    "CollectionListSchema",
    "CollectionSchema",
    "CopyChangesSchema",
    "CopyListArguments",
    "CopyListSchema",
    "CopySchema",
    "DeltaArguments",
    "DeltaSchema",
    "ItemListArguments",
    "ItemListSchema",
    "NewCollectionSchema",
    "NewCopySchema",
    "ReplacementSchema",
    "StatisticsSchema",
    "SyncArguments",
    "SyncSchema",
]
