"""What jobs bring into a catalogue."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import Library
from tests.ingestion.conftest import Desk, work_all, work_once
from tests.stand_in import StandIn


def progress(**counts: int) -> dict[str, int]:
    """A job's progress with these counts and zeros."""
    return {"total": 0, "done": 0, "created": 0, "updated": 0, "unchanged": 0, "failed": 0, **counts}


def test_a_query_brings_all_its_works(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(250)
    site.add_work("Of Another Subject")

    job = desk.done(query="subject:Generated")

    assert job["status"] == "completed"
    assert job["progress"] == progress(total=250, done=250, created=250)
    assert (job["source"], job["attempts"], job["error"]) == ("open_library", 1, None)
    assert job["started_at"] is not None
    assert job["finished_at"] is not None
    assert len(desk.books()) == 250
    assert [action for _, action in desk.logs(job_id=str(job["id"]))] == ["created"] * 250


def test_a_query_stops_at_the_number_of_works_asked_for(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(250)

    job = desk.done(query="subject:Generated", max_works=120)

    assert job["progress"] == progress(total=120, done=120, created=120)
    assert len(desk.books()) == 120


def test_the_same_content_again_makes_no_version(desk: Desk, site: StandIn, owner: Engine) -> None:
    site.generated_catalogue(30)
    desk.done(query="subject:Generated")

    again = desk.done(query="subject:Generated", refresh=True)

    assert again["progress"] == progress(total=30, done=30, unchanged=30)
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM book_versions")) == 30


def test_a_changed_work_is_updated(desk: Desk, site: StandIn) -> None:
    key = site.add_work("Before", subjects=["Changing"])
    site.add_work("Steady", subjects=["Changing"])
    desk.done(query="subject:Changing")
    site.edit(key, title="After")

    again = desk.done(query="subject:Changing", refresh=True)

    assert again["progress"] == progress(total=2, done=2, updated=1, unchanged=1)
    assert desk.books()[key] == "After"
    assert (key, "updated") in desk.logs(job_id=str(again["id"]))


def test_one_tenants_works_are_not_anothers(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(5)

    desk.done(query="subject:Generated")

    assert len(desk.books()) == 5
    assert other_desk.books() == {}
    assert other_desk.logs() == []


def test_what_was_fetched_for_one_tenant_serves_another(desk: Desk, other_desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(120)
    desk.done(query="subject:Generated")
    site.forget_requests()

    job = other_desk.done(query="subject:Generated")

    assert job["progress"] == progress(total=120, done=120, created=120)
    assert site.requests == []


def test_an_author_of_300_works_costs_few_requests(desk: Desk, site: StandIn) -> None:
    author = site.author_with_works(300)

    job = desk.done(query=f"author:{author}")

    assert job["progress"] == progress(total=300, done=300, created=300)
    assert len(site.requests) <= 30


def test_keys_bring_their_works_and_name_those_that_are_none(desk: Desk, site: StandIn) -> None:
    keys = [site.add_work(f"Work {number}") for number in range(3)]

    job = desk.done(open_library_keys=[*keys, "OL999999999W"])

    assert job["status"] == "completed"
    assert job["progress"] == progress(total=4, done=4, created=3, failed=1)
    assert set(desk.books()) == set(keys)
    assert ("OL999999999W", "failed") in desk.logs()


def test_many_keys_take_few_requests(desk: Desk, site: StandIn) -> None:
    keys = [site.add_work(f"Work {number}") for number in range(230)]

    job = desk.done(open_library_keys=keys)

    assert job["progress"] == progress(total=230, done=230, created=230)
    assert len(site.requests) <= 9


def test_a_job_in_which_nothing_went_well_has_failed(desk: Desk) -> None:
    job = desk.done(open_library_keys=["OL999999998W", "OL999999999W"])

    assert job["status"] == "failed"
    assert job["error"]["code"] == "all_failed"
    assert job["progress"] == progress(total=2, done=2, failed=2)


def test_a_query_without_works_has_failed(desk: Desk) -> None:
    job = desk.done(query="title:Nowhere")

    assert job["status"] == "failed"
    assert job["error"]["code"] == "nothing_found"
    assert job["progress"] == progress()


def test_a_merged_key_brings_the_work_it_became(desk: Desk, site: StandIn) -> None:
    old, new = site.add_work("Old"), site.add_work("New")
    site.merge(old, new)

    job = desk.done(open_library_keys=[old])

    assert job["status"] == "completed"
    assert job["progress"] == progress(total=1, done=1, created=1)
    assert desk.books() == {new: "New"}
    assert desk.logs() == [(old, "redirected")]


def test_a_merge_moves_the_tenants_book(desk: Desk, site: StandIn) -> None:
    old, new = site.add_work("Old"), site.add_work("New")
    desk.done(open_library_keys=[old])
    site.merge(old, new)

    job = desk.done(open_library_keys=[old], refresh=True)

    assert job["progress"] == progress(total=1, done=1, updated=1)
    assert desk.books() == {new: "New"}


def test_a_withdrawn_work_stays_in_the_catalogue_and_is_marked(desk: Desk, site: StandIn, owner: Engine) -> None:
    key, unknown = site.add_work("Kept"), site.add_work("Never Seen")
    desk.done(open_library_keys=[key])
    site.delete(key)
    site.delete(unknown)

    job = desk.done(open_library_keys=[key, unknown], refresh=True)

    assert job["progress"] == progress(total=2, done=2, updated=1, failed=1)
    with owner.connect() as connection:
        marked = connection.execute(text("SELECT open_library_key, upstream_status FROM books")).all()
    assert [tuple(row) for row in marked] == [(key, "deleted")]


def test_isbns_bring_their_works(desk: Desk, site: StandIn) -> None:
    first, second = site.add_work("First"), site.add_work("Second")
    site.catalogue.add_edition(first, "9780261103573")
    site.catalogue.add_edition(first, "9780547928227")
    site.catalogue.add_edition(second, "9780140328721")

    job = desk.done(isbns=["9780261103573", "9780547928227", "9780140328721", "9780306406157"])

    # Two of the ISBNs are of one work, which is created once.
    assert job["progress"] == progress(total=4, done=4, created=2, unchanged=1, failed=1)
    assert desk.books() == {first: "First", second: "Second"}
    assert (None, "failed") in desk.logs()


def test_things_given_twice_are_taken_once(desk: Desk, site: StandIn) -> None:
    key = site.add_work("Only One")

    job = desk.done(open_library_keys=[key, key])

    assert job["open_library_keys"] == [key]
    assert job["progress"] == progress(total=1, done=1, created=1)


def test_a_work_on_two_pages_is_counted_once(desk: Desk, site: StandIn) -> None:
    site.generated_catalogue(150)
    job_id = desk.ask(query="subject:Generated")
    work_once(desk.library.app)
    # Works that come in at the front push others to the next page.
    for number in range(20):
        site.add_work(f"Newcomer {number}", subjects=["Generated"])

    work_all(desk.library.app)

    job = desk.job(job_id)
    assert job["status"] == "completed"
    assert job["progress"]["total"] == job["progress"]["done"] == job["progress"]["created"] == len(desk.books())
    assert len(desk.logs(job_id=str(job_id))) == len(desk.books())


def test_one_bad_work_costs_one_line_and_not_the_job(desk: Desk, site: StandIn, cursed_title: str) -> None:
    good = [site.add_work(f"Good {number}", subjects=["Mixed"]) for number in range(60)]
    bad = site.add_work(cursed_title, subjects=["Mixed"])
    good += [site.add_work(f"Better {number}", subjects=["Mixed"]) for number in range(60)]

    job = desk.done(query="subject:Mixed")

    assert job["status"] == "completed"
    assert job["progress"] == progress(total=121, done=121, created=120, failed=1)
    assert set(desk.books()) == set(good)
    assert [key for key, action in desk.logs() if action == "failed"] == [bad]


def test_a_retry_takes_up_only_what_failed(desk: Desk, site: StandIn, cursed_title: str, library: Library) -> None:
    for number in range(30):
        site.add_work(f"Good {number}", subjects=["Mixed"])
    bad = site.add_work(cursed_title, subjects=["Mixed"])
    job = desk.done(query="subject:Mixed")
    site.edit(bad, title="Mended")
    lines = len(desk.logs())

    answer = library.post(f"/ingestion/jobs/{job['id']}/retry")
    work_all(library.app)

    assert answer.status_code == 202
    assert answer.json["status"] == "pending"
    assert answer.json["progress"] == progress(total=31, done=30, created=30)
    again = desk.job(job["id"])
    assert (again["status"], again["attempts"]) == ("completed", 2)
    assert again["progress"] == progress(total=31, done=31, created=31)
    assert desk.logs()[lines:] == [(bad, "created")]


def test_cancelling_stops_before_the_next_page(desk: Desk, site: StandIn, library: Library) -> None:
    site.generated_catalogue(300)
    job_id = desk.ask(query="subject:Generated")
    work_once(library.app)

    answer = library.post(f"/ingestion/jobs/{job_id}/cancel")
    pages = work_all(library.app)

    assert answer.status_code == 200
    assert answer.json["status"] == "cancelled"
    assert answer.json["finished_at"] is not None
    assert pages == 0
    assert len(desk.books()) == 100
    assert desk.job(job_id)["progress"] == progress(total=300, done=100, created=100)
