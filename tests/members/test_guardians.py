"""Guardians, and the readers that are linked to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.engine import Engine

from tests.auth.people import at_once, events, execute, told
from tests.conftest import Answer, Library, Person
from tests.members.groups import ask_while_erasing, sees

NOT_FOUND = (404, "not_found")
FORBIDDEN = (403, "forbidden")


@pytest.fixture
def guardian(library: Library) -> Person:
    """Somebody who looks after readers."""
    return library.person("guardian")


def link(library: Library, guardian_id: Any, reader_id: Any, method: str = "PUT", **options: Any) -> Answer:
    """Link as an administrator, unless `options` say otherwise."""
    return library.call(method, f"/users/{guardian_id}/readers/{reader_id}", **{"role": "admin", **options})


def unlink(library: Library, guardian_id: Any, reader_id: Any, **options: Any) -> Answer:
    return link(library, guardian_id, reader_id, "DELETE", **options)


def links(owner: Engine) -> list[tuple[UUID, UUID]]:
    found = execute(owner, "SELECT guardian_id, reader_id FROM guardian_readers ORDER BY created_at")
    return [(guardian_id, reader_id) for guardian_id, reader_id in found]


def test_a_guardian_sees_exactly_the_linked_readers(library: Library, guardian: Person) -> None:
    child, pupil, other = library.person("reader"), library.person("student"), library.person("reader")
    for reader in (child, pupil):
        assert link(library, guardian.id, reader.id).status_code == 204
    another = library.person("guardian")
    link(library, another.id, other.id)

    assert [sees(library, guardian, each.id) for each in (guardian, child, pupil)] == [True] * 3
    assert [sees(library, guardian, each.id) for each in (other, another)] == [False] * 2
    # It goes one way.
    assert not sees(library, child, guardian.id)


def test_a_guardian_sees_a_readers_address_masked_and_changes_nothing(library: Library, guardian: Person) -> None:
    child = library.person("reader", name="Kim Lee", email="kim.lee@example.org")
    link(library, guardian.id, child.id)

    seen = library.get(f"/users/{child.id}", token=guardian.token).json

    assert (seen["name"], seen["email"]) == ("Kim Lee", "k***@example.org")
    assert told(library.patch(f"/users/{child.id}", {"name": "Kim"}, token=guardian.token)) == FORBIDDEN
    assert told(library.delete(f"/users/{child.id}", token=guardian.token)) == FORBIDDEN


def test_linking_and_unlinking_once_more_changes_nothing(library: Library, guardian: Person, owner: Engine) -> None:
    child = library.person("reader")

    linked = [link(library, guardian.id, child.id).status_code for _ in range(2)]
    during = links(owner)
    unlinked = [unlink(library, guardian.id, child.id).status_code for _ in range(2)]

    assert (linked, unlinked) == ([204, 204], [204, 204])
    assert (during, links(owner)) == ([(guardian.id, child.id)], [])
    said = (guardian.id, "service_account", {"reader_id": str(child.id)})
    assert events(owner, "guardian.linked") == [said]
    assert events(owner, "guardian.unlinked") == [said]


def test_an_unlinked_reader_is_not_there_any_more(library: Library, guardian: Person) -> None:
    child, sibling = library.person("reader"), library.person("reader")
    for reader in (child, sibling):
        link(library, guardian.id, reader.id)

    unlink(library, guardian.id, child.id)

    assert not sees(library, guardian, child.id)
    assert sees(library, guardian, sibling.id)


def test_many_links_at_once_are_one(library: Library, guardian: Person, owner: Engine) -> None:
    child = library.person("reader")
    library.key("admin")

    answers = at_once(6, lambda: link(library, guardian.id, child.id))

    assert [answer.status_code for answer in answers] == [204] * 6
    assert links(owner) == [(guardian.id, child.id)]
    assert len(events(owner, "guardian.linked")) == 1


def test_only_a_guardian_and_a_reader_are_linked(
    library: Library, other_library: Library, guardian: Person, owner: Engine
) -> None:
    child = library.person("reader")
    no_guardians = [library.person(kind).id for kind in ("reader", "student", "educator", "admin")]
    no_readers = [library.person(kind).id for kind in ("guardian", "educator", "admin")]
    pairs: list[tuple[Any, Any]] = [
        *((each, child.id) for each in [*no_guardians, child.id]),
        *((guardian.id, each) for each in [*no_readers, guardian.id]),
        (other_library.person("guardian").id, child.id),
        (guardian.id, other_library.person("reader").id),
        (uuid4(), child.id),
        (guardian.id, uuid4()),
        ("nonsense", child.id),
        (guardian.id, "nonsense"),
    ]

    assert [told(link(library, *pair)) for pair in pairs] == [NOT_FOUND] * len(pairs)
    assert [told(unlink(library, *pair)) for pair in pairs] == [NOT_FOUND] * len(pairs)
    assert links(owner) == []


@pytest.mark.parametrize("kind", ["guardian", "reader", "student", "educator", "librarian"])
def test_links_are_made_by_administrators(library: Library, guardian: Person, owner: Engine, kind: str) -> None:
    child, somebody = library.person("reader"), library.person(kind)
    link(library, guardian.id, child.id)
    other = library.person("reader")

    assert told(link(library, guardian.id, other.id, token=somebody.token)) == FORBIDDEN
    assert told(unlink(library, guardian.id, child.id, token=somebody.token)) == FORBIDDEN
    assert links(owner) == [(guardian.id, child.id)]


def test_a_guardian_links_no_reader_to_themselves(library: Library, guardian: Person) -> None:
    child = library.person("reader")

    assert told(link(library, guardian.id, child.id, token=guardian.token)) == FORBIDDEN
    assert not sees(library, guardian, child.id)


def test_strangers_are_asked_who_they_are(library: Library, guardian: Person) -> None:
    child = library.person("reader")

    assert told(link(library, guardian.id, child.id, role=None)) == (401, "unauthenticated")
    assert told(unlink(library, guardian.id, child.id, role=None)) == (401, "unauthenticated")


def test_another_tenants_administrator_finds_neither(
    library: Library, other_library: Library, guardian: Person, owner: Engine
) -> None:
    child = library.person("reader")

    assert told(link(other_library, guardian.id, child.id)) == NOT_FOUND
    assert links(owner) == []


@pytest.mark.parametrize("gone", ["guardian", "reader"])
def test_a_link_goes_with_either_of_both(library: Library, guardian: Person, owner: Engine, gone: str) -> None:
    child = library.person("reader")
    link(library, guardian.id, child.id)

    erased = library.post(f"/users/{guardian.id if gone == 'guardian' else child.id}/erase", role="admin")

    assert erased.json["erased"]["guardian_readers"] == 1
    assert links(owner) == []
    assert library.get(f"/users/{child.id if gone == 'guardian' else guardian.id}", role="admin").status_code == 200


@pytest.mark.parametrize("gone", ["guardian", "reader"])
def test_somebody_who_is_erased_meanwhile_is_not_linked(
    library: Library, guardian: Person, owner: Engine, gone: str
) -> None:
    child = library.person("reader")
    library.key("admin")

    answer = ask_while_erasing(
        owner, guardian.id if gone == "guardian" else child.id, lambda: link(library, guardian.id, child.id)
    )

    assert told(answer) == NOT_FOUND
    assert links(owner) == []
