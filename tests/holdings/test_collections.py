"""Collections themselves: made, changed, removed, and seen by whom."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.errors import MAX_BODY_BYTES
from tests.conftest import Library, Person
from tests.holdings.shelf import DUNE, HOBBIT, Shelf

NOBODY = "00000000-0000-7000-8000-000000000000"


def names(library: Library, **options: Any) -> list[str]:
    answer = library.get("/collections", **options)
    assert answer.status_code == 200, answer.text
    return [collection["name"] for collection in answer.json["items"]]


# — making and changing ————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("role", ["librarian", "lms", "admin"])
def test_a_collection_is_made_and_shown(library: Library, role: str) -> None:
    answer = library.post("/collections", {"name": "Main branch", "description": "Ground\nfloor"}, role=role)

    assert answer.status_code == 201
    shown = library.get(f"/collections/{answer.json['id']}")
    assert answer.headers["Location"].endswith(f"/collections/{answer.json['id']}")
    assert shown.json == answer.json
    assert {name: shown.json[name] for name in ("name", "description", "owner_id", "synced_at")} == {
        "name": "Main branch",
        "description": "Ground\nfloor",
        "owner_id": None,
        "synced_at": None,
    }


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": None}, "name"),
        ({"name": "Main", "description": "x" * 2001}, "description"),
        ({"name": "Main", "owner_id": NOBODY}, "owner_id"),
        ({"name": "Main", "owner_id": "me"}, "owner_id"),
        ({"name": "Main", "items": []}, "items"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_collection_with_an_unacceptable_value_is_not_made(library: Library, fields: dict[str, Any], at: str) -> None:
    answer = library.post("/collections", fields)

    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [at])
    assert names(library) == []


def test_somebody_of_another_library_owns_no_collection(library: Library, other_library: Library, shelf: Shelf) -> None:
    stranger = str(other_library.person().id)

    made = library.post("/collections", {"name": "Main", "owner_id": stranger})
    changed = library.patch(shelf.path, {"owner_id": stranger})

    assert (made.status_code, changed.status_code) == (422, 422)


def test_a_change_leaves_alone_what_it_does_not_name(library: Library) -> None:
    shelf = Shelf.put_up(library, description="Ground floor")

    renamed = library.patch(shelf.path, {"name": "East branch"}).json
    cleared = library.patch(shelf.path, {"description": None}).json

    assert (renamed["name"], renamed["description"]) == ("East branch", "Ground floor")
    assert (cleared["name"], cleared["description"]) == ("East branch", None)


def test_a_deleted_collection_is_gone_with_what_was_in_it(library: Library, shelf: Shelf, owner: Engine) -> None:
    shelf.put(DUNE, HOBBIT)

    assert library.delete(shelf.path).status_code == 204

    assert library.get(shelf.path).status_code == 404
    assert library.delete(shelf.path).status_code == 404
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM collection_items")) == 0


def test_what_is_done_to_collections_is_recorded(library: Library, shelf: Shelf, owner: Engine) -> None:
    library.patch(shelf.path, {"name": "East branch"})
    library.delete(shelf.path)

    with owner.connect() as connection:
        question = "SELECT type, data FROM events WHERE subject_id = :id ORDER BY at, id"
        recorded = [tuple(row) for row in connection.execute(text(question), {"id": shelf.id})]
    assert recorded == [
        ("collection.created", {}),
        ("collection.updated", {"fields": ["name"]}),
        ("collection.deleted", {}),
    ]


def test_a_stale_change_is_refused(library: Library, shelf: Shelf) -> None:
    etag = library.get(shelf.path).headers["ETag"]

    first = library.patch(shelf.path, {"name": "East"}, headers={"If-Match": etag})
    second = library.patch(shelf.path, {"name": "West"}, headers={"If-Match": etag})
    third = library.delete(shelf.path, headers={"If-Match": etag})

    assert [answer.status_code for answer in (first, second, third)] == [200, 412, 412]
    assert first.headers["ETag"] == library.get(shelf.path).headers["ETag"]


def test_a_sync_makes_a_reading_of_the_collection_stale(library: Library, shelf: Shelf) -> None:
    etag = library.get(shelf.path).headers["ETag"]
    shelf.put(DUNE)

    assert library.delete(shelf.path, headers={"If-Match": etag}).status_code == 412


def test_a_repeated_request_makes_one_collection(library: Library) -> None:
    answers = [library.post("/collections", {"name": "Main"}, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0].json == answers[1].json
    assert names(library) == ["Main"]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_bodies_are_json_and_not_endless(library: Library, shelf: Shelf, method: str) -> None:
    path = {"POST": "/collections", "PATCH": shelf.path, "PUT": f"{shelf.path}/items"}[method]

    text_ = library.call(method, path, data=b"name", content_type="text/plain")
    large = library.call(method, path, data=b" " * (MAX_BODY_BYTES + 1), content_type="application/json")

    assert (text_.status_code, large.status_code) == (415, 413)


# — seeing —————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("role", ["librarian", "lms", "admin", "kiosk", "read_only"])
def test_every_program_sees_the_librarys_collections(library: Library, shelf: Shelf, role: str) -> None:
    shelf.put(DUNE)

    assert names(library, role=role) == ["Main branch"]
    for path in ("", "/items", "/stats"):
        assert library.get(shelf.path + path, role=role).status_code == 200


@pytest.mark.parametrize("kind", ["reader", "student", "guardian", "educator"])
def test_everybody_sees_the_librarys_collections_and_changes_none(library: Library, shelf: Shelf, kind: str) -> None:
    token = library.person(kind).token

    assert names(library, token=token) == ["Main branch"]
    assert library.get(f"{shelf.path}/items", token=token).status_code == 200
    changes = [
        library.post("/collections", {"name": "Mine"}, token=token),
        library.patch(shelf.path, {"name": "Mine"}, token=token),
        library.delete(shelf.path, token=token),
        library.call("PUT", f"{shelf.path}/items", json={"items": []}, token=token),
        library.patch(f"{shelf.path}/items", {"items": []}, token=token),
    ]
    assert [answer.status_code for answer in changes] == [403] * 5


def sees(library: Library, shelf: Shelf, **options: Any) -> bool:
    """Whether somebody sees a collection, in the list and by each of its addresses alike."""
    statuses = {library.get(shelf.path + path, **options).status_code for path in ("", "/items", "/stats")}
    listed = shelf.id in [each["id"] for each in library.get("/collections", **options).json["items"]]
    assert statuses in ({200}, {404})
    assert listed is (statuses == {200})
    return listed


@pytest.fixture
def reader(library: Library) -> Person:
    return library.person()


@pytest.fixture
def own(library: Library, reader: Person) -> Shelf:
    """A collection that is a reader's own."""
    return Shelf.put_up(library, name="At home", owner_id=str(reader.id))


def test_a_persons_own_collection_is_theirs_to_see(library: Library, reader: Person, own: Shelf) -> None:
    assert sees(library, own, token=reader.token)
    assert library.get("/collections", token=reader.token).json["total"] == 1


@pytest.mark.parametrize("kind", ["reader", "student", "guardian", "educator"])
def test_it_is_not_there_for_others(library: Library, own: Shelf, kind: str) -> None:
    token = library.person(kind).token

    assert not sees(library, own, token=token)
    assert library.get("/collections", token=token).json["total"] == 0


@pytest.mark.parametrize(
    ("role", "expected"), [("librarian", True), ("admin", True), ("lms", True), ("kiosk", False), ("read_only", False)]
)
def test_those_who_look_after_people_or_holdings_see_it(
    library: Library, own: Shelf, role: str, *, expected: bool
) -> None:
    assert sees(library, own, role=role) is expected


def test_a_guardian_sees_a_linked_readers(library: Library, reader: Person, own: Shelf) -> None:
    guardian = library.person("guardian")
    link = f"/users/{guardian.id}/readers/{reader.id}"

    library.call("PUT", link, role="admin")
    linked = sees(library, own, token=guardian.token)
    library.delete(link, role="admin")

    assert linked
    assert not sees(library, own, token=guardian.token)


def test_an_educator_sees_those_of_readers_in_the_own_groups(library: Library, reader: Person, own: Shelf) -> None:
    educator, colleague = library.person("educator"), library.person("educator")
    group = library.post("/groups", {"name": "Class 3b", "owner_id": str(educator.id)}, role="admin").json["id"]
    library.call("PUT", f"/groups/{group}/members/{reader.id}", role="admin")

    assert sees(library, own, token=educator.token)
    assert not sees(library, own, token=colleague.token)


def test_the_list_is_narrowed_by_owner_and_sorted(library: Library, reader: Person, own: Shelf) -> None:
    for name in ("C", "A", "B"):
        Shelf.put_up(library, name=name)

    assert names(library) == ["B", "A", "C", "At home"]
    assert names(library, query_string={"sort": "name"}) == ["A", "At home", "B", "C"]
    assert names(library, query_string={"owner_id": str(reader.id)}) == ["At home"]
    assert names(library, query_string={"owner_id": NOBODY}) == []


def test_the_list_comes_in_pages(library: Library) -> None:
    for number in range(5):
        Shelf.put_up(library, name=f"Branch {number}")
    token, found, cursor = library.person().token, list[str](), None

    while cursor or not found:
        page = library.get(
            "/collections", token=token, query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        found += [each["name"] for each in page.json["items"]]
        cursor = page.json["next_cursor"]

    assert found == [f"Branch {number}" for number in (4, 3, 2, 1, 0)]


def test_another_librarys_collection_is_not_there(library: Library, other_library: Library, shelf: Shelf) -> None:
    shelf.put(DUNE)
    answers = [
        *(other_library.get(shelf.path + path, role="admin") for path in ("", "/items", "/stats")),
        other_library.patch(shelf.path, {"name": "Mine"}, role="admin"),
        other_library.delete(shelf.path, role="admin"),
        other_library.call("PUT", f"{shelf.path}/items", json={"items": []}, role="admin"),
        other_library.patch(f"{shelf.path}/items", {"items": [{"action": "remove", "isbn": DUNE}]}, role="admin"),
    ]

    assert {(answer.status_code, answer.json["code"]) for answer in answers} == {(404, "not_found")}
    assert names(other_library) == []
    assert shelf.holds() == {DUNE: (1, 1)}


def test_a_stranger_sees_nothing(library: Library, shelf: Shelf) -> None:
    assert {library.get(path, role=None).status_code for path in ("/collections", shelf.path)} == {401}


# — as a person's data —————————————————————————————————————————————————————————————————————————————


def test_what_is_somebodys_own_is_exported_with_them(
    library: Library, reader: Person, own: Shelf, shelf: Shelf
) -> None:
    own.put({"isbn": DUNE, "copies_total": 2, "info": "By the bed"})
    shelf.put(HOBBIT)

    told = library.get(f"/users/{reader.id}/export", token=reader.token).json

    assert [each["name"] for each in told["collections"]] == ["At home"]
    assert [(each["collection_id"], each["isbn"], each["info"]) for each in told["collection_items"]] == [
        (own.id, DUNE, "By the bed")
    ]


def test_what_is_somebodys_own_is_erased_with_them(
    library: Library, reader: Person, own: Shelf, shelf: Shelf, owner: Engine
) -> None:
    own.put(DUNE)
    shelf.put(HOBBIT)

    erased = library.post(f"/users/{reader.id}/erase", {}, role="admin").json["erased"]

    assert erased["collections"] == 1
    with owner.connect() as connection:
        assert list(connection.scalars(text("SELECT isbn FROM collection_items"))) == [HOBBIT]
        # What only they had is not looked up any more.
        assert list(connection.scalars(text("SELECT isbn FROM wanted_isbns"))) == [HOBBIT]


def test_the_answer_that_a_repetition_gets_is_forgotten_with_the_owner(
    library: Library, reader: Person, owner: Engine
) -> None:
    body = {"name": "At home", "owner_id": str(reader.id)}
    library.post("/collections", body, headers={"Idempotency-Key": "k"})

    library.post(f"/users/{reader.id}/erase", {}, role="admin")

    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0
