"""Text as it is accepted, and as it is compared: case, accents and spacing set aside, the same on every database."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# PostgreSQL has no NUL in text, and the other C0 and C1 controls are never part of a name or a note. Nor are marks that
# turn the direction of writing or have no width, and tags, but for those of a flag: by what nobody sees, one name is
# made to look like another. The joiners stay, which Persian and emoji are written with.
_NEVER: Final = "\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff"
_TAG: Final = "(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0000-\U000e007f]"
CONTROL_CHARACTERS: Final = re.compile(f"[\x00-\x1f\u2028\u2029{_NEVER}]|{_TAG}")
# The same for texts of several lines, which may have tabs.
CONTROL_CHARACTERS_IN_LINES: Final = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{_NEVER}]|{_TAG}")
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
