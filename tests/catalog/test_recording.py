"""Recording what Open Library tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from app.catalog.service import RecordedAction, mark_deleted_upstream, record_works
from app.core.tenancy import tenant
from app.openlibrary.records import WORK_FIELDS, AuthorRef, Contributor, NormalizedWork
from app.tenants.service import purge_tenant
from tests.catalog.stored import Stored, at_once, counted_statements
from tests.catalog.works import HERBERT, ISBNS, a_work, an_edition
from tests.conftest import Library

CREATED, UPDATED, UNCHANGED = RecordedAction.CREATED, RecordedAction.UPDATED, RecordedAction.UNCHANGED
# Of a hundred new works; each more would be paid with every batch of every ingestion.
MOST_STATEMENTS = 16
MOST_STATEMENTS_UNCHANGED = 8


def test_a_new_work_becomes_a_book_with_one_version(stored: Stored) -> None:
    [recorded] = record_works([a_work(description="A desert planet.", unasked=frozenset())])

    assert (recorded.open_library_key, recorded.action) == ("OL893415W", CREATED)
    book = stored.book(recorded.book_id)
    assert book["title"] == "Dune"
    assert book["authors"] == [{"name": "Frank Herbert", "open_library_key": "OL79034A"}]
    assert book["contributors"] == [{"name": "John Schoenherr", "role": "illustrator"}]
    assert book["first_publish_year"] == 1965
    assert book["description"] == "A desert planet."
    assert book["subjects"] == ["Science fiction", "Dune (Imaginary place)"]
    assert book["languages"] == ["eng", "fre"]
    assert book["publishers"] == ["Chilton", "Ace"]
    assert book["isbns"] == ["9780441172719"]
    assert (book["page_count"], book["cover_id"], book["series"]) == (541, 11481354, ["Dune"])
    assert (book["open_library_key"], book["upstream_status"], book["source"]) == ("OL893415W", "live", "open_library")
    assert (book["version"], book["overrides"], book["sort_title"]) == (1, {}, "dune")
    [(number, origin, changed)] = stored.versions(recorded.book_id)
    assert (number, origin) == (1, "open_library")
    assert {"title", "authors", "open_library_key"} <= set(changed)
    assert "subtitle" not in changed


def test_the_same_work_again_makes_no_version_and_moves_only_checked_at(stored: Stored) -> None:
    [first] = record_works([a_work()])
    before, generation, events = stored.book(first.book_id), stored.generation(), stored.events()

    [second] = record_works([a_work()])

    after = stored.book(first.book_id)
    assert (second.book_id, second.action) == (first.book_id, UNCHANGED)
    assert after["checked_at"] > before["checked_at"]
    assert {**after, "checked_at": None} == {**before, "checked_at": None}
    assert len(stored.versions(first.book_id)) == 1
    assert stored.generation() == generation
    assert stored.events() == events


def test_a_change_makes_one_version_that_names_the_changed_fields(stored: Stored) -> None:
    [first] = record_works([a_work()])
    generation = stored.generation()

    [second] = record_works([a_work(title="Dune, revised", page_count=600)])

    assert (second.book_id, second.action) == (first.book_id, UPDATED)
    assert stored.versions(first.book_id)[1:] == [(2, "open_library", ["title", "page_count"])]
    book = stored.book(first.book_id)
    assert (book["title"], book["page_count"], book["version"]) == ("Dune, revised", 600, 2)
    assert book["updated_at"] > book["created_at"]
    assert stored.generation() != generation
    assert stored.events() == [("book.created", first.book_id), ("book.updated", first.book_id)]


def test_a_field_that_was_not_asked_for_keeps_what_is_known(stored: Stored) -> None:
    [first] = record_works([a_work(description="A desert planet.", unasked=frozenset())])
    silent = NormalizedWork(
        open_library_key="OL893415W", title="Dune", unasked=WORK_FIELDS - {"title", "subtitle", "editions"}
    )

    [second] = record_works([silent])

    assert second.action is UNCHANGED
    book = stored.book(first.book_id)
    assert (book["description"], book["first_publish_year"]) == ("A desert planet.", 1965)
    assert book["subjects"] == ["Science fiction", "Dune (Imaginary place)"]


def test_a_field_that_was_asked_for_and_is_empty_becomes_empty(stored: Stored) -> None:
    [first] = record_works([a_work(description="A desert planet.", unasked=frozenset())])

    record_works([a_work(description=None, subjects=(), unasked=frozenset())])

    book = stored.book(first.book_id)
    assert (book["description"], book["subjects"]) == (None, [])
    assert stored.versions(first.book_id)[1] == (2, "open_library", ["description", "subjects"])


def test_a_part_of_the_truth_adds_to_what_is_known(stored: Stored) -> None:
    [first] = record_works([a_work(isbns=ISBNS[:2], page_count=541)])
    part = a_work(isbns=(ISBNS[1], ISBNS[2]), page_count=300, unasked=frozenset({"isbns", "page_count", "editions"}))

    record_works([part])

    book = stored.book(first.book_id)
    assert book["isbns"] == ["9780441172719", "9780340960196", "9780450011849"]
    assert book["page_count"] == 541
    assert stored.isbns(first.book_id) == sorted(ISBNS)


def test_two_tellings_in_one_batch_are_put_together(stored: Stored) -> None:
    hit = a_work(description=None)
    document = NormalizedWork(
        open_library_key="OL893415W",
        title="Dune",
        description="A desert planet.",
        revision=7,
        unasked=WORK_FIELDS - {"title", "description"},
    )

    answers = record_works([hit, document])

    assert [answer.action for answer in answers] == [CREATED, CREATED]
    assert answers[0].book_id == answers[1].book_id
    book = stored.book(answers[0].book_id)
    assert (book["description"], book["first_publish_year"], book["version"]) == ("A desert planet.", 1965, 1)


def test_answers_stand_in_the_order_of_the_works(stored: Stored) -> None:
    keys = ["OL3W", "OL1W", "OL2W"]

    answers = record_works([a_work(key, isbns=()) for key in keys])

    assert [answer.open_library_key for answer in answers] == keys
    by_id = {row["id"]: row["open_library_key"] for row in stored.rows("SELECT id, open_library_key FROM books")}
    assert [by_id[answer.book_id] for answer in answers] == keys


def test_no_works_need_nothing(stored: Stored) -> None:
    assert record_works([]) == []
    assert mark_deleted_upstream([]) == []
    assert stored.column("SELECT count(*) FROM books") == [0]


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(stored: Stored) -> None:
    too_long = a_work("OL2W", title="x" * 1001)

    with pytest.raises(IntegrityError):
        record_works([a_work("OL1W"), too_long])

    assert stored.column("SELECT count(*) FROM books") == [0]
    assert stored.column("SELECT count(*) FROM authors") == [0]
    assert stored.generation() is None


def test_another_library_has_books_of_its_own(stored: Stored, other_library: Library) -> None:
    with tenant(other_library.id):
        [theirs] = record_works([a_work(title="Their Dune")])
    [ours] = record_works([a_work()])

    record_works([a_work(title="Our Dune")])
    mark_deleted_upstream(["OL893415W"])

    other = Stored(other_library)
    assert ours.action is CREATED
    assert ours.book_id != theirs.book_id
    assert other.book(theirs.book_id)["title"] == "Their Dune"
    assert other.book(theirs.book_id)["upstream_status"] == "live"
    assert len(other.versions(theirs.book_id)) == 1
    assert stored.column("SELECT title FROM books") == ["Our Dune"]


def test_two_workers_that_bring_the_same_change_make_one_version(stored: Stored, library: Library) -> None:
    [first] = record_works([a_work()])
    changed = a_work(title="Dune, revised")

    answers = at_once(library, *[lambda: record_works([changed])] * 4)

    assert sorted(answer.action for [answer] in answers) == [UNCHANGED, UNCHANGED, UNCHANGED, UPDATED]
    assert stored.versions(first.book_id)[1:] == [(2, "open_library", ["title"])]


def test_two_workers_that_bring_the_same_new_work_make_one_book(stored: Stored, library: Library) -> None:
    works = [a_work(f"OL{number}W", isbns=()) for number in range(1, 21)]

    answers = at_once(library, *[lambda: record_works(works)] * 4)

    actions = sorted(answer.action for batch in answers for answer in batch)
    assert actions == [CREATED] * 20 + [UNCHANGED] * 60
    assert stored.column("SELECT count(*) FROM books") == [20]
    assert stored.column("SELECT count(*) FROM book_versions") == [20]
    assert stored.column("SELECT count(*) FROM authors") == [1]


def test_overlapping_batches_in_any_order_do_not_wait_for_each_other_in_a_circle(
    stored: Stored, library: Library
) -> None:
    def batch(worker: int, turn: int) -> list[NormalizedWork]:
        """Works, ISBNs and authors that other batches have too, forwards or backwards, each time another title."""
        works = [
            a_work(
                f"OL{number}W",
                title=f"Title {worker} {turn}",
                isbns=(ISBNS[number % 3],),
                authors=(AuthorRef(f"Author {worker}", f"OL{number % 5 + 1}A"), AuthorRef(f"Nameless {number % 4}")),
            )
            for number in range(1 + worker, 31 + worker)
        ]
        return works if (worker + turn) % 2 else works[::-1]

    def work(worker: int) -> int:
        return sum(len(record_works(batch(worker, turn))) for turn in range(5))

    assert at_once(library, *[lambda worker=worker: work(worker) for worker in range(4)]) == [150] * 4
    assert stored.column("SELECT count(*) FROM books") == [33]
    assert stored.column("SELECT count(*) FROM editions") == [3]
    gaps = stored.column(
        "SELECT b.id FROM books b WHERE b.version <> (SELECT count(*) FROM book_versions v WHERE v.book_id = b.id)"
    )
    assert gaps == []


def test_a_hundred_works_take_no_more_statements_than_ten(stored: Stored) -> None:
    def works(numbers: range, **told: str) -> list[NormalizedWork]:
        return [
            a_work(f"OL{number}W", isbns=(), authors=(HERBERT, AuthorRef(f"Author {number}")), **told)
            for number in numbers
        ]

    with counted_statements() as for_ten:
        record_works(works(range(1, 11)))
    with counted_statements() as for_a_hundred:
        record_works(works(range(101, 201)))
    with counted_statements() as for_changes:
        record_works(works(range(101, 201), title="Another"))
    with counted_statements() as for_nothing:
        record_works(works(range(101, 201), title="Another"))

    assert len(for_ten) == len(for_a_hundred) <= MOST_STATEMENTS
    assert len(for_changes) <= MOST_STATEMENTS
    assert len(for_nothing) <= MOST_STATEMENTS_UNCHANGED


def test_terms_are_folded_for_finding_and_kept_for_showing(stored: Stored) -> None:
    work = a_work(
        authors=(AuthorRef("Stanisław  LEM", "OL52958A"),),
        contributors=(Contributor("Jörg Müller"),),
        subjects=("Straße", "Fiction, general"),
        series=("Café",),
        publishers=("Ace",),
        languages=("pol",),
        isbns=ISBNS[:1],
    )

    record_works([work])

    terms = {(row["kind"], row["term"], row["display"]) for row in stored.rows("SELECT * FROM book_terms")}
    assert terms == {
        ("author", "stanislaw lem", "Stanisław  LEM"),
        ("author_key", "ol52958a", "OL52958A"),
        ("author_word", "stanislaw", "Stanisław"),
        ("author_word", "lem", "LEM"),
        ("contributor", "jorg muller", "Jörg Müller"),
        ("subject", "strasse", "Straße"),
        ("subject", "fiction, general", "Fiction, general"),
        ("series", "cafe", "Café"),
        ("publisher", "ace", "Ace"),
        ("language", "pol", "pol"),
        ("isbn", "9780441172719", "9780441172719"),
    }


def test_terms_follow_the_book(stored: Stored) -> None:
    record_works([a_work(subjects=("Desert", "Spice"))])

    record_works([a_work(subjects=("Spice", "Worms"))])

    assert stored.column("SELECT term FROM book_terms WHERE kind = 'subject' ORDER BY 1") == ["spice", "worms"]


def test_search_follows_the_book(stored: Stored) -> None:
    find = "SELECT book_id FROM search_books(ARRAY[:word], false, 10)"
    [recorded] = record_works([a_work(title="Spider-Man", subtitle="Origins", subjects=("Desert",))])

    before = {word: stored.column(find, word=word) for word in ("spiderman", "herbert", "origins", "desert", "worms")}
    record_works([a_work(title="Spider-Man", subtitle=None, subjects=("Worms",))])

    found = [recorded.book_id]
    assert before == {"spiderman": found, "herbert": found, "origins": found, "desert": found, "worms": []}
    assert stored.column(find, word="worms") == found
    assert stored.column(find, word="desert") == []
    assert stored.column(find, word="spiderman") == found


def test_very_long_texts_fit_every_index(stored: Stored) -> None:
    # U+FDFA folds to eighteen characters, the longest of all.
    long = "\ufdfa" * 200
    work = a_work(title="\u4e2d" * 1000, subjects=(long,), authors=(AuthorRef(long[:300]),), isbns=())

    [recorded] = record_works([work])

    assert stored.book(recorded.book_id)["title"] == "\u4e2d" * 1000


def test_a_work_withdrawn_upstream_is_marked_and_stays(stored: Stored) -> None:
    [first] = record_works([a_work()])

    [marked] = mark_deleted_upstream(["OL893415W", "OL404W"])
    [again] = mark_deleted_upstream(["OL893415W"])

    assert (marked.book_id, marked.action, again.action) == (first.book_id, UPDATED, UNCHANGED)
    book = stored.book(first.book_id)
    assert (book["upstream_status"], book["title"]) == ("deleted", "Dune")
    assert stored.versions(first.book_id)[1:] == [(2, "open_library", ["upstream_status"])]


def test_a_withdrawn_work_that_is_seen_again_is_live_again(stored: Stored) -> None:
    [first] = record_works([a_work()])
    mark_deleted_upstream(["OL893415W"])

    [seen] = record_works([a_work()])

    assert seen.action is UPDATED
    assert stored.book(first.book_id)["upstream_status"] == "live"
    assert stored.versions(first.book_id)[2:] == [(3, "open_library", ["upstream_status"])]


def test_content_is_compared_as_it_is_stored(stored: Stored) -> None:
    odd = a_work(title='Quotes "\\" and \U0001f600', subjects=("{braces}", "NULL", "a,b"), isbns=())
    record_works([odd])

    [again] = record_works([replace(odd)])

    assert again.action is UNCHANGED
    assert stored.column("SELECT subjects FROM books") == [["{braces}", "NULL", "a,b"]]


def test_a_purged_library_leaves_nothing_in_the_catalogue(
    stored: Stored, library: Library, other_library: Library, owner: Engine
) -> None:
    for library_id in (library.id, other_library.id):
        with tenant(library_id):
            record_works([a_work(editions=(an_edition("OL1M", ISBNS[0]),))])

    purge_tenant(library.id)

    with owner.connect() as connection:
        for table in ("books", "book_versions", "editions", "authors", "book_authors", "book_terms"):
            owners = connection.scalars(text(f"SELECT DISTINCT tenant_id FROM {table}")).all()
            assert owners == [other_library.id], table
