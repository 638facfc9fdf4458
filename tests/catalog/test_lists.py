"""The list of books."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.catalog.schemas import BookListSchema
from app.core.database import transaction
from app.core.tenancy import tenant
from app.openlibrary.records import AuthorRef, Contributor
from tests.catalog.reading import a_book, held_against, pages, read, refused, shelve, titles
from tests.conftest import Library

LE_GUIN = AuthorRef("Ursula K. Le Guin", "OL31353A")


@pytest.fixture
def shelves(library: Library, other_library: Library) -> Library:
    """A library of five books, the first of them the oldest; another one has one that must never show."""
    shelve(
        library,
        a_book(
            1,
            "The Dispossessed",
            authors=(LE_GUIN,),
            first_publish_year=1974,
            subjects=("Anarchism", "Utopias"),
            languages=("eng",),
            isbns=("9780060125639",),
        ),
        a_book(
            2,
            "A Wizard of Earthsea",
            authors=(LE_GUIN,),
            contributors=(Contributor("Ruth Robbins", "illustrator"),),
            first_publish_year=1968,
            subjects=("Wizards", "Fantasy"),
            languages=("eng", "ger"),
            series=("Earthsea",),
            cover_id=13617691,
        ),
        a_book(
            3,
            "L'Étranger",
            authors=(AuthorRef("Albert Camus", "OL124171A"),),
            first_publish_year=1942,
            subjects=("Absurd (Philosophy)",),
            languages=("fre",),
        ),
        a_book(4, "Beowulf", first_publish_year=None, subjects=("Épopées", "Fantasy"), languages=("ang",)),
        a_book(5, "zoology for all", authors=("Émile Zóla",), first_publish_year=1990),
    )
    shelve(
        other_library,
        a_book(
            1,
            "Not of this library",
            authors=(LE_GUIN,),
            first_publish_year=1968,
            subjects=("Fantasy", "Wizards"),
            languages=("eng",),
            isbns=("9780060125639",),
        ),
    )
    return library


def put(library: Library, assignment: str, title: str) -> None:
    """Change a book behind the service's back, for what no endpoint sets yet."""
    with library.app.app_context(), tenant(library.id), transaction() as session:
        session.execute(text(f"UPDATE books SET {assignment} WHERE title = :title"), {"title": title})


# — what an item is ————————————————————————————————————————————————————————————————————————————————


def test_the_newest_book_comes_first(shelves: Library) -> None:
    page = read(shelves, "/books")

    assert titles(page) == ["zoology for all", "Beowulf", "L'Étranger", "A Wizard of Earthsea", "The Dispossessed"]
    assert (page["total"], page["total_relation"], page["next_cursor"]) == (5, "eq", None)


def test_an_item_is_a_whole_book(shelves: Library) -> None:
    item = read(shelves, "/books")["items"][3]

    assert item["authors"] == [{"name": "Ursula K. Le Guin", "open_library_key": "OL31353A"}]
    assert item["contributors"] == [{"name": "Ruth Robbins", "role": "illustrator"}]
    assert item["subjects"] == ["Wizards", "Fantasy"]
    assert item["cover"] == {
        "small": "http://127.0.0.1:9/b/id/13617691-S.jpg",
        "medium": "http://127.0.0.1:9/b/id/13617691-M.jpg",
        "large": "http://127.0.0.1:9/b/id/13617691-L.jpg",
    }
    assert (item["open_library_key"], item["upstream_status"], item["source"]) == ("OL2W", "live", "open_library")
    assert (item["subtitle"], item["labels"], item["version"], item["copies_total"]) == (None, None, 1, 0)
    assert item["created_at"].endswith("Z")


def test_the_bytes_are_what_the_schema_documents(shelves: Library) -> None:
    put(shelves, """labels = '{"hues": ["inspiring"]}'""", "Beowulf")

    page = read(shelves, "/books")

    held_against(BookListSchema(), page)
    assert read(shelves, "/books", limit=3)["items"] == page["items"][:3]


def test_a_book_without_a_cover_has_none(shelves: Library) -> None:
    assert read(shelves, "/books")["items"][0]["cover"] is None


# — order and pages ————————————————————————————————————————————————————————————————————————————————

BY_TITLE = ["A Wizard of Earthsea", "Beowulf", "L'Étranger", "The Dispossessed", "zoology for all"]
BY_YEAR = ["Beowulf", "L'Étranger", "A Wizard of Earthsea", "The Dispossessed", "zoology for all"]
BY_MAKING = ["The Dispossessed", "A Wizard of Earthsea", "L'Étranger", "Beowulf", "zoology for all"]
BY_LOANS = ["Beowulf", "A Wizard of Earthsea", "L'Étranger", "The Dispossessed", "zoology for all"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("title", BY_TITLE),
        ("-title", BY_TITLE[::-1]),
        ("first_publish_year", BY_YEAR),
        ("-first_publish_year", BY_YEAR[::-1]),
        ("created_at", BY_MAKING),
        ("-created_at", BY_MAKING[::-1]),
        ("times_borrowed", BY_LOANS),
        ("-times_borrowed", BY_LOANS[::-1]),
    ],
)
def test_every_order_holds_over_all_pages(shelves: Library, sort: str, expected: list[str]) -> None:
    for borrowed, title in enumerate(BY_LOANS):
        put(shelves, f"times_borrowed = {borrowed}", title)

    walked = list(pages(shelves, "/books", sort=sort, limit=2))

    assert [title for page in walked for title in titles(page)] == expected
    assert [page["total"] for page in walked] == [5, 5, 5]


def test_equal_keys_neither_repeat_nor_skip_a_book(library: Library) -> None:
    shelve(library, *(a_book(number, "The same", first_publish_year=1999) for number in range(1, 8)))

    for sort in ("title", "-title", "first_publish_year", "-times_borrowed"):
        walked = [item["id"] for page in pages(library, "/books", sort=sort, limit=2) for item in page["items"]]
        assert len(walked) == len(set(walked)) == 7


def test_books_that_come_in_between_move_no_page(shelves: Library) -> None:
    first = read(shelves, "/books", limit=2)
    shelve(shelves, *(a_book(number, f"New {number}") for number in range(10, 16)))

    second = read(shelves, "/books", limit=2, cursor=first["next_cursor"])

    assert titles(second) == ["L'Étranger", "A Wizard of Earthsea"]


def test_a_cursor_is_good_for_its_own_list_only(shelves: Library, other_library: Library) -> None:
    cursor = read(shelves, "/books", limit=1)["next_cursor"]

    assert refused(shelves, "/books", cursor=cursor, sort="title") == {"cursor"}
    assert refused(shelves, "/books", cursor=cursor, language="eng") == {"cursor"}
    assert refused(shelves, "/authors", cursor=cursor) == {"cursor"}
    assert refused(other_library, "/books", cursor=cursor) == {"cursor"}


@pytest.mark.parametrize("damage", ["x", "!!", "eyJhIjoxfQ", "Ü", "A" * 1999])
def test_a_damaged_cursor_is_refused(shelves: Library, damage: str) -> None:
    cursor = read(shelves, "/books", limit=1)["next_cursor"]

    assert refused(shelves, "/books", cursor=damage) == {"cursor"}
    assert refused(shelves, "/books", cursor=cursor[:-1]) == {"cursor"}
    assert refused(shelves, "/books", cursor=cursor[0].swapcase() + cursor[1:] + damage) == {"cursor"}


# — filters ————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"author": "ursula k. le guin"}, {"The Dispossessed", "A Wizard of Earthsea"}),
        ({"author": "  EMILE   ZOLA "}, {"zoology for all"}),
        ({"author": "OL124171A"}, {"L'Étranger"}),
        ({"author": ["OL124171A", "Emile Zola"]}, {"L'Étranger", "zoology for all"}),
        ({"author": "Le Guin"}, set()),
        ({"contributor": "ruth robbins"}, {"A Wizard of Earthsea"}),
        ({"contributor": "Ursula K. Le Guin"}, set()),
        ({"series": "earthsea"}, {"A Wizard of Earthsea"}),
        ({"subject": "epopees"}, {"Beowulf"}),
        ({"subject": ["epopees", "Utopias"]}, {"Beowulf", "The Dispossessed"}),
        ({"subject": "Fantas"}, set()),
        ({"language": "ENG"}, {"The Dispossessed", "A Wizard of Earthsea"}),
        ({"language": ["fre", "ger"]}, {"L'Étranger", "A Wizard of Earthsea"}),
        ({"isbn": "0-06-012563-2"}, {"The Dispossessed"}),
        ({"isbn": "9780441172719"}, set()),
        ({"year_from": 1968}, {"A Wizard of Earthsea", "The Dispossessed", "zoology for all"}),
        ({"year_to": 1968}, {"L'Étranger", "A Wizard of Earthsea"}),
        ({"year_from": 1943, "year_to": 1968}, {"A Wizard of Earthsea"}),
        ({"year_from": 1991}, set()),
        ({"source": "open_library"}, set(BY_TITLE)),
        ({"source": "manual"}, set()),
        ({"source": ["manual", "open_library"]}, set(BY_TITLE)),
        ({"subject": "fantasy", "language": "ger"}, {"A Wizard of Earthsea"}),
        ({"subject": "fantasy", "language": "fre"}, set()),
        ({"label": "inspiring"}, set()),
        ({"available": "true"}, set()),
        ({"available": "false"}, set(BY_TITLE)),
    ],
)
def test_a_filter_finds_its_books_and_no_others(shelves: Library, filters: dict[str, Any], expected: set[str]) -> None:
    page = read(shelves, "/books", **filters)

    assert set(titles(page)) == expected
    assert page["total"] == len(expected)


def test_books_are_found_by_the_id_of_their_author(shelves: Library) -> None:
    ids = {author["name"]: author["id"] for author in read(shelves, "/authors")["items"]}

    assert titles(read(shelves, "/books", author=ids["Albert Camus"])) == ["L'Étranger"]
    assert titles(read(shelves, "/books", author=[ids["Albert Camus"], "Emile Zola"])) == [
        "zoology for all",
        "L'Étranger",
    ]
    assert titles(read(shelves, "/books", author="0193a000-0000-7000-8000-000000000001")) == []


def test_two_authors_of_one_name_are_told_apart_by_id_and_key(library: Library) -> None:
    namesake = AuthorRef(LE_GUIN.name, "OL99A")
    shelve(library, a_book(1, "Hers", authors=(LE_GUIN,)), a_book(2, "The other's", authors=(namesake,)))

    found = {author["open_library_key"]: author["id"] for author in read(library, "/authors")["items"]}

    assert titles(read(library, "/books", author=found["OL31353A"])) == ["Hers"]
    assert titles(read(library, "/books", author=found["OL99A"])) == ["The other's"]
    assert titles(read(library, "/books", author="ol99a")) == ["The other's"]
    assert set(titles(read(library, "/books", author="ursula k. le guin"))) == {"Hers", "The other's"}


def test_books_with_a_free_copy_are_told_from_those_without(shelves: Library) -> None:
    put(shelves, "listed_total = 2, listed_available = 1", "Beowulf")
    put(shelves, "listed_total = 2, listed_available = 0", "L'Étranger")

    assert titles(read(shelves, "/books", available="true")) == ["Beowulf"]
    assert "Beowulf" not in titles(read(shelves, "/books", available="false"))
    assert read(shelves, "/books", available="false")["total"] == 4


def test_labels_are_hues_and_reading_abilities(shelves: Library) -> None:
    put(shelves, """labels = '{"hues": ["inspiring", "funny_comic"], "reading_abilities": []}'""", "Beowulf")
    put(shelves, """labels = '{"hues": [], "reading_abilities": ["early"]}'""", "L'Étranger")

    assert titles(read(shelves, "/books", label="funny_comic")) == ["Beowulf"]
    assert titles(read(shelves, "/books", label=["inspiring", "early"])) == ["Beowulf", "L'Étranger"]
    assert titles(read(shelves, "/books", label="funny")) == []


def test_a_term_longer_than_any_index_takes_is_found(library: Library) -> None:
    long = "Très longue série " * 15
    shelve(library, a_book(1, "One", series=(long,)), a_book(2, "Another", series=("Short",)))

    assert titles(read(library, "/books", series=long)) == ["One"]


def test_filters_hold_on_every_page(library: Library) -> None:
    languages = [("eng",), ("ger",)] * 4
    shelve(library, *(a_book(number, f"Book {number}", languages=told) for number, told in enumerate(languages, 1)))

    walked = list(pages(library, "/books", language="ger", sort="title", limit=3))

    assert [titles(page) for page in walked] == [["Book 2", "Book 4", "Book 6"], ["Book 8"]]


# — refusals ———————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("parameters", "faulty"),
    [
        ({"colour": "red"}, "colour"),
        ({"q": "dune"}, "q"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": ["5", "6"]}, "limit"),
        ({"sort": "colour"}, "sort"),
        ({"sort": "--title"}, "sort"),
        ({"sort": ["title", "-title"]}, "sort"),
        ({"isbn": "9780060125638"}, "isbn"),
        ({"year_from": "soon"}, "year_from"),
        ({"year_to": "99999"}, "year_to"),
        ({"year_to": "1.5"}, "year_to"),
        ({"available": "1"}, "available"),
        ({"source": "attic"}, "source"),
        ({"author": ""}, "author"),
        ({"author": "a\0b"}, "author"),
        ({"subject": ["x"] * 51}, "subject"),
        ({"series": "x" * 301}, "series"),
        ({"cursor": "x" * 2001}, "cursor"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(library: Library, parameters: dict[str, Any], faulty: str) -> None:
    assert refused(library, "/books", **parameters) == {faulty}


def test_all_faults_are_told_at_once(library: Library) -> None:
    assert refused(library, "/books", limit="0", sort="x", colour="red", year_to="x") == {
        "limit", "sort", "colour", "year_to",
    }  # fmt: skip


# — who may ————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("path", ["/books", "/books/search?q=dune", "/authors"])
def test_reading_takes_a_credential_of_the_library(library: Library, other_library: Library, path: str) -> None:
    foreign = {"Authorization": f"Bearer {other_library.key('librarian')}"}

    assert library.get(path, role=None).status_code == 401
    assert library.get(path, role=None, headers=foreign).status_code == 404
    assert library.get(path, role="read_only").status_code == 200


def test_a_key_without_the_scope_may_not_read(library: Library) -> None:
    account = library.post(
        "/service-accounts", {"name": "narrow", "role": "read_only", "scopes": ["tenant:read"]}, role="admin"
    )
    key = library.post(f"/service-accounts/{account.json['id']}/keys", {}, role="admin").json["key"]

    answer = library.get("/books", role=None, headers={"Authorization": f"Bearer {key}"})

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_another_librarys_books_never_show(shelves: Library, other_library: Library) -> None:
    assert titles(read(other_library, "/books")) == ["Not of this library"]
    assert "Not of this library" not in titles(read(shelves, "/books", limit=500))


# — kept answers ———————————————————————————————————————————————————————————————————————————————————


def test_a_list_that_has_not_changed_is_not_sent_again(shelves: Library) -> None:
    first = shelves.get("/books")

    again = shelves.get("/books", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_write_shows_at_once(shelves: Library) -> None:
    first = shelves.get("/books")

    made = shelves.post("/books", {"title": "Solaris", "authors": [{"name": "Stanisław Lem"}]})

    assert made.status_code == 201
    second = shelves.get("/books", headers={"If-None-Match": first.headers["ETag"]})
    assert second.status_code == 200
    assert (second.json["total"], titles(second.json)[0]) == (6, "Solaris")
    assert read(shelves, "/books", author="stanislaw lem")["total"] == 1


def test_pages_further_on_are_not_kept(shelves: Library, owner: Engine) -> None:
    cursor = read(shelves, "/books", limit=2)["next_cursor"]
    second = read(shelves, "/books", limit=2, cursor=cursor)
    # Nobody is told of this change, so a kept answer would not know it.
    with owner.begin() as connection:
        connection.execute(text("UPDATE books SET page_count = 77 WHERE tenant_id = :id"), {"id": shelves.id})

    assert read(shelves, "/books", limit=2)["items"][0]["page_count"] is None
    assert second["items"][0]["page_count"] is None
    assert read(shelves, "/books", limit=2, cursor=cursor)["items"][0]["page_count"] == 77
