"""International Standard Book Numbers: checked, and kept in one form, the thirteen digits."""

import re
from collections.abc import Iterable

_SEPARATORS = re.compile(r"[\s\-\u2010\u2011\u2012\u2013]")
_ISBN10 = re.compile(r"[0-9]{9}[0-9X]")
_ISBN13 = re.compile(r"97[89][0-9]{10}")
# Catalogues hold two numbers in one field, and qualifiers such as "(hardcover)" after a number.
_BETWEEN_NUMBERS = re.compile(r"\([^)]*\)|[\s,;/|]+")
# No printed ISBN comes near this length, separators included; a longer text is not worth a look.
_LONGEST_TEXT = 40


class InvalidIsbn(ValueError):
    """The text is no ISBN; the message tells its writer why."""


def normalize_isbn(text: str) -> str:
    """Give the ISBN-13 of an ISBN-10 or ISBN-13, with or without hyphens and spaces.

    Raises:
        InvalidIsbn: wrong length, wrong characters or a check digit that does not fit.
    """
    if len(text) > _LONGEST_TEXT:
        raise InvalidIsbn("An ISBN has 10 or 13 digits; this text is far longer.")
    digits = _SEPARATORS.sub("", text).upper()
    match len(digits):
        case 10:
            return _checked_isbn10(digits)
        case 13:
            return _checked_isbn13(digits)
        case _:
            raise InvalidIsbn(f"An ISBN has 10 or 13 digits; this one has {len(digits)} characters.")


def isbn10_of(isbn13: str) -> str | None:
    """Give the ISBN-10 of a valid ISBN-13; those that begin with 979 have none."""
    if not isbn13.startswith("978"):
        return None
    body = isbn13[3:12]
    return body + _check_digit_10(body)


def valid_isbns(texts: Iterable[object]) -> tuple[str, ...]:
    """Give the ISBN-13s among untrusted values: each once, in their order; whatever is none is dropped."""
    found: dict[str, None] = {}
    for text in texts:
        if isinstance(text, str):
            found.update(dict.fromkeys(_isbns_within(text)))
    return tuple(found)


def _checked_isbn10(digits: str) -> str:
    if not _ISBN10.fullmatch(digits):
        raise InvalidIsbn("An ISBN of 10 characters has nine digits and ends in a digit or X.")
    if _check_digit_10(digits[:9]) != digits[9]:
        raise InvalidIsbn("The last digit of this ISBN does not fit the others; please check it for a slip.")
    body = "978" + digits[:9]
    return body + _check_digit_13(body)


def _checked_isbn13(digits: str) -> str:
    if not _ISBN13.fullmatch(digits):
        raise InvalidIsbn("An ISBN of 13 digits begins with 978 or 979 and has digits only.")
    if _check_digit_13(digits[:12]) != digits[12]:
        raise InvalidIsbn("The last digit of this ISBN does not fit the others; please check it for a slip.")
    return digits


def _check_digit_10(nine: str) -> str:
    total = sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), nine, strict=True))
    return "0123456789X"[-total % 11]


def _check_digit_13(twelve: str) -> str:
    total = sum(map(int, twelve[::2])) + 3 * sum(map(int, twelve[1::2]))
    return str(-total % 10)


def _isbns_within(text: str) -> list[str]:
    whole = _isbn_or_none(text)
    if whole is not None:
        return [whole]
    parts = (_isbn_or_none(part) for part in _BETWEEN_NUMBERS.split(text[: 10 * _LONGEST_TEXT]))
    return [isbn for isbn in parts if isbn is not None]


def _isbn_or_none(text: str) -> str | None:
    try:
        isbn = normalize_isbn(text)
    except InvalidIsbn:
        return None
    # 0000000000 and 1111111111 pass the check digit, but are what people type where there is no number.
    return None if len(set(isbn[3:12])) == 1 else isbn
