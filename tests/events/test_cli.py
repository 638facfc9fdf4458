"""`flask events verify`: what somebody has done to the audit trail who may do everything in the database."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant
from app.events import service
from app.tenants import service as tenants
from app.tenants.models import PLATFORM_ID
from tests.conftest import Library
from tests.events.conftest import Trail

SUBJECT = UUID("00000000-0000-7000-8000-000000000007")


def verify(app: Flask, *arguments: str) -> tuple[int, str, str]:
    """The exit status, and what was printed to both outputs."""
    outcome = app.test_cli_runner().invoke(args=["events", "verify", *arguments])
    return outcome.exit_code, outcome.stdout, outcome.stderr


@pytest.fixture
def sealed(in_app: Flask, library: Library, other_library: Library, trail: Trail) -> list[UUID]:
    """Five sealed events of a tenant, by their positions, one of another's, and what follows of creating both."""
    with tenant(library.id):
        service.record_many("test.done", [(SUBJECT, {"number": number}) for number in range(5)])
    with tenant(other_library.id):
        service.record("test.done")
    service.seal_events()
    return [event_id for _, event_id in trail.seals()]


# — all is well ————————————————————————————————————————————————————————————————————————————————————


def test_the_number_of_sealed_events_and_the_newest_hash_of_each_tenant_are_printed(
    app: Flask, sealed: list[UUID], trail: Trail, other_trail: Trail, owner: Engine
) -> None:
    status, printed, said = verify(app)

    assert (status, said) == (0, "")
    assert [line.split() for line in printed.splitlines()] == [
        ["hillside", "1", other_trail.hashes()[-1]],
        ["platform", "2", Trail(owner, PLATFORM_ID).hashes()[-1]],
        ["riverside", "5", trail.hashes()[-1]],
    ]


def test_one_tenant_may_be_asked_for(app: Flask, sealed: list[UUID], trail: Trail, other_trail: Trail) -> None:
    other_trail.change("DELETE FROM events WHERE tenant_id = :tenant")

    status, printed, _ = verify(app, "--tenant", "riverside")

    assert status == 0
    assert [line.split() for line in printed.splitlines()] == [["riverside", "5", trail.hashes()[-1]]]


def test_events_that_wait_for_their_seal_are_well(app: Flask, in_app: Flask, library: Library, trail: Trail) -> None:
    with tenant(library.id):
        service.record("test.done")

    status, printed, said = verify(app, "--tenant", "riverside")

    assert (status, printed.split(), said) == (0, ["riverside", "0", "-"], "")
    assert len(trail.queue()) == 1


def test_a_chain_of_several_batches_is_well(app: Flask, in_app: Flask, library: Library) -> None:
    with tenant(library.id):
        service.record_many("test.done", [(None, {"number": number}) for number in range(2500)])
    service.seal_events()

    status, printed, _ = verify(app, "--tenant", "riverside")

    assert (status, printed.split()[:2]) == (0, ["riverside", "2500"])


def test_the_trail_of_a_purged_tenant_goes_by_its_id(
    app: Flask, in_app: Flask, sealed: list[UUID], library: Library, trail: Trail
) -> None:
    tenants.purge_tenant(library.id)
    service.seal_events()

    for arguments in ((), ("--tenant", str(library.id))):
        status, printed, _ = verify(app, *arguments)
        assert status == 0
        assert printed.splitlines()[-1].split() == [str(library.id), "7", trail.hashes()[-1]]

    trail.change("DELETE FROM events WHERE id = :id", id=sealed[2])
    assert verify(app)[0] == 1


def test_a_tenant_that_is_not_there_is_said_in_one_line(app: Flask) -> None:
    status, printed, said = verify(app, "--tenant", "nowhere")

    assert (status, printed) == (1, "")
    assert said == "Error: There is no tenant 'nowhere'; `flask tenants list` shows all.\n"


def test_the_help_says_what_only_a_noted_hash_shows(app: Flask) -> None:
    _, printed, _ = verify(app, "--help")

    assert "can cut off the newest" in " ".join(printed.split())


# — something is wrong —————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    "change",
    [
        "type = 'test.undone'",
        "level = 'error'",
        "actor_kind = 'user'",
        "actor_id = gen_random_uuid()",
        "subject_id = NULL",
        "subject_id = gen_random_uuid()",
        """data = '{"number": 7}'""",
        """data = '{"number": 2.0000000000000000000000001}'""",
        "data = '{}'",
        "request_id = 'r-1'",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "at = '294276-12-31T23:59:59Z'",
    ],
)
def test_an_altered_event_is_found_whatever_was_altered(
    app: Flask, sealed: list[UUID], trail: Trail, change: str
) -> None:
    trail.change(f"UPDATE events SET {change} WHERE id = :id", id=sealed[2])

    status, printed, said = verify(app)

    assert status == 1
    assert said == (f"riverside: event {sealed[2]} is not what was sealed at position 3: it or its seal was altered.\n")
    # The others are well, and say so.
    assert [line.split()[0] for line in printed.splitlines()] == ["hillside", "platform"]


def test_an_altered_event_is_found_at_either_end(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("UPDATE events SET level = 'error' WHERE id = ANY (:ids)", ids=[sealed[0], sealed[4]])

    _, _, said = verify(app)

    assert [line.split()[2] for line in said.splitlines()] == [str(sealed[0]), str(sealed[4])]


def test_a_removed_event_is_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("DELETE FROM events WHERE id = :id", id=sealed[2])

    status, _, said = verify(app)

    assert (status, said) == (1, f"riverside: event {sealed[2]} was removed: its seal is at position 3.\n")


def test_an_event_that_was_given_to_another_tenant_is_found_in_both(
    app: Flask, sealed: list[UUID], trail: Trail, other_library: Library
) -> None:
    trail.change("UPDATE events SET tenant_id = :other WHERE id = :id", other=other_library.id, id=sealed[2])

    status, _, said = verify(app)

    assert status == 1
    assert said.splitlines() == [
        f"hillside: event {sealed[2]} has no seal and does not wait for one: either was removed.",
        f"riverside: event {sealed[2]} was removed: its seal is at position 3.",
    ]


def test_a_removed_seal_is_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("DELETE FROM event_seals WHERE event_id = ANY (:ids)", ids=sealed[1:3])

    status, _, said = verify(app)

    assert status == 1
    assert said.splitlines() == [
        "riverside: the seals from position 2 to 3 were removed.",
        *(
            f"riverside: event {event_id} has no seal and does not wait for one: either was removed."
            for event_id in sealed[1:3]
        ),
    ]


def test_an_event_that_was_removed_with_its_seal_is_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("DELETE FROM events WHERE id = :id", id=sealed[0])
    trail.change("DELETE FROM event_seals WHERE event_id = :id", id=sealed[0])

    status, _, said = verify(app)

    assert (status, said) == (1, "riverside: the seals from position 1 to 1 were removed.\n")


def test_after_a_removed_seal_the_rest_of_the_chain_is_still_looked_at(
    app: Flask, sealed: list[UUID], trail: Trail
) -> None:
    trail.change("DELETE FROM event_seals WHERE event_id = :id", id=sealed[1])
    trail.change("UPDATE events SET level = 'error' WHERE id = :id", id=sealed[4])

    _, _, said = verify(app)

    assert f"event {sealed[4]} is not what was sealed at position 5" in said


def test_seals_that_were_removed_at_the_end_leave_events_without_a_place(
    app: Flask, sealed: list[UUID], trail: Trail
) -> None:
    trail.change("DELETE FROM event_seals WHERE event_id = :id", id=sealed[4])

    status, _, said = verify(app)

    assert status == 1
    assert said == f"riverside: event {sealed[4]} has no seal and does not wait for one: either was removed.\n"


def test_an_event_that_was_taken_out_of_the_queue_is_found(
    app: Flask, in_app: Flask, library: Library, trail: Trail
) -> None:
    with tenant(library.id):
        service.record("test.done")
    [event_id] = trail.queue()
    trail.change("DELETE FROM unsealed_events WHERE tenant_id = :tenant")

    status, _, said = verify(app)

    assert status == 1
    assert said == f"riverside: event {event_id} has no seal and does not wait for one: either was removed.\n"


def test_an_event_that_was_removed_before_it_was_sealed_is_found(
    app: Flask, in_app: Flask, library: Library, trail: Trail
) -> None:
    with tenant(library.id):
        service.record("test.done")
    [event_id] = trail.queue()
    trail.change("DELETE FROM events WHERE tenant_id = :tenant")

    status, _, said = verify(app)

    assert (status, said) == (1, f"riverside: event {event_id} was removed before it was sealed.\n")


def test_a_sealed_event_that_was_put_back_into_the_queue_is_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("INSERT INTO unsealed_events VALUES (:tenant, :id)", id=sealed[2])

    status, _, said = verify(app)

    assert status == 1
    assert said == (
        f"riverside: event {sealed[2]} has a seal and waits for another, which keeps the events after it waiting.\n"
    )


def test_an_altered_seal_is_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    trail.change("UPDATE event_seals SET hash = sha256('x') WHERE event_id = :id", id=sealed[4])

    status, _, said = verify(app)

    assert status == 1
    assert said.splitlines() == [
        f"riverside: event {sealed[4]} is not what was sealed at position 5: it or its seal was altered."
    ]


def test_events_that_changed_places_are_found(app: Flask, sealed: list[UUID], trail: Trail) -> None:
    move = "UPDATE event_seals SET event_id = :id WHERE tenant_id = :tenant AND position = :position"
    trail.change(move, position=2, id=SUBJECT)
    trail.change(move, position=3, id=sealed[1])
    trail.change(move, position=2, id=sealed[2])

    _, _, said = verify(app)

    assert [line.split()[2] for line in said.splitlines()] == [str(sealed[2]), str(sealed[1])]


def test_a_cut_off_end_shows_against_what_was_noted(
    app: Flask, sealed: list[UUID], trail: Trail, other_trail: Trail
) -> None:
    noted = verify(app, "--tenant", "riverside")[1]
    trail.change("DELETE FROM events WHERE id = ANY (:ids)", ids=sealed[3:])
    trail.change("DELETE FROM event_seals WHERE event_id = ANY (:ids)", ids=sealed[3:])

    status, printed, _ = verify(app, "--tenant", "riverside")

    assert status == 0
    assert (noted.split()[1], printed.split()[1]) == ("5", "3")
    assert noted.split()[2] != printed.split()[2]


# — progress ———————————————————————————————————————————————————————————————————————————————————————


def test_every_seal_and_every_event_counts_as_progress(in_app: Flask, sealed: list[UUID], library: Library) -> None:
    seen: list[int] = []

    with tenant(library.id):
        service.verify(report=pytest.fail, advance=seen.append)

    assert seen == [5, 5]
