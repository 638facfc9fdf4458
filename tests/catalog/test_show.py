"""One book: in detail, by ISBN, and its cover."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.catalog.schemas import BookDetailSchema
from app.catalog.service import record_redirects
from app.core.tenancy import tenant
from app.extensions import db
from tests.catalog.reading import a_book, held_against, read, shelve
from tests.catalog.works import ISBNS, a_work, an_edition
from tests.conftest import Library

NOBODYS = "0193a000-0000-7000-8000-000000000001"
UNKNOWN = [NOBODYS, NOBODYS.upper(), "unheard-of", "1", "%00", "0193a000", "../books", "x" * 300]


@pytest.fixture
def dune(library: Library) -> UUID:
    """A book with two editions and a cover."""
    [book_id] = shelve(library, a_work(editions=(an_edition("OL1M", ISBNS[0]), an_edition("OL2M", ISBNS[1]))))
    return book_id


def merge_into(library: Library, former: str, now: str) -> None:
    """Let Open Library make one work of two."""
    with library.app.app_context(), tenant(library.id):
        record_redirects([(former, a_book(int(now[2:-1]), "The survivor", cover_id=7))])
        db.session.remove()


# — in detail ——————————————————————————————————————————————————————————————————————————————————————


def test_a_book_shows_its_editions_and_versions(library: Library, dune: UUID) -> None:
    library.patch(f"/books/{dune}", {"title": "Dune, at last"})

    book = library.get(f"/books/{dune}").json

    held_against(BookDetailSchema(), book)
    assert (book["id"], book["title"], book["overridden"]) == (str(dune), "Dune, at last", ["title"])
    assert [edition["isbn"] for edition in book["editions"]] == [ISBNS[0], ISBNS[1]]
    assert [(each["number"], each["origin"]) for each in book["versions"]] == [(1, "open_library"), (2, "manual")]
    assert book["versions"][1]["changed_fields"] == ["title"]
    assert book["versions"][1]["created_at"].endswith("Z")


def test_the_detail_says_what_the_list_says(library: Library, dune: UUID) -> None:
    listed = read(library, "/books")["items"][0]

    detail = library.get(f"/books/{dune}").json

    assert {name: detail[name] for name in listed} == listed


def test_the_etag_of_a_book_is_its_contents(library: Library, dune: UUID) -> None:
    first = library.get(f"/books/{dune}")
    shelve(library, a_book(2, "Another book"))

    assert library.get(f"/books/{dune}").headers["ETag"] == first.headers["ETag"]
    unchanged = library.get(f"/books/{dune}", headers={"If-None-Match": first.headers["ETag"]})
    assert (unchanged.status_code, unchanged.data) == (304, b"")

    changed = library.patch(f"/books/{dune}", {"page_count": 1}, headers={"If-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    stale = library.patch(f"/books/{dune}", {"page_count": 2}, headers={"If-Match": first.headers["ETag"]})
    assert stale.status_code == 412


@pytest.mark.parametrize("path", ["/books/{}", "/books/{}/cover"])
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_id_of_nothing_is_not_found(library: Library, dune: UUID, path: str, unknown: str) -> None:
    answer = library.get(path.format(unknown))

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/books/{}", "/books/{}/cover", "/books/by-isbn/9780441172719"])
def test_only_the_library_itself_reads_its_book(
    library: Library, other_library: Library, dune: UUID, path: str
) -> None:
    path = path.format(dune)
    foreign = {"Authorization": f"Bearer {other_library.key('librarian')}"}

    assert library.get(path, role="read_only").status_code in {200, 302}
    assert library.get(path, role=None).status_code == 401
    assert library.get(path, role=None, headers=foreign).status_code == 404
    assert other_library.get(path).status_code == 404


def test_a_book_that_was_merged_away_leads_to_the_survivor(library: Library, other_library: Library) -> None:
    loser, survivor = shelve(library, a_book(1, "The loser"), a_book(2, "The survivor"))
    merge_into(library, "OL1W", "OL2W")

    moved = library.get(f"/books/{loser}")
    cover = library.get(f"/books/{loser}/cover?size=L")

    assert (moved.status_code, moved.headers["Location"]) == (301, f"/api/v1/tenants/riverside/books/{survivor}")
    assert (cover.status_code, cover.headers["Location"]) == (301, f"/api/v1/tenants/riverside/books/{survivor}/cover")
    assert other_library.get(f"/books/{loser}").status_code == 404


# — by ISBN ————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("isbn", ["9780441172719", "978-0-441-17271-9", "0441172717", "0-441-17271-7"])
def test_a_book_is_found_by_either_form_of_its_isbn(library: Library, dune: UUID, isbn: str) -> None:
    answer = library.get(f"/books/by-isbn/{isbn}")

    assert answer.status_code == 200
    assert answer.json == library.get(f"/books/{dune}").json


def test_the_isbn_of_a_later_edition_finds_the_book_as_well(library: Library, dune: UUID) -> None:
    shelve(library, a_book(2, "Another book", isbns=(ISBNS[2],)))

    assert library.get(f"/books/by-isbn/{ISBNS[1]}").json["id"] == str(dune)
    assert library.get(f"/books/by-isbn/{ISBNS[2]}").json["title"] == "Another book"


def test_an_isbn_that_no_book_has_is_not_found(library: Library, dune: UUID) -> None:
    answer = library.get("/books/by-isbn/9780060125639")

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("isbn", ["9780441172718", "0441172710", "12345", "dune", "97804411727199", "%20", "9" * 500])
def test_what_is_no_isbn_is_refused(library: Library, dune: UUID, isbn: str) -> None:
    answer = library.get(f"/books/by-isbn/{isbn}")

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert [error["field"] for error in answer.json["errors"]] == ["isbn"]


# — covers —————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(("query", "letter"), [("", "M"), ("?size=S", "S"), ("?size=M", "M"), ("?size=L", "L")])
def test_a_cover_leads_to_its_image(library: Library, dune: UUID, query: str, letter: str) -> None:
    answer = library.get(f"/books/{dune}/cover{query}")

    assert (answer.status_code, answer.headers["Location"]) == (302, f"http://127.0.0.1:9/b/id/11481354-{letter}.jpg")


def test_a_book_without_a_cover_says_so(library: Library) -> None:
    [bare] = shelve(library, a_book(1, "Bare"))

    answer = library.get(f"/books/{bare}/cover")

    assert (answer.status_code, answer.json["code"]) == (404, "no_cover")


@pytest.mark.parametrize("query", ["size=XL", "size=", "size=m", "size=S&size=M", "colour=red"])
def test_a_size_that_there_is_not_is_refused(library: Library, dune: UUID, query: str) -> None:
    assert library.get(f"/books/{dune}/cover?{query}").status_code == 422
