"""The endpoints that write to the catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Library

DUNE: dict[str, Any] = {
    "title": "Dune",
    "subtitle": "A novel",
    "authors": [{"name": "Frank Herbert"}],
    "contributors": [{"name": "John Schoenherr", "role": "illustrator"}, {"name": "N. N."}],
    "first_publish_year": 1965,
    "description": "A desert planet\nand its spice.",
    "subjects": ["Science fiction"],
    "languages": ["eng"],
    "publishers": ["Chilton Books"],
    "isbns": ["0-441-17271-7"],
    "page_count": 541,
    "cover_id": 11481354,
    "series": ["Dune"],
}


@pytest.fixture
def dune(library: Library) -> str:
    """The path of a book."""
    return f"/books/{library.post('/books', DUNE).json['id']}"


def faults(answer: Any) -> dict[str, str]:
    """The faulty fields of a refusal."""
    assert answer.status_code == 422, answer.text
    assert answer.json["code"] == "invalid_input"
    return {error["field"]: error["message"] for error in answer.json["errors"]}


# — creating ———————————————————————————————————————————————————————————————————————————————————————


def test_a_librarian_creates_a_book(library: Library) -> None:
    made = library.post("/books", DUNE)

    assert made.status_code == 201, made.text
    book = made.json
    assert made.headers["Location"] == f"/api/v1/tenants/riverside/books/{book['id']}"
    assert book["authors"] == [{"name": "Frank Herbert", "open_library_key": None}]
    assert book["contributors"][1] == {"name": "N. N.", "role": "contributor"}
    assert book["isbns"] == ["9780441172719"]
    assert (book["source"], book["version"], book["open_library_key"]) == ("manual", 1, None)
    assert {name: book[name] for name in ("title", "subtitle", "description", "languages", "page_count", "series")} == {
        "title": "Dune",
        "subtitle": "A novel",
        "description": "A desert planet\nand its spice.",
        "languages": ["eng"],
        "page_count": 541,
        "series": ["Dune"],
    }
    shown = library.get(f"/books/{book['id']}")
    assert shown.json == book


def test_title_and_one_author_are_enough(library: Library) -> None:
    made = library.post("/books", {"title": "Dune", "authors": [{"name": "Frank Herbert"}]})

    assert made.status_code == 201
    assert (made.json["subtitle"], made.json["subjects"], made.json["cover"]) == (None, [], None)


def test_null_stands_for_nothing_in_a_new_book(library: Library) -> None:
    nothing = dict.fromkeys(
        ["subtitle", "first_publish_year", "description", "subjects", "isbns", "series", "cover_id"]
    )

    made = library.post("/books", {"title": "Dune", "authors": [{"name": "N. N."}], **nothing})

    assert made.status_code == 201, made.text
    assert (made.json["description"], made.json["subjects"], made.json["isbns"]) == (None, [], [])


def test_an_isbn_belongs_to_one_book(library: Library, other_library: Library, dune: str) -> None:
    again = library.post("/books", {**DUNE, "title": "Another"})
    theirs = other_library.post("/books", DUNE)

    assert (again.status_code, again.json["code"]) == (409, "isbn_taken")
    assert again.json["isbns"] == ["9780441172719"]
    assert theirs.status_code == 201


def test_both_forms_of_an_isbn_are_one(library: Library) -> None:
    made = library.post("/books", {**DUNE, "isbns": ["0441172717", "978-0-441-17271-9", "9780340960196"]})

    assert made.json["isbns"] == ["9780441172719", "9780340960196"]


def test_a_repeated_creation_makes_one_book(library: Library) -> None:
    headers = {"Idempotency-Key": "create-dune"}

    first = library.post("/books", DUNE, headers=headers)
    second = library.post("/books", DUNE, headers=headers)
    other = library.post("/books", {**DUNE, "title": "Another"}, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert library.get(f"/books/{first.json['id']}").status_code == 200
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"title": "nul\x00"}, "title"),
        ({"title": 7}, "title"),
        ({"authors": []}, "authors"),
        ({"authors": None}, "authors"),
        ({"authors": ["Frank Herbert"]}, "authors.0"),
        ({"authors": [{}]}, "authors.0.name"),
        ({"authors": [{"name": "x"}] * 101}, "authors"),
        ({"authors": [{"name": "x", "open_library_key": "OL1W"}]}, "authors.0.open_library_key"),
        ({"authors": [{"name": "x", "age": 5}]}, "authors.0.age"),
        ({"contributors": [{"role": "editor"}]}, "contributors.0.name"),
        ({"first_publish_year": 1965.0}, "first_publish_year"),
        ({"first_publish_year": "1965"}, "first_publish_year"),
        ({"first_publish_year": -3001}, "first_publish_year"),
        ({"first_publish_year": 9998}, "first_publish_year"),
        ({"first_publish_year": 10**30}, "first_publish_year"),
        ({"description": "x" * 10_001}, "description"),
        ({"subjects": ["x"] * 201}, "subjects"),
        ({"subjects": ["x" * 201]}, "subjects.0"),
        ({"subjects": "Science fiction"}, "subjects"),
        ({"subjects": [None]}, "subjects.0"),
        ({"languages": ["english"]}, "languages.0"),
        ({"languages": ["EN"]}, "languages.0"),
        ({"isbns": ["9780441172710"]}, "isbns.0"),
        ({"isbns": ["9780441172719", "12345"]}, "isbns.1"),
        ({"isbns": [9780441172719]}, "isbns.0"),
        ({"isbns": ["9780441172719"] * 501}, "isbns"),
        ({"page_count": 0}, "page_count"),
        ({"page_count": 100_001}, "page_count"),
        ({"page_count": True}, "page_count"),
        ({"cover_id": -1}, "cover_id"),
        ({"id": "01890000-0000-7000-8000-000000000000"}, "id"),
        ({"open_library_key": "OL1W"}, "open_library_key"),
        ({"copies_total": 3}, "copies_total"),
        ({"overrides": {"title": None}}, "overrides"),
    ],
)
def test_a_bad_book_is_refused_by_its_field(library: Library, changed: dict[str, Any], field: str) -> None:
    assert list(faults(library.post("/books", {**DUNE, **changed}))) == [field]


@pytest.mark.parametrize("body", [b"[]", b'"Dune"', b"7", b"null"])
def test_a_book_is_a_json_object(library: Library, body: bytes) -> None:
    answer = library.call("POST", "/books", data=body, content_type="application/json")

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")


def test_a_book_is_sent_as_json(library: Library) -> None:
    broken = library.call("POST", "/books", data=b'{"title": ', content_type="application/json")
    form = library.call("POST", "/books", data=b"title=Dune", content_type="application/x-www-form-urlencoded")

    assert (broken.status_code, form.status_code) == (400, 415)


# — changing ———————————————————————————————————————————————————————————————————————————————————————


def test_a_librarian_changes_a_book(library: Library, dune: str) -> None:
    changed = library.patch(dune, {"title": "Ours", "page_count": None})

    assert changed.status_code == 200, changed.text
    assert (changed.json["title"], changed.json["page_count"], changed.json["subtitle"]) == ("Ours", None, "A novel")
    assert changed.json["overridden"] == ["page_count", "title"]
    assert [(one["origin"], one["changed_fields"]) for one in changed.json["versions"]][1:] == [
        ("manual", ["title", "page_count"])
    ]
    assert library.get(dune).json == changed.json


def test_an_override_is_lifted(library: Library, dune: str) -> None:
    library.patch(dune, {"title": "Ours"})

    lifted = library.patch(dune, {"overrides": {"title": None}})

    assert (lifted.status_code, lifted.json["title"], lifted.json["overridden"]) == (200, "Dune", [])


def test_no_change_makes_no_version(library: Library, dune: str) -> None:
    before = library.get(dune)

    empty = library.patch(dune, {})
    equal = library.patch(dune, {"title": "Dune", "isbns": ["9780441172719"]})

    assert empty.json == equal.json == before.json


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": None}, "title"),
        ({"authors": None}, "authors"),
        ({"authors": []}, "authors"),
        ({"publisher": "Ace"}, "publisher"),
        ({"overrides": {"title": "Ours"}}, "overrides.title"),
        ({"overrides": {"version": None}}, "overrides.version"),
        ({"overrides": None}, "overrides"),
        ({"overrides": ["title"]}, "overrides"),
        ({"title": "Ours", "overrides": {"title": None}}, "overrides.title"),
    ],
)
def test_a_bad_change_is_refused_by_its_field(library: Library, dune: str, body: dict[str, Any], field: str) -> None:
    assert list(faults(library.patch(dune, body))) == [field]
    assert library.get(dune).json["version"] == 1


def test_an_isbn_of_another_book_is_refused(library: Library, dune: str) -> None:
    other = library.post("/books", {**DUNE, "isbns": ["9780340960196"]}).json["id"]

    taken = library.patch(f"/books/{other}", {"isbns": ["9780441172719"]})

    assert (taken.status_code, taken.json["code"]) == (409, "isbn_taken")


def test_a_change_is_made_only_to_the_state_that_was_read(library: Library, dune: str) -> None:
    etag = library.get(dune).headers["ETag"]

    first = library.patch(dune, {"title": "First"}, headers={"If-Match": etag})
    second = library.patch(dune, {"title": "Second"}, headers={"If-Match": etag})
    third = library.delete(dune, headers={"If-Match": etag})
    any_state = library.patch(dune, {"title": "Third"}, headers={"If-Match": "*"})
    newest = library.delete(dune, headers={"If-Match": library.get(dune).headers["ETag"]})

    assert (first.status_code, second.status_code, third.status_code) == (200, 412, 412)
    assert second.json["code"] == "precondition_failed"
    assert (any_state.status_code, any_state.json["title"]) == (200, "Third")
    assert newest.status_code == 204


# — deleting ———————————————————————————————————————————————————————————————————————————————————————


def test_a_librarian_deletes_a_book(library: Library, dune: str) -> None:
    gone = library.delete(dune)

    assert (gone.status_code, gone.data) == (204, b"")
    assert library.get(dune).status_code == 404
    assert library.delete(dune).status_code == 404


# — versions ———————————————————————————————————————————————————————————————————————————————————————


def test_a_member_compares_versions(library: Library, dune: str) -> None:
    library.patch(dune, {"title": "Ours"})

    different = library.get(f"{dune}/versions/1/diff/2", role="read_only")
    equal = library.get(f"{dune}/versions/2/diff/2", role="read_only")

    assert different.status_code == 200
    assert different.json == {
        "from": 1,
        "to": 2,
        "changes": [{"field": "title", "op": "changed", "before": "Dune", "after": "Ours"}],
    }
    assert equal.json == {"from": 2, "to": 2, "changes": []}


def test_a_librarian_restores_a_version(library: Library, dune: str) -> None:
    library.patch(dune, {"title": "Ours"})
    headers = {"Idempotency-Key": "restore-dune"}

    restored = library.post(f"{dune}/versions/1/restore", headers=headers)
    repeated = library.post(f"{dune}/versions/1/restore", headers=headers)

    assert restored.status_code == 200, restored.text
    assert (restored.json["title"], restored.json["version"]) == ("Dune", 3)
    assert [one["origin"] for one in restored.json["versions"]] == ["manual", "manual", "restore"]
    assert repeated.data == restored.data
    assert library.get(dune).json["version"] == 3


@pytest.mark.parametrize(
    "path", ["/versions/1/diff/2", "/versions/0/diff/1", "/versions/x/diff/1", f"/versions/{'9' * 400}/diff/1"]
)
def test_a_version_that_is_not_there_is_not_found(library: Library, dune: str, path: str) -> None:
    answer = library.get(dune + path)

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("number", ["2", "0", "-1", "x", "1.0", "٣", "9" * 400])
def test_a_version_that_is_not_there_is_not_restored(library: Library, dune: str, number: str) -> None:
    answer = library.post(f"{dune}/versions/{number}/restore")

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


# — who may ————————————————————————————————————————————————————————————————————————————————————————

Operation = tuple[str, str, Any]
WRITES: list[Operation] = [
    ("POST", "/books", DUNE),
    ("PATCH", "{book}", {"title": "Theirs"}),
    ("DELETE", "{book}", None),
    ("POST", "{book}/versions/1/restore", None),
]
ALL: list[Operation] = [*WRITES, ("GET", "{book}/versions/1/diff/1", None)]


def call(library: Library, operation: Operation, *, book: str, role: str | None = "librarian") -> Any:
    method, path, body = operation
    return library.call(method, path.format(book=book), role=role, **({} if body is None else {"json": body}))


@pytest.mark.parametrize("operation", ALL)
def test_a_stranger_has_to_sign_in(library: Library, dune: str, operation: Operation) -> None:
    answer = call(library, operation, book=dune, role=None)

    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("role", ["lms", "kiosk", "read_only"])
@pytest.mark.parametrize("operation", WRITES)
def test_only_librarians_write(library: Library, dune: str, operation: Operation, role: str) -> None:
    answer = call(library, operation, book=dune, role=role)

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert library.get(dune).json["version"] == 1


@pytest.mark.parametrize("operation", ALL[1:])
def test_another_librarys_book_is_not_found(
    library: Library, other_library: Library, dune: str, operation: Operation
) -> None:
    answer = call(other_library, operation, book=dune)

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert library.get(dune).json["title"] == "Dune"


@pytest.mark.parametrize("book", ["/books/01890000-0000-7000-8000-000000000000", "/books/not-an-id", "/books/1"])
@pytest.mark.parametrize("operation", ALL[1:])
def test_an_unknown_or_malformed_id_is_not_found(library: Library, operation: Operation, book: str) -> None:
    answer = call(library, operation, book=book)

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
