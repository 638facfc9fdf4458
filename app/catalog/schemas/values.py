"""Values that are both asked for and written."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError

from app.core.isbn import InvalidIsbn, normalize_isbn
from app.core.schemas import Text

EARLIEST_YEAR: Final = -3000
LATEST_YEAR: Final = 9999


class Isbn(Text):
    """An ISBN-10 or ISBN-13, hyphens and spaces allowed; kept as the thirteen digits."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's arguments."""
        metadata = {"description": "ISBN-10 or ISBN-13, hyphens allowed.", "example": "9780441172719"}
        super().__init__(max_length=40, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return normalize_isbn(super()._deserialize(value, attr, data, **kwargs))
        except InvalidIsbn as error:
            raise ValidationError(str(error)) from error
