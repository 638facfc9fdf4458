import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.isbn import InvalidIsbn, isbn10_of, normalize_isbn, valid_isbns


@pytest.mark.parametrize(
    ("text", "isbn13"),
    [
        ("9780261103573", "9780261103573"),
        ("978-0-261-10357-3", "9780261103573"),
        ("0261103571", "9780261103573"),
        (" 0-261-10357-1 ", "9780261103573"),
        ("006222526x", "9780062225269"),
        ("979-10-90636-07-1", "9791090636071"),
        ("978\u20110\u2011261\u201110357\u20113", "9780261103573"),
    ],
)
def test_an_isbn_is_read_in_every_form(text: str, isbn13: str) -> None:
    assert normalize_isbn(text) == isbn13


@pytest.mark.parametrize(
    "text",
    [
        "",
        "978026110357",
        "97802611035731",
        "9780261103574",
        "0261103572",
        "9770261103573",
        "X261103571",
        "026110357\u0661",
        "02268162060226816214",
        "9" * 10_000,
    ],
)
def test_what_is_no_isbn_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidIsbn, match="ISBN"):
        normalize_isbn(text)


def test_an_isbn_of_979_has_no_short_form() -> None:
    assert isbn10_of("9791090636071") is None


@given(st.integers(min_value=0, max_value=999_999_999))
def test_short_and_long_form_lead_to_each_other(number: int) -> None:
    short = isbn10_of(f"978{number:09d}0")

    assert short is not None
    assert isbn10_of(normalize_isbn(short)) == short


def test_dirty_lists_give_the_good_isbns_once_and_in_order() -> None:
    dirty = [
        "0-670-03482-7",
        "0819130834\t0819130842",
        "978-0-06-222526-9 (hardcover)",
        "9780670034826",
        "12345",
        None,
        9780670034826,
        "0000000000",
        "1111111111",
        "",
    ]

    assert valid_isbns(dirty) == ("9780670034826", "9780819130839", "9780819130846", "9780062225269")


@given(st.lists(st.one_of(st.text(), st.integers(), st.none())))
def test_no_list_is_too_dirty(values: list[object]) -> None:
    assert all(normalize_isbn(isbn) == isbn for isbn in valid_isbns(values))
