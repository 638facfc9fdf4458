"""Text as it is compared: case, accents and spacing set aside, the same on every database server."""

from __future__ import annotations

import unicodedata
from typing import Final

# Letters that Unicode does not take apart into a base letter and an accent; `casefold` knows ß already.
_LETTERS: Final = str.maketrans({
    "ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ı": "i",
})  # fmt: skip


def folded(text: str) -> str:
    """Give `text` in one case, without accents, with single spaces: "  ŁÓDŹ  Straße" becomes "lodz strasse"."""
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(bare.casefold().split())
