"""Groups: whose they are, who is in them, and who sees that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.engine import Engine

from app.auth import service as auth
from app.core.tenancy import tenant
from app.extensions import db
from tests.auth.people import at_once, events, execute, told
from tests.conftest import Answer, Library, Person
from tests.members.groups import ask_while_erasing, create, created, fill, members, put, sees, signed, size
from tests.naming import sent_statements

NOT_FOUND = (404, "not_found")
FORBIDDEN = (403, "forbidden")


@pytest.fixture
def educator(library: Library) -> Person:
    """Somebody who teaches."""
    return library.person("educator")


def take_out(library: Library, group_id: str, user_id: UUID, *, by: Person | None = None) -> Answer:
    return library.delete(f"/groups/{group_id}/members/{user_id}", **signed(by))


# — making and changing ————————————————————————————————————————————————————————————————————————————


def test_an_educators_group_is_their_own(library: Library, educator: Person, owner: Engine) -> None:
    answer = create(library, by=educator, description="Reading hour on Tuesdays")

    assert answer.status_code == 201, answer.text
    body = answer.json
    assert answer.headers["Location"] == f"/api/v1/tenants/riverside/groups/{body['id']}"
    assert library.get(f"/groups/{body['id']}", token=educator.token).json == body
    assert body.pop("created_at") == body.pop("updated_at")
    assert body == {
        "id": body["id"],
        "name": "Class 3b",
        "description": "Reading hour on Tuesdays",
        "owner_id": str(educator.id),
        "member_count": 0,
        "join_code_expires_at": None,
        "members": [],
    }
    assert events(owner, "group.created") == [(UUID(body["id"]), "user", {})]


def test_an_educator_may_name_themselves_and_nobody_else(library: Library, educator: Person) -> None:
    colleague = library.person("educator")

    assert create(library, by=educator, owner_id=str(educator.id)).json["owner_id"] == str(educator.id)
    assert told(create(library, by=educator, owner_id=str(colleague.id))) == FORBIDDEN
    assert library.get("/groups", role="admin").json["total"] == 1


def test_an_administrator_gives_a_group_to_whom_of_the_staff_they_like(library: Library, educator: Person) -> None:
    admin = library.person("admin")

    assert create(library, by=admin).json["owner_id"] == str(admin.id)
    assert create(library, by=admin, owner_id=str(educator.id)).json["owner_id"] == str(educator.id)


def test_a_group_made_by_a_program_or_by_who_runs_the_service_is_nobodys(library: Library, platform: Library) -> None:
    manager = platform.person("platform_admin")

    assert create(library).json["owner_id"] is None
    assert create(library, by=manager).json["owner_id"] is None


def test_a_program_that_does_not_manage_users_makes_and_sees_no_group(library: Library) -> None:
    created(library)
    with library.app.app_context(), tenant(library.id):
        account = auth.create_service_account(name="narrowed", role="admin", scopes=["groups:manage"])
        key, _ = auth.create_key(account.id)
        db.session.remove()
    as_program: dict[str, Any] = {"headers": {"X-API-Key": key}, "role": None}

    refused = library.post("/groups", {"name": "Class 3b"}, **as_program)

    assert told(refused) == FORBIDDEN
    assert library.get("/groups", **as_program).json["items"] == []


def test_only_staff_of_the_tenant_own_groups(library: Library, other_library: Library) -> None:
    strangers = [library.person("reader").id, library.person("guardian").id, other_library.person("admin").id, uuid4()]
    group_id = created(library)

    for stranger in strangers:
        refusals = [
            create(library, owner_id=str(stranger)),
            library.patch(f"/groups/{group_id}", {"owner_id": str(stranger)}, role="admin"),
        ]
        for refused in refusals:
            assert told(refused) == (422, "invalid_input")
            assert [error["field"] for error in refused.json["errors"]] == ["owner_id"]
    assert library.get("/groups", role="admin").json["total"] == 1


def test_a_repeated_request_makes_one_group(library: Library, educator: Person) -> None:
    answers = [
        library.post("/groups", {"name": "Class 3b"}, token=educator.token, headers={"Idempotency-Key": "k-1"})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert library.get("/groups", token=educator.token).json["total"] == 1


BAD = [
    {"name": ""},
    {"name": " "},
    {"name": "x" * 201},
    {"name": None},
    {"name": 3},
    {"name": "a\x00b"},
    {"description": "x" * 2001},
    {"description": ""},
    {"owner_id": "nobody"},
    {"id": str(uuid4())},
    {"member_count": 3},
    {"join_code": "KQ7M-4XPA"},
]


@pytest.mark.parametrize("fields", BAD)
def test_a_field_that_is_not_acceptable_is_named(library: Library, fields: dict[str, Any]) -> None:
    group_id = created(library)

    for refused in (create(library, **fields), library.patch(f"/groups/{group_id}", fields, role="admin")):
        assert told(refused) == (422, "invalid_input")
        assert [error["field"] for error in refused.json["errors"]] == list(fields)


@pytest.mark.parametrize("body", [{}, [], "Class 3b", {"description": "nameless"}])
def test_a_group_without_a_name_is_refused(library: Library, body: Any) -> None:
    assert told(library.call("POST", "/groups", role="admin", json=body)) == (422, "invalid_input")


def test_names_and_descriptions_may_be_as_long_as_is_said(library: Library) -> None:
    made = create(library, name="ß" * 200, description="é" * 2000).json

    assert (len(made["name"]), len(made["description"])) == (200, 2000)


def test_a_change_leaves_alone_what_it_does_not_name(library: Library, educator: Person, owner: Engine) -> None:
    before = create(library, by=educator, description="Reading hour").json

    answer = library.patch(f"/groups/{before['id']}", {"name": "Class 4b"}, token=educator.token)

    after = answer.json
    assert answer.status_code == 200, answer.text
    assert after.pop("updated_at") > before.pop("updated_at")
    assert after == {**before, "name": "Class 4b"}
    assert events(owner, "group.updated") == [(UUID(before["id"]), "user", {"fields": ["name"]})]


def test_null_clears_the_description(library: Library) -> None:
    group_id = created(library, description="Reading hour")

    assert library.patch(f"/groups/{group_id}", {"description": None}, role="admin").json["description"] is None


def test_an_administrator_gives_a_group_away_and_makes_it_nobodys(library: Library, educator: Person) -> None:
    admin, group_id = library.person("admin"), created(library)

    given = library.patch(f"/groups/{group_id}", {"owner_id": str(educator.id)}, token=admin.token)
    seen = library.get(f"/groups/{group_id}", token=educator.token)
    taken = library.patch(f"/groups/{group_id}", {"owner_id": None}, token=admin.token)

    assert (given.json["owner_id"], seen.status_code) == (str(educator.id), 200)
    assert taken.json["owner_id"] is None
    assert told(library.get(f"/groups/{group_id}", token=educator.token)) == NOT_FOUND


def test_an_educator_gives_no_group_away(library: Library, educator: Person) -> None:
    group_id, colleague = created(library, by=educator), library.person("educator")

    for owner_id in (str(colleague.id), None):
        refused = library.patch(f"/groups/{group_id}", {"owner_id": owner_id}, token=educator.token)
        assert told(refused) == FORBIDDEN
    kept = library.patch(f"/groups/{group_id}", {"owner_id": str(educator.id)}, token=educator.token)
    assert kept.json["owner_id"] == str(educator.id)


def test_a_change_of_what_has_changed_is_refused(library: Library, educator: Person) -> None:
    group_id = created(library, by=educator)
    path, outdated = f"/groups/{group_id}", {"If-Match": '"outdated"'}
    present = {"If-Match": library.get(path, token=educator.token).headers["ETag"]}

    refused = library.patch(path, {"name": "Class 4b"}, token=educator.token, headers=outdated)
    changed = library.patch(path, {"name": "Class 4b"}, token=educator.token, headers=present)
    kept = library.delete(path, token=educator.token, headers=present)
    gone = library.delete(path, token=educator.token, headers={"If-Match": changed.headers["ETag"]})

    assert told(refused) == told(kept) == (412, "precondition_failed")
    assert (changed.status_code, gone.status_code) == (200, 204)


def test_deleting_a_group_deletes_nobody(library: Library, educator: Person, owner: Engine) -> None:
    group_id, reader = created(library, by=educator), library.person("reader", name="Kim Lee")
    put(library, group_id, reader.id)
    code = library.post(f"/groups/{group_id}/join-code", token=educator.token).json["join_code"]
    joined = library.post("/auth/join", {"join_code": code, "first_name": "Kim", "last_initial": "L"}, role=None).json[
        "user"
    ]

    answer = library.delete(f"/groups/{group_id}", token=educator.token)

    assert answer.status_code == 204
    assert told(library.get(f"/groups/{group_id}", role="admin")) == NOT_FOUND
    assert told(library.delete(f"/groups/{group_id}", token=educator.token)) == NOT_FOUND
    assert library.get("/auth/me", token=reader.token).json["name"] == "Kim Lee"
    assert library.get(f"/users/{joined['id']}", role="admin").json == joined
    assert execute(owner, "SELECT joined_group_id FROM students") == [(None,)]
    assert [str(each.subject_id) for each in events(owner, "group.deleted")] == [group_id]


# — who sees which —————————————————————————————————————————————————————————————————————————————————


def test_educators_see_their_own_groups_and_administrators_all(library: Library, educator: Person) -> None:
    colleague = library.person("educator")
    mine, theirs, nobodys = created(library, by=educator), created(library, by=colleague), created(library)

    def listed(query: str = "", **options: Any) -> list[str]:
        answer = library.get(f"/groups{query}", **options)
        assert answer.json["total"] == len(answer.json["items"])
        return [item["id"] for item in answer.json["items"]]

    assert listed(role="admin") == [nobodys, theirs, mine]
    assert listed(token=educator.token) == [mine]
    assert listed(token=colleague.token) == [theirs]
    assert listed(f"?owner_id={colleague.id}", role="admin") == [theirs]
    assert listed(f"?owner_id={colleague.id}", token=educator.token) == []


def test_groups_are_listed_page_by_page_in_the_order_that_is_asked_for(library: Library) -> None:
    for name in ("b", "a", "c"):
        create(library, name=name)

    def names(query: str) -> list[str]:
        return [item["name"] for item in library.get(f"/groups?{query}", role="admin").json["items"]]

    first = library.get("/groups?sort=name&limit=2", role="admin").json
    assert [item["name"] for item in first["items"]] == ["a", "b"]
    assert names(f"sort=name&limit=2&cursor={first['next_cursor']}") == ["c"]
    assert (names("sort=-name"), names("sort=created_at"), names("")) == (
        ["c", "b", "a"],
        ["b", "a", "c"],
        ["c", "a", "b"],
    )
    assert told(library.get("/groups?sort=owner_id", role="admin")) == (422, "invalid_input")


def test_a_list_counts_members_and_asks_as_often_for_many_groups_as_for_one(library: Library) -> None:
    readers = [library.person("reader") for _ in range(3)]
    counts = (2, 0, 3)

    def ask() -> tuple[list[int], int]:
        with sent_statements() as sent:
            answer = library.get("/groups", role="admin")
        return [item["member_count"] for item in answer.json["items"]], len(sent)

    found = []
    for count in counts:
        group_id = created(library)
        for reader in readers[:count]:
            put(library, group_id, reader.id)
        found.append(ask())

    assert [members for members, _ in found] == [[2], [0, 2], [3, 0, 2]]
    assert len({statements for _, statements in found}) == 1
    assert set(library.get("/groups", role="admin").json["items"][0]) == {
        "id",
        "name",
        "description",
        "owner_id",
        "member_count",
        "join_code_expires_at",
        "created_at",
        "updated_at",
    }


def calls(group_id: str, user_id: UUID) -> list[tuple[str, str, Any]]:
    """Everything that can be asked of one group."""
    return [
        ("GET", f"/groups/{group_id}", None),
        ("PATCH", f"/groups/{group_id}", {"name": "Mine"}),
        ("POST", f"/groups/{group_id}/join-code", None),
        ("PUT", f"/groups/{group_id}/members/{user_id}", None),
        ("DELETE", f"/groups/{group_id}/members/{user_id}", None),
        ("DELETE", f"/groups/{group_id}", None),
    ]


def ask_all(library: Library, group_id: str, user_id: UUID, **options: Any) -> list[tuple[int, str]]:
    return [
        told(library.call(method, path, **({"json": body} if body else {}), **options))
        for method, path, body in calls(group_id, user_id)
    ]


def test_another_educators_group_is_not_there(library: Library, educator: Person, owner: Engine) -> None:
    colleague, reader = library.person("educator"), library.person("reader")
    group_id = created(library, by=colleague)
    put(library, group_id, reader.id)
    own = created(library, by=educator)
    put(library, own, reader.id)
    before = library.get(f"/groups/{group_id}", role="admin").json

    assert ask_all(library, group_id, reader.id, token=educator.token) == [NOT_FOUND] * 6
    assert ask_all(library, created(library), reader.id, token=educator.token) == [NOT_FOUND] * 6
    assert library.get(f"/groups/{group_id}", role="admin").json == before


def test_another_tenants_group_is_not_there(library: Library, other_library: Library) -> None:
    group_id, reader = created(other_library), library.person("reader")

    assert ask_all(library, group_id, reader.id, role="admin") == [NOT_FOUND] * 6
    assert members(other_library, group_id) == []


@pytest.mark.parametrize("group_id", [str(uuid4()), "nonsense", "0" * 36], ids=["no group's", "nonsense", "zeros"])
def test_a_group_that_is_not_there_is_not_found(library: Library, group_id: str) -> None:
    reader = library.person("reader")

    assert ask_all(library, group_id, reader.id, role="admin") == [NOT_FOUND] * 6


def test_strangers_are_asked_who_they_are(library: Library) -> None:
    group_id = created(library)

    assert ask_all(library, group_id, uuid4(), role=None) == [(401, "unauthenticated")] * 6
    assert told(library.get("/groups", role=None)) == (401, "unauthenticated")
    assert told(library.post("/groups", {"name": "Class 3b"}, role=None)) == (401, "unauthenticated")


@pytest.mark.parametrize("kind", ["reader", "student", "guardian", "librarian"])
def test_groups_are_for_educators_and_administrators(library: Library, kind: str) -> None:
    person, group_id = library.person(kind), created(library)
    if kind in ("reader", "student"):
        put(library, group_id, person.id)

    assert ask_all(library, group_id, person.id, token=person.token) == [FORBIDDEN] * 6
    assert told(library.get("/groups", token=person.token)) == FORBIDDEN
    assert told(create(library, by=person)) == FORBIDDEN


def test_an_educator_who_becomes_a_librarian_has_no_groups_any_more(library: Library, educator: Person) -> None:
    group_id = created(library, by=educator)

    library.patch(f"/users/{educator.id}", {"role": "librarian"}, role="admin")

    assert told(library.get(f"/groups/{group_id}", token=educator.token)) == (401, "unauthenticated")
    assert library.get(f"/groups/{group_id}", role="admin").json["owner_id"] == str(educator.id)


# — members ————————————————————————————————————————————————————————————————————————————————————————


def test_a_reader_is_put_in_and_taken_out_and_once_more_changes_nothing(library: Library, owner: Engine) -> None:
    group_id, reader = created(library), library.person("reader")

    assert [put(library, group_id, reader.id).status_code for _ in range(2)] == [204, 204]
    assert members(library, group_id) == [str(reader.id)]
    assert [take_out(library, group_id, reader.id).status_code for _ in range(2)] == [204, 204]
    assert members(library, group_id) == []
    said = (UUID(group_id), "service_account", {"user_id": str(reader.id)})
    assert events(owner, "group.member_added") == [said]
    assert events(owner, "group.member_removed") == [said]


def test_members_are_shown_in_the_order_in_which_they_came_as_a_register_has_them(
    library: Library, educator: Person
) -> None:
    group_id = created(library, by=educator)
    last, first = library.person("student", name="Kim L.", username="kim-1"), library.person("reader", name="Anna")
    for person in (first, last):
        put(library, group_id, person.id)

    shown = library.get(f"/groups/{group_id}", token=educator.token).json["members"]

    assert shown == [
        {"id": str(first.id), "type": "reader", "name": "Anna", "username": None},
        {"id": str(last.id), "type": "student", "name": "Kim L.", "username": "kim-1"},
    ]


def test_who_signs_in_changes_no_group(library: Library) -> None:
    group_id = created(library)
    anna = library.person("reader", email="anna@example.org", password="otters swim at dawn")
    put(library, group_id, anna.id)
    etag = library.get(f"/groups/{group_id}", role="admin").headers["ETag"]
    library.post("/auth/login", {"email": "anna@example.org", "password": "otters swim at dawn"}, role=None)

    assert library.get(f"/groups/{group_id}", role="admin").headers["ETag"] == etag


def test_nobody_but_readers_is_put_into_a_group(library: Library, other_library: Library, owner: Engine) -> None:
    group_id = created(library)
    others = [library.person(kind).id for kind in ("educator", "admin", "guardian")]
    others += [other_library.person("reader").id, uuid4()]

    for user_id in others:
        assert told(put(library, group_id, user_id)) == NOT_FOUND
        assert told(take_out(library, group_id, user_id)) == NOT_FOUND
    for path in (f"/groups/{group_id}/members/nonsense", f"/groups/{group_id}/members/{'0' * 36}"):
        assert [told(library.call(method, path, role="admin")) for method in ("PUT", "DELETE")] == [NOT_FOUND] * 2
    assert size(owner, group_id) == 0


def test_an_educator_does_not_reach_a_reader_by_putting_them_in(library: Library, educator: Person) -> None:
    group_id, reader, colleague = created(library, by=educator), library.person("reader"), library.person("educator")
    put(library, created(library, by=colleague), reader.id)

    assert told(put(library, group_id, reader.id, by=educator)) == NOT_FOUND
    assert not sees(library, educator, reader.id)
    assert members(library, group_id, by=educator) == []


def test_an_educator_puts_into_one_group_whom_they_have_in_another(library: Library, educator: Person) -> None:
    first, second, reader = created(library, by=educator), created(library, by=educator), library.person("reader")
    put(library, first, reader.id)

    assert put(library, second, reader.id, by=educator).status_code == 204
    assert members(library, second, by=educator) == [str(reader.id)]


def test_an_educator_sees_whoever_is_in_their_groups_for_as_long_as_they_are(
    library: Library, educator: Person
) -> None:
    group_id, reader, outsider = created(library, by=educator), library.person("reader"), library.person("reader")

    before = sees(library, educator, reader.id)
    put(library, group_id, reader.id)
    during = sees(library, educator, reader.id)
    answers = [take_out(library, group_id, reader.id, by=educator).status_code for _ in range(2)]
    after = sees(library, educator, reader.id)

    assert (before, during, after) == (False, True, False)
    # Who is seen no longer is not there: an educator must not learn by this who is a reader.
    assert answers == [204, 404]
    assert not sees(library, educator, outsider.id)


def test_a_member_sees_nobody_else_of_the_group(library: Library) -> None:
    group_id, reader, other = created(library), library.person("student"), library.person("student")
    for person in (reader, other):
        put(library, group_id, person.id)

    assert sees(library, reader, reader.id)
    assert not sees(library, reader, other.id)


# — how many ———————————————————————————————————————————————————————————————————————————————————————


def test_a_group_has_at_most_a_thousand_members(library: Library, owner: Engine) -> None:
    group_id, last, late = created(library), library.person("reader"), library.person("reader")
    fill(owner, library, group_id, 999)

    assert put(library, group_id, last.id).status_code == 204
    assert told(put(library, group_id, late.id)) == (409, "group_full")
    assert put(library, group_id, last.id).status_code == 204
    assert size(owner, group_id) == 1000


def test_of_many_at_once_one_gets_the_last_place(library: Library, owner: Engine) -> None:
    group_id = created(library)
    fill(owner, library, group_id, 999)
    readers = iter([library.person("reader") for _ in range(6)])

    answers = at_once(6, lambda: put(library, group_id, next(readers).id))

    assert sorted(answer.status_code for answer in answers) == [204] + [409] * 5
    assert size(owner, group_id) == 1000


def test_the_same_reader_added_by_many_at_once_is_in_it_once(library: Library, owner: Engine) -> None:
    group_id, reader = created(library), library.person("reader")

    answers = at_once(6, lambda: put(library, group_id, reader.id))

    assert [answer.status_code for answer in answers] == [204] * 6
    assert members(library, group_id) == [str(reader.id)]
    assert len(events(owner, "group.member_added")) == 1


# — those who go ———————————————————————————————————————————————————————————————————————————————————


def test_erasing_an_educator_leaves_the_group_to_nobody(library: Library, educator: Person) -> None:
    group_id, reader = created(library, by=educator), library.person("reader")
    put(library, group_id, reader.id)

    erased = library.post(f"/users/{educator.id}/erase", role="admin")

    assert erased.json["erased"]["groups"] == 1
    assert library.get(f"/groups/{group_id}", role="admin").json["owner_id"] is None
    assert members(library, group_id) == [str(reader.id)]


def test_erasing_a_student_takes_the_memberships(library: Library) -> None:
    student, other = library.person("student"), library.person("student")
    groups = [created(library), created(library)]
    for group_id in groups:
        put(library, group_id, student.id)
    put(library, groups[0], other.id)

    erased = library.post(f"/users/{student.id}/erase", role="admin")

    assert erased.json["erased"]["group_members"] == 2
    assert [members(library, group_id) for group_id in groups] == [[str(other.id)], []]


@pytest.mark.parametrize("gone", ["owner", "reader"])
def test_somebody_who_is_erased_meanwhile_is_not_there(library: Library, owner: Engine, gone: str) -> None:
    group_id = created(library)
    person = library.person("educator" if gone == "owner" else "reader")
    ask: Callable[[], Answer] = (
        (lambda: library.patch(f"/groups/{group_id}", {"owner_id": str(person.id)}, role="admin"))
        if gone == "owner"
        else (lambda: put(library, group_id, person.id))
    )

    answer = ask_while_erasing(owner, person.id, ask)

    assert told(answer) == ((422, "invalid_input") if gone == "owner" else NOT_FOUND)
    assert members(library, group_id) == []
