"""Text as it is compared."""

from __future__ import annotations

import pytest

from app.core.text import CONTROL_CHARACTERS, folded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dune", "dune"),
        ("  The   LEFT\tHand\n of Darkness ", "the left hand of darkness"),
        ("ŁÓDŹ", "lodz"),
        ("Straße", "strasse"),
        ("Crème Brûlée", "creme brulee"),
        ("Ångström Øre Æsop Œuvre Đorđe", "angstrom ore aesop oeuvre dorde"),
        ("İstanbul ışık", "istanbul isik"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ﬁn", "fin"),
        ("e\u0301", "e"),
        ("Война и мир", "воина и мир"),
        ("中文", "中文"),
        ("", ""),
    ],
)
def test_folding_sets_case_accents_and_spacing_aside(text: str, expected: str) -> None:
    assert folded(text) == expected


@pytest.mark.parametrize("text", ["Łódź  Straße", "İstanbul", "ﬁn", "ΑΣ ας"])
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_tags_make_a_flag_and_nothing_else() -> None:
    england = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"

    assert not CONTROL_CHARACTERS.search(f"Songs of {england} and others")
    assert CONTROL_CHARACTERS.search(f"Songs{england[1:]}")
