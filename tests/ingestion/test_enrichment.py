"""What a library holds and has no book of is looked up at Open Library."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.catalog import service as catalog
from app.core.database import transaction
from app.core.queue import QueueName
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant as as_tenant
from app.extensions import db, redis
from app.ingestion import service
from app.ingestion.models import JobStatus
from app.ingestion.service.jobs import end_job, existing_job
from app.tenants import service as tenants
from bench.dataset import isbn13
from tests.conftest import Library
from tests.holdings.recount import wanted, wrongly_wanted
from tests.holdings.shelf import DUNE, EMMA, HOBBIT, Shelf, copies_of, make_book
from tests.ingestion.conftest import work_all
from tests.stand_in import StandIn


@pytest.fixture
def shelf(library: Library) -> Shelf:
    return Shelf.put_up(library)


def enrich(app: Flask) -> int:
    """Play the scheduler."""
    with app.app_context(), acting_as(SYSTEM):
        return service.enrich_due()


def jobs_of(library: Library) -> list[dict[str, Any]]:
    """The tenant's jobs of this kind, the newest first."""
    jobs: list[dict[str, Any]] = library.get("/ingestion/jobs?trigger=enrichment").json["items"]
    return jobs


def let_pass(owner: Engine, **time: float) -> None:
    """As if everything had been asked so much earlier."""
    with owner.begin() as connection:
        for table in ("wanted_isbns", "enrichment_schedule"):
            connection.execute(text(f"UPDATE {table} SET due_at = due_at - :time"), {"time": timedelta(**time)})


def dune_at(site: StandIn) -> str:
    """A work that Open Library has, with an edition of this ISBN."""
    return site.add_work("Dune", isbns=[DUNE])


def test_an_isbn_that_no_book_has_is_looked_up_and_counted(
    app: Flask, library: Library, shelf: Shelf, site: StandIn, owner: Engine
) -> None:
    dune_at(site)
    make_book(library, "The Hobbit", HOBBIT)

    shelf.put({"isbn": DUNE, "copies_total": 3, "copies_available": 1}, HOBBIT)
    queued = wanted(owner)
    requested = enrich(app)
    work_all(app)

    assert (queued, requested) == ([DUNE], 1)
    [job] = jobs_of(library)
    assert (job["trigger"], job["isbns"], job["status"]) == ("enrichment", [DUNE], "completed")
    [dune, _] = shelf.items()
    assert dune["title"] == "Dune"
    assert copies_of(library, dune["book_id"]) == (3, 1)
    assert wanted(owner) == []
    assert enrich(app) == 0


def test_what_open_library_does_not_know_is_asked_for_again_after_a_month(
    app: Flask, library: Library, shelf: Shelf, site: StandIn, owner: Engine
) -> None:
    shelf.put(DUNE)
    enrich(app)
    work_all(app)
    at_once = enrich(app)

    let_pass(owner, days=29)
    early = enrich(app)
    dune_at(site)
    let_pass(owner, days=1, seconds=1)
    late = enrich(app)
    work_all(app)

    assert (at_once, early, late) == (0, 0, 1)
    assert wanted(owner) == []
    assert shelf.items()[0]["title"] == "Dune"


def test_a_sync_tells_a_worker(in_app: Flask, library: Library, shelf: Shelf) -> None:
    make_book(library, "The Hobbit", HOBBIT)
    seen = []
    for rows in ([HOBBIT], [HOBBIT, DUNE], [HOBBIT, DUNE]):
        shelf.put(*rows)
        seen.append(redis.client.llen(QueueName.UPKEEP.value))

    assert seen == [0, 1, 1]


def test_isbns_are_asked_for_in_batches_one_after_the_other(
    app: Flask, library: Library, shelf: Shelf, owner: Engine
) -> None:
    shelf.put(*(isbn13(number) for number in range(1100)))

    sizes = []
    while enrich(app):
        assert enrich(app) == 0, "One job of a tenant at a time."
        sizes.append(len(jobs_of(library)[0]["isbns"]))
        work_all(app)

    assert sizes == [500, 500, 100]
    assert len({isbn for job in jobs_of(library) for isbn in job["isbns"]}) == 1100


def test_enrichment_does_not_count_against_the_tenants_limit(
    app: Flask, library: Library, shelf: Shelf, owner: Engine
) -> None:
    def left() -> int:
        limits = {each["policy"]: each for each in library.get("/rate-limits").json["items"]}
        remaining: int = limits["ingestion"]["remaining"]
        return remaining

    before = left()
    shelf.put(DUNE)
    enrich(app)

    assert len(jobs_of(library)) == 1
    assert left() == before


def test_what_nobody_answered_is_asked_for_again_within_the_hour(
    app: Flask, library: Library, shelf: Shelf, site: StandIn, owner: Engine
) -> None:
    shelf.put(DUNE)
    enrich(app)
    [job] = jobs_of(library)
    # As when Open Library was away for longer than a job waits.
    with app.app_context(), as_tenant(library.id), acting_as(SYSTEM), transaction():
        end_job(
            existing_job(UUID(job["id"]), lock=True), JobStatus.FAILED, error_code="upstream_unavailable", message="…"
        )
    at_once = enrich(app)

    let_pass(owner, hours=1, seconds=1)

    assert (at_once, enrich(app)) == (0, 1)


def test_what_is_held_no_longer_is_not_looked_up(app: Flask, library: Library, shelf: Shelf, owner: Engine) -> None:
    branch = Shelf.put_up(library)
    shelf.put(DUNE, HOBBIT, EMMA)
    branch.put(DUNE)

    shelf.put(HOBBIT)
    after_removal = wanted(owner)
    library.delete(shelf.path)

    assert after_removal == sorted([DUNE, HOBBIT])
    assert wanted(owner) == [DUNE]
    assert not wrongly_wanted(owner)


def test_a_book_made_by_hand_ends_the_search(app: Flask, library: Library, shelf: Shelf, owner: Engine) -> None:
    shelf.put(DUNE, HOBBIT)

    book = make_book(library, "Dune", DUNE)
    after_making = wanted(owner)
    library.patch(f"/books/{book}", {"isbns": [DUNE, HOBBIT]})

    assert (after_making, wanted(owner)) == ([HOBBIT], [])
    assert enrich(app) == 0


def test_a_suspended_tenants_isbns_wait(
    app: Flask, library: Library, other_library: Library, shelf: Shelf, owner: Engine
) -> None:
    shelf.put(DUNE)
    Shelf.put_up(other_library).put(HOBBIT)
    with app.app_context(), as_tenant(library.id), acting_as(SYSTEM):
        tenants.suspend_tenant(library.id)
        db.session.remove()

    assert enrich(app) == 1
    assert [job["isbns"] for job in jobs_of(other_library)] == [[HOBBIT]]


def test_two_schedulers_take_an_isbn_once(app: Flask, library: Library, shelf: Shelf, owner: Engine) -> None:
    shelf.put(*(isbn13(number) for number in range(600)))

    threads = [threading.Thread(target=enrich, args=(app,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    asked = [isbn for job in jobs_of(library) for isbn in job["isbns"]]
    assert len(asked) == len(set(asked)) >= 500


def test_isbns_are_wanted_once_and_only_where_no_edition_is(app: Flask, library: Library, owner: Engine) -> None:
    make_book(library, "The Hobbit", HOBBIT)
    with app.app_context(), as_tenant(library.id), acting_as(SYSTEM):
        answers = [catalog.want_isbns(isbns) for isbns in ([DUNE, HOBBIT, DUNE], [DUNE], [HOBBIT], [])]
        taken = [catalog.take_wanted_isbns(most=10) for _ in range(2)]
        db.session.remove()

    assert answers == [True, True, False, False]
    assert taken == [[DUNE], []]
    with owner.connect() as connection:
        row = connection.execute(text("SELECT isbn, asked_at, due_at FROM wanted_isbns")).one()
    assert row.isbn == DUNE
    assert row.due_at - row.asked_at == timedelta(days=30)


def test_another_librarys_isbns_are_not_taken(
    app: Flask, library: Library, other_library: Library, shelf: Shelf
) -> None:
    shelf.put(DUNE)
    with app.app_context(), as_tenant(other_library.id), acting_as(SYSTEM):
        taken = catalog.take_wanted_isbns(most=10)
        db.session.remove()

    assert taken == []
