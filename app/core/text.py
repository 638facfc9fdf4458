"""Text as it is accepted, and as it is compared: case, accents and spacing set aside, the same on every database."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# PostgreSQL has no NUL in text, and the other C0 and C1 controls are never part of a name or a note.
CONTROL_CHARACTERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# One @, a dot in the domain, nothing that would need quotes: what mail programs take.
EMAIL_ADDRESS: Final = r"[^\s@\"(),:;<>\[\]\\]{1,64}@[^\s@\"(),:;<>\[\]\\.]+(\.[^\s@\"(),:;<>\[\]\\.]+)+\Z"

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
