"""The search in a library's own books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from app.catalog.queries.words import Marker, indexed_words, words_of
from app.catalog.schemas import BookSearchSchema
from app.catalog.service import record_redirects, record_works
from app.core.tenancy import tenant
from app.extensions import db
from app.openlibrary.records import AuthorRef
from app.settings import Settings
from tests.catalog.reading import a_book, address, held_against, pages, read, refused, shelve, titles
from tests.catalog.stored import Stored, at_once
from tests.conftest import Library

TOLKIEN = AuthorRef("J. R. R. Tolkien", "OL26320A")


@pytest.fixture
def shelves(library: Library, other_library: Library) -> Library:
    """A library to search in; another one has books that must never show or count."""
    shelve(
        library,
        a_book(1, "The Hobbit", authors=(TOLKIEN,), subjects=("Fantasy", "Dragons"), first_publish_year=1937),
        a_book(2, "The Fellowship of the Ring", authors=(TOLKIEN,), series=("The Lord of the Rings",)),
        a_book(3, "L'Étranger", authors=("Albert Camus",), languages=("fre",), first_publish_year=1942),
        a_book(4, "Spider-Man: Blue", subtitle="A love story", authors=("Jeph Loeb",), subjects=("Comics",)),
        a_book(5, "A history of dragons", authors=("Émile Zóla",), subjects=("History",), languages=("eng",)),
        a_book(6, "三体", authors=("刘慈欣",), subjects=("科幻小说",)),
        a_book(7, "गोदान", authors=("प्रेमचंद",)),
        a_book(8, "Łódź <script>alert('x')</script> & Straße", authors=("Ole Brøn <b>Bold</b>",)),
    )
    shelve(
        other_library,
        a_book(1, "The Hobbit of another library", authors=(TOLKIEN,), subjects=("Fantasy", "Elsewhere")),
        a_book(9, "Zyzzyva", authors=("Stranger Afar",)),
    )
    return library


def found(library: Library, q: str, **parameters: Any) -> list[str]:
    """The titles that a search finds, the best first."""
    page = read(library, "/books/search", q=q, **parameters)
    assert page["total"] == len(page["items"])
    return titles(page)


# — what is found ——————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("hobbit", ["The Hobbit"]),
        ("HOBBIT the", ["The Hobbit"]),
        ("tolkien ring", ["The Fellowship of the Ring"]),
        ("lord rings", ["The Fellowship of the Ring"]),
        ("love story", ["Spider-Man: Blue"]),
        ("science hobbit", []),
        ("hobbit fellowship", []),
        ("obbit the ring of", []),
        ("spider", ["Spider-Man: Blue"]),
        ("spiderman", ["Spider-Man: Blue"]),
        ("spider man blue", ["Spider-Man: Blue"]),
        ("Spider-Man", ["Spider-Man: Blue"]),
        ("1937", []),
        ("eng", []),
    ],
)
def test_a_book_must_have_all_words(shelves: Library, q: str, expected: list[str]) -> None:
    assert found(shelves, q) == expected


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("etranger", "L'Étranger"),
        ("L’ÉTRANGER", "L'Étranger"),
        ("letranger camus", "L'Étranger"),
        ("E\u0301tranger", "L'Étranger"),
        ("emile zola", "A history of dragons"),
        ("ÉMILE ZÓLA", "A history of dragons"),
        ("lodz strasse", "Łódź <script>alert('x')</script> & Straße"),
        ("LÓDZ straße bron", "Łódź <script>alert('x')</script> & Straße"),
        ("ｈｏｂｂｉｔ", "The Hobbit"),
        ("三体", "三体"),
        ("刘慈欣", "三体"),
        ("科幻", "三体"),
        ("गोदान", "गोदान"),
    ],
)
def test_accents_case_and_script_make_no_difference(shelves: Library, q: str, expected: str) -> None:
    assert found(shelves, q) == [expected]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("hob", ["The Hobbit"]),
        ("ho", ["The Hobbit"]),
        ("tolkien fellow", ["The Fellowship of the Ring"]),
        ("fellow tolkien", []),
        ("tolkien fe", []),
    ],
)
def test_of_the_last_word_its_beginning_is_enough(shelves: Library, q: str, expected: list[str]) -> None:
    if expected or q == "tolkien fe":
        assert found(shelves, q) == expected
    else:
        assert "The Fellowship of the Ring" not in found(shelves, q)


@pytest.mark.parametrize(
    ("typed", "slip"),
    [
        ("fellowship", "none"),
        ("felowship", "a letter too few"),
        ("fellowwship", "a letter too many"),
        ("fellowshop", "a wrong letter"),
        ("fellowhsip", "two letters swapped"),
        ("ellowship", "the first letter missing"),
        ("xellowship", "the first letter wrong"),
        ("fellowshipp", "the last letter twice"),
        ("fellowsihp ring", "swapped, beside a right word"),
        ("felowship tolkeen", "one slip in each word"),
        ("Fèllöwshop", "accents and a wrong letter"),
    ],
)
def test_one_slip_in_a_word_is_forgiven(shelves: Library, typed: str, slip: str) -> None:
    assert found(shelves, typed) == ["The Fellowship of the Ring"], slip


@pytest.mark.parametrize("typed", ["felloshp", "fllowhsip", "folkshipe", "hbt", "ffellowshipp"])
def test_two_slips_are_not(shelves: Library, typed: str) -> None:
    assert found(shelves, typed) == []


def test_a_word_that_finds_something_is_not_corrected(shelves: Library) -> None:
    shelve(shelves, a_book(20, "The Bobbit affair"))

    assert found(shelves, "hobbit") == ["The Hobbit"]
    assert found(shelves, "bobbit") == ["The Bobbit affair"]


def test_numbers_and_short_words_are_taken_as_they_are(shelves: Library) -> None:
    shelve(shelves, a_book(20, "1984"), a_book(21, "Up"))

    assert found(shelves, "1984") == ["1984"]
    assert found(shelves, "1985") == []
    assert found(shelves, "Us") == []


def test_a_word_that_only_other_libraries_know_is_corrected_all_the_same(
    shelves: Library, other_library: Library
) -> None:
    shelve(other_library, a_book(30, "Fellowshop"))

    assert found(shelves, "fellowshop") == ["The Fellowship of the Ring"]
    assert found(other_library, "fellowshop") == ["Fellowshop"]


def test_of_many_likely_words_those_that_most_books_have_are_taken(library: Library) -> None:
    near = ["bake", "cake", "fake", "lake", "make", "rake", "sake", "take", "wake", "jake", "hake"]
    shelve(library, *(a_book(number, word) for number, word in enumerate(near, 1)))
    shelve(library, *(a_book(number, f"wake {number}") for number in range(50, 53)))

    page = read(library, "/books/search", q="qake", limit=50)

    assert page["total"] == 11
    assert sum("wake" in title for title in titles(page)) == 4


# — order ——————————————————————————————————————————————————————————————————————————————————————————


def test_a_title_counts_more_than_an_author_and_an_author_more_than_a_subject(library: Library) -> None:
    shelve(
        library,
        a_book(1, "Of something else", subjects=("Herbert",)),
        a_book(2, "Of something more", authors=("Frank Herbert",)),
        a_book(3, "Herbert and others"),
        a_book(4, "Herbert"),
        a_book(5, "Herberta", subjects=("None of these",)),
    )

    page = read(library, "/books/search", q="herbert")

    assert titles(page) == [
        "Herbert", "Herbert and others", "Herberta", "Of something more", "Of something else",
    ]  # fmt: skip
    assert all(first["score"] >= second["score"] for first, second in pairwise(page["items"]))


def test_pages_neither_repeat_nor_skip_a_match(library: Library) -> None:
    shelve(library, *(a_book(number, "Dune" + " again" * (number % 3)) for number in range(1, 12)))
    shelve(library, a_book(90, "Nothing of the kind"))

    walked = list(pages(library, "/books/search", q="dune", limit=4))

    ids = [item["id"] for page in walked for item in page["items"]]
    assert [len(page["items"]) for page in walked] == [4, 4, 3]
    assert len(set(ids)) == 11
    assert {page["total"] for page in walked} == {11}
    scores = [item["score"] for page in walked for item in page["items"]]
    assert scores == sorted(scores, reverse=True)


def test_matches_that_come_in_between_move_no_page(library: Library) -> None:
    shelve(library, *(a_book(number, "Dune again") for number in range(1, 5)))
    first = read(library, "/books/search", q="dune", limit=2)
    second_before = read(library, "/books/search", q="dune", limit=2, cursor=first["next_cursor"])

    shelve(library, a_book(10, "Dune"), a_book(11, "Dune again and again"))

    second = read(library, "/books/search", q="dune", limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in second["items"]] == [item["id"] for item in second_before["items"]]


def test_a_cursor_is_good_for_its_own_search_only(shelves: Library, other_library: Library) -> None:
    cursor = read(shelves, "/books/search", q="tolkien", limit=1)["next_cursor"]

    assert refused(shelves, "/books/search", q="dragons", cursor=cursor) == {"cursor"}
    assert refused(shelves, "/books/search", q="tolkien", language="eng", cursor=cursor) == {"cursor"}
    assert refused(shelves, "/books", cursor=cursor) == {"cursor"}
    assert refused(other_library, "/books/search", q="tolkien", cursor=cursor) == {"cursor"}
    assert refused(shelves, "/books/search", q="tolkien", cursor="x" + cursor) == {"cursor"}


# — what an item is ————————————————————————————————————————————————————————————————————————————————


def test_the_bytes_are_what_the_schema_documents(shelves: Library) -> None:
    page = read(shelves, "/books/search", q="tolkien", facets="author,subject,language,year")

    held_against(BookSearchSchema(), page)
    assert page["facets"]["year"] == [{"value": 1937, "count": 1}]


def test_an_item_is_the_book_of_the_list_with_score_and_highlights(shelves: Library) -> None:
    listed = {item["id"]: item for item in read(shelves, "/books")["items"]}

    [item] = read(shelves, "/books/search", q="hobbit")["items"]

    assert set(item) - set(listed[item["id"]]) == {"score", "highlights"}
    assert {name: item[name] for name in listed[item["id"]]} == listed[item["id"]]
    assert item["score"] > 0


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("hobbit", {"title": "The <mark>Hobbit</mark>"}),
        ("hob", {"title": "The <mark>Hobbit</mark>"}),
        ("hobit", {"title": "The <mark>Hobbit</mark>"}),
        ("tolkien hobbit", {"title": "The <mark>Hobbit</mark>", "authors": ["J. R. R. <mark>Tolkien</mark>"]}),
        ("rings", {"series": ["The Lord of the <mark>Rings</mark>"]}),
        ("love comics", {"subtitle": "A <mark>love</mark> story", "subjects": ["<mark>Comics</mark>"]}),
        ("etranger", {"title": "L&#x27;<mark>Étranger</mark>"}),
        ("spiderman", {"title": "<mark>Spider-Man</mark>: Blue"}),
        ("spider man", {"title": "<mark>Spider</mark>-<mark>Man</mark>: Blue"}),
        ("三体", {"title": "<mark>三体</mark>"}),
        ("科幻", {"subjects": ["<mark>科幻</mark>小说"]}),
        (
            "lodz alert",
            {"title": "<mark>Łódź</mark> &lt;script&gt;<mark>alert</mark>(&#x27;x&#x27;)&lt;/script&gt; &amp; Straße"},
        ),
        ("bold", {"authors": ["Ole Brøn &lt;b&gt;<mark>Bold</mark>&lt;/b&gt;"]}),
        (
            "script",
            {"title": "Łódź &lt;<mark>script</mark>&gt;alert(&#x27;x&#x27;)&lt;/<mark>script</mark>&gt; &amp; Straße"},
        ),
    ],
)
def test_what_was_found_is_marked_and_everything_else_escaped(
    shelves: Library, q: str, expected: dict[str, Any]
) -> None:
    [item] = read(shelves, "/books/search", q=q)["items"]

    assert item["highlights"] == expected


# — filters and facets —————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"language": "eng"}, ["A history of dragons"]),
        ({"language": ["eng", "fre"]}, ["A history of dragons"]),
        ({"author": "OL26320A"}, ["The Hobbit"]),
        ({"author": "tolkien"}, ["The Hobbit"]),
        ({"author": "tolk"}, []),
        ({"subject": "FANTASY"}, ["The Hobbit"]),
        ({"year_to": 1937}, ["The Hobbit"]),
        ({"year_from": 1938}, []),
        ({"source": "manual"}, []),
        ({"available": "true"}, []),
        ({"subject": "fantasy", "year_from": 1900, "author": "j. r. r. tolkien"}, ["The Hobbit"]),
    ],
)
def test_the_filters_of_the_list_narrow_a_search(
    shelves: Library, filters: dict[str, Any], expected: list[str]
) -> None:
    assert found(shelves, "dragons", **filters) == expected


def test_facets_count_all_matches_by_their_display_forms(library: Library, other_library: Library) -> None:
    shelve(
        library,
        a_book(
            1, "Dune", authors=("Frank Herbert",), subjects=("Épopée",), languages=("eng",), first_publish_year=1965
        ),
        a_book(2, "Dune II", authors=("Frank Herbert", "Émile Zóla"), subjects=("épopée", "Sand"), languages=("eng",)),
        a_book(3, "Dune III", authors=("FRANK HERBERT",), languages=("fre",), first_publish_year=1965),
        a_book(4, "Another thing", authors=("Nobody",), subjects=("Épopée",), languages=("ger",)),
    )
    shelve(other_library, a_book(1, "Dune", authors=("Frank Herbert",), subjects=("Sand",), languages=("eng",)))

    page = read(library, "/books/search", q="dune", limit=1, facets="author,subject,language,year")

    assert page["total"] == 3
    assert page["facets"] == {
        "author": [{"value": "FRANK HERBERT", "count": 3}, {"value": "Émile Zóla", "count": 1}],
        "subject": [{"value": "Épopée", "count": 2}, {"value": "Sand", "count": 1}],
        "language": [{"value": "eng", "count": 2}, {"value": "fre", "count": 1}],
        "year": [{"value": 1965, "count": 2}],
    }


def test_facets_follow_the_filters_and_the_page_does_not_touch_them(shelves: Library) -> None:
    all_of_it = read(shelves, "/books/search", q="dragons", facets="language")
    narrowed = read(shelves, "/books/search", q="dragons", facets="language", language="fre")
    nothing = read(shelves, "/books/search", q="qqqqqq", facets="year,author")
    unasked = read(shelves, "/books/search", q="dragons")

    assert all_of_it["facets"] == {"language": [{"value": "eng", "count": 1}]}
    assert (narrowed["total"], narrowed["facets"]) == (0, {"language": []})
    assert (nothing["items"], nothing["total"], nothing["facets"]) == ([], 0, {"year": [], "author": []})
    assert unasked["facets"] is None


# — junk ———————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("parameters", "faulty"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "a"}, "q"),
        ({"q": " a "}, "q"),
        ({"q": "   "}, "q"),
        ({"q": "dune\0"}, "q"),
        ({"q": "dune\x1b[0m"}, "q"),
        ({"q": "d" * 10_000}, "q"),
        ({"q": ["dune", "dune"]}, "q"),
        ({"q": "dune", "facets": "colour"}, "facets"),
        ({"q": "dune", "facets": "author,"}, "facets"),
        ({"q": "dune", "sort": "title"}, "sort"),
        ({"q": "dune", "colour": "red"}, "colour"),
        ({"q": "dune", "isbn": "1"}, "isbn"),
        ({"q": "dune", "limit": "501"}, "limit"),
        ({"q": "dune", "cursor": "x"}, "cursor"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(library: Library, parameters: dict[str, Any], faulty: str) -> None:
    assert refused(library, "/books/search", **parameters) == {faulty}


@pytest.mark.parametrize(
    "junk", ["!!", "--", "''", "\\\\", "((", ":*", "&|", "<->", "§§", "%%", "__", "💥💥", "\u0301\u0301"]
)
def test_mere_punctuation_finds_nothing(shelves: Library, junk: str) -> None:
    page = read(shelves, "/books/search", q=junk)

    assert (page["items"], page["total"], page["next_cursor"], page["facets"]) == ([], 0, None, None)


@pytest.mark.parametrize(
    "q",
    [
        "hobbit & !dragons | (x",
        "hobbit:*",
        "'hobbit'",
        "\\hobbit\\",
        "hobbit <-> the",
        '"hobbit',
        "hobbit'); DROP TABLE books; --",
        "{hobbit,NULL}",
        "%s hobbit %(words)s",
        "hobbit\u00a0the\u2003the",
        "the " * 49 + "hob",
        "é" * 200,
        "三" * 200,
        "a b c d e f g h i j k l m n o p q r s t u v w x y z",
        "x" * 200,
        " ".join(["abcdefghi"] * 20),
        "İ ﷺ ﬃ ½ Ⅷ",
        "\U0001d517\U0001d525\U0001d522",
    ],
)
def test_whatever_is_asked_is_answered(shelves: Library, q: str) -> None:
    answer = shelves.get(address("/books/search", q=q, facets="author,year"))

    assert answer.status_code == 200
    held_against(BookSearchSchema(), answer.json)


# — writes —————————————————————————————————————————————————————————————————————————————————————————


def test_a_book_is_found_by_what_it_says_now(shelves: Library) -> None:
    [book] = read(shelves, "/books/search", q="hobbit")["items"]

    shelves.patch(f"/books/{book['id']}", {"title": "There and back again", "subjects": ["Burglary"]})

    assert found(shelves, "hobbit") == []
    assert found(shelves, "back again") == ["There and back again"]
    assert found(shelves, "burglary") == ["There and back again"]
    assert "There and back again" not in found(shelves, "dragons")


def test_a_deleted_book_is_found_no_more(shelves: Library, owner: Engine) -> None:
    [book] = read(shelves, "/books/search", q="hobbit")["items"]

    shelves.delete(f"/books/{book['id']}")

    assert found(shelves, "hobbit") == []
    with owner.connect() as connection:
        left = connection.scalar(text("SELECT count(*) FROM book_search WHERE book_id = :id"), {"id": book["id"]})
    assert left == 0


def test_a_merged_book_is_found_once(shelves: Library) -> None:
    with shelves.app.app_context(), tenant(shelves.id):
        record_redirects([("OL1W", a_book(5, "A history of dragons"))])
        db.session.remove()

    assert found(shelves, "dragons") == ["A history of dragons"]
    assert found(shelves, "hobbit") == []


def test_a_new_word_is_known_at_once(shelves: Library) -> None:
    shelves.post("/books", {"title": "Quidditch through the ages", "authors": [{"name": "Kennilworthy Whisp"}]})

    assert found(shelves, "quiditch wisp") == ["Quidditch through the ages"]


def test_a_book_of_more_words_than_any_index_takes_is_kept_and_found(library: Library) -> None:
    subjects = tuple(f"Subject{number}{'x' * 40} and{number}{'ü' * 40} more{number}" for number in range(2_000))

    shelve(library, a_book(1, "Everything", subjects=subjects))

    assert found(library, "everything and0" + "u" * 40) == ["Everything"]


def test_a_restored_book_is_found_by_what_it_says_again(shelves: Library) -> None:
    [book] = read(shelves, "/books/search", q="hobbit")["items"]
    shelves.patch(f"/books/{book['id']}", {"title": "There and back again"})

    assert shelves.post(f"/books/{book['id']}/versions/1/restore").status_code == 200

    assert found(shelves, "hobbit") == ["The Hobbit"]
    assert found(shelves, "back again") == []


def test_libraries_that_meet_the_same_words_at_once_do_not_wait_for_each_other(
    library: Library, other_library: Library, owner: Engine
) -> None:
    forwards = [a_book(number, f"Aardvark{letter} zymurgy{letter}") for number, letter in enumerate("abcdefgh", 1)]

    def record_each(of: Library, order: int) -> None:
        with tenant(of.id):
            for work in forwards[::order]:
                record_works([work])

    at_once(library, lambda: record_each(library, 1), lambda: record_each(library, -1))
    at_once(other_library, lambda: record_each(other_library, 1), lambda: record_each(other_library, -1))

    assert found(library, "ardvarka") == ["Aardvarka zymurgya"]
    with owner.connect() as connection:
        words = set(connection.scalars(text("SELECT word FROM search_words WHERE word LIKE 'aardvark%'")))
    assert len(words) == 8


# — the wall ———————————————————————————————————————————————————————————————————————————————————————


@contextmanager
def as_application(environment: dict[str, str]) -> Iterator[Connection]:
    """The database as the application's role sees it, beside the service."""
    engine = create_engine(Settings.from_environment(environment).database_url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


SEARCH = text("SELECT count(*) FROM search_books(ARRAY['hobbit'], false, 10)")
IN_TENANT = text("SELECT set_config('app.tenant_id', :id, true)")


def test_the_search_of_another_library_neither_shows_nor_counts(shelves: Library, other_library: Library) -> None:
    assert found(shelves, "hobbit") == ["The Hobbit"]
    assert found(shelves, "zyzzyva") == []
    assert found(shelves, "zyzyva") == []
    assert found(shelves, "elsewhere") == []
    assert found(other_library, "hobbit") == ["The Hobbit of another library"]
    assert found(other_library, "camus") == []


def test_the_function_gives_nothing_without_a_tenant(shelves: Library, migrated: dict[str, str]) -> None:
    with as_application(migrated) as connection:
        assert connection.scalar(SEARCH) == 0
        connection.execute(IN_TENANT, {"id": ""})
        assert connection.scalar(SEARCH) == 0
        connection.execute(IN_TENANT, {"id": "0193a000-0000-7000-8000-000000000001"})
        assert connection.scalar(SEARCH) == 0
        connection.execute(IN_TENANT, {"id": str(shelves.id)})
        assert connection.scalar(SEARCH) == 1


def test_the_function_takes_no_tenant(migrated: dict[str, str]) -> None:
    with as_application(migrated) as connection:
        taken = connection.scalars(
            text("SELECT pg_get_function_identity_arguments(oid) FROM pg_proc WHERE proname = 'search_books'")
        ).all()

    assert taken == ["words text[], last_is_prefix boolean, at_most integer"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM book_search",
        "SELECT * FROM search_words",
        "SELECT * FROM search_deletions",
        "INSERT INTO search_words VALUES ('x')",
        "DELETE FROM book_search",
        "UPDATE book_search SET title_words = 1",
        "TRUNCATE book_search",
        "SELECT search_neighbours('abcdef', 'hobit')",
        "SELECT search_vector('abcdef', 'hobbit', 'A')",
    ],
)
def test_the_application_gets_at_the_words_by_the_functions_only(
    shelves: Library, migrated: dict[str, str], statement: str
) -> None:
    with as_application(migrated) as connection, pytest.raises(DBAPIError, match="permission denied"):
        connection.execute(text(statement))


def test_words_are_written_for_the_own_tenant_only(
    shelves: Library, other_library: Library, migrated: dict[str, str]
) -> None:
    [foreign] = read(other_library, "/books/search", q="zyzzyva")["items"]
    index = text("SELECT index_books(jsonb_build_array(jsonb_build_object('id', cast(:id AS text), 'title', 'mine')))")

    with as_application(migrated) as connection, pytest.raises(DBAPIError, match="no tenant is set"):
        connection.execute(index, {"id": foreign["id"]})
    with as_application(migrated) as connection:
        connection.execute(IN_TENANT, {"id": str(shelves.id)})
        with pytest.raises(DBAPIError, match="fk_book_search_book"):
            connection.execute(index, {"id": foreign["id"]})

    assert found(other_library, "zyzzyva") == ["Zyzzyva"]


def test_what_is_handed_to_the_functions_is_never_taken_for_more_than_words(
    shelves: Library, migrated: dict[str, str]
) -> None:
    nasty = ["'", "\\", "a' | 'b", "x:*", "' & '", "!"]
    with as_application(migrated) as connection:
        connection.execute(IN_TENANT, {"id": str(shelves.id)})
        for word in nasty:
            asked = text("SELECT count(*) FROM search_books(cast(:words AS text[]), true, 10)")
            assert connection.scalar(asked, {"words": ["hobbit", word]}) == 0, word
        assert connection.scalar(asked, {"words": ["", ""]}) == 0


# — words ——————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("written", "words", "indexed"),
    [
        ("The Hobbit, or", ["the", "hobbit", "or"], ["the", "hobbit", "or"]),
        ("Spider-Man", ["spider", "man"], ["spider", "man", "spiderman"]),
        ("J.R.R. Tolkien", ["j", "r", "r", "tolkien"], ["j", "r", "jrr", "tolkien"]),
        ("20,000 leagues", ["20", "000", "leagues"], ["20", "000", "20000", "leagues"]),
        ("Don’t", ["don", "t"], ["don", "t", "dont"]),
        ("snake_case", ["snake", "case"], ["snake", "case"]),
        ("and/or", ["and", "or"], ["and", "or"]),
        ("Ünïcödé Straße", ["unicode", "strasse"], ["unicode", "strasse"]),
        ("三体 II", ["三", "体", "ii"], ["三", "体", "ii"]),
        ("का", ["का"], ["का"]),
        ("x" * 70, ["x" * 60], ["x" * 60]),
        ("...", [], []),
        ("", [], []),
    ],
)
def test_words_are_runs_of_letters_and_digits(written: str, words: list[str], indexed: list[str]) -> None:
    assert words_of(written) == words
    assert indexed_words([written]) == indexed


def test_a_text_without_the_words_is_not_marked() -> None:
    marker = Marker(frozenset({"dune", "her"}), "her")

    assert marker.marked("Of other things & heroes") == "Of other things &amp; <mark>heroes</mark>"
    assert marker.marked("Undunelike") is None
    assert marker.marked("") is None


def test_every_book_that_is_written_can_be_found(stored: Stored, owner: Engine) -> None:
    record_works([a_book(number, f"Title {number}") for number in range(1, 30)])

    with owner.connect() as connection:
        indexed = set(connection.scalars(text("SELECT book_id FROM book_search")))

    assert indexed == set(stored.column("SELECT id FROM books"))
