"""Look-ups, and what they cost the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from flask import Flask

from app.openlibrary import lookup, mirror
from app.openlibrary.errors import InvalidQuery, UpstreamRefused, UpstreamUnavailable
from app.openlibrary.lookup import Merged
from app.openlibrary.records import AuthorRef, Deleted, NormalizedWork
from tests.stand_in import StandIn
from tests.stand_in.catalogue import made_up_isbn

pytestmark = pytest.mark.usefixtures("in_app")


def paths(site: StandIn) -> Counter[str]:
    return Counter(seen.path for seen in site.requests)


def test_a_query_is_one_request_and_then_none(site: StandIn) -> None:
    first = lookup.find_by_query("author:Tolkien")
    second = lookup.find_by_query("Author: tolkien")

    assert (first.total, len(first.works), first.source) == (20, 20, "open_library")
    assert second.works == first.works
    assert (second.total, second.source) == (20, "mirror")
    assert len(site.requests) == 1


def test_a_refresh_asks_again(site: StandIn) -> None:
    key = site.add_work("Before", subjects=["Refreshed"])
    lookup.find_by_query("subject:Refreshed")
    site.edit(key, title="After")

    assert [work.title for work in lookup.find_by_query("subject:Refreshed").works] == ["Before"]
    assert [work.title for work in lookup.find_by_query("subject:Refreshed", refresh=True).works] == ["After"]


def test_an_author_of_three_hundred_works_costs_three_requests(site: StandIn) -> None:
    site.author_with_works(300)

    pages = [lookup.find_by_query('author:"Prolific Writer"', offset=offset) for offset in (0, 100, 200)]

    works = {work.open_library_key: work for page in pages for work in page.works}
    assert len(works) == 300
    assert all(work.authors and work.isbns and work.unasked == {"editions"} for work in works.values())
    assert len(site.requests) == 3


def test_three_hundred_works_by_key_cost_three_requests(site: StandIn) -> None:
    site.author_with_works(300)
    keys = [path[7:] for path in site.catalogue.documents if path.startswith("/works/OL9000")]

    answer = lookup.find_by_keys(keys)

    assert all(isinstance(answer.found[key], NormalizedWork) for key in keys)
    assert paths(site) == {"/search.json": 3}


def test_without_a_cache_every_look_up_asks(site: StandIn, make_app: Callable[..., Flask]) -> None:
    app = make_app(OPEN_LIBRARY_URL=site.url, OPEN_LIBRARY_REQUESTS_PER_SECOND="1000", OPEN_LIBRARY_CACHE_HOURS="0")

    with app.app_context():
        lookup.find_by_query("author:Tolkien")
        lookup.find_by_query("author:Tolkien")

    assert len(site.requests) == 2


def test_a_bad_query_costs_nothing(site: StandIn) -> None:
    with pytest.raises(InvalidQuery):
        lookup.find_by_query("isbn:12345")

    assert site.requests == []


def test_every_key_gets_its_outcome(site: StandIn) -> None:
    answer = lookup.find_by_keys(["OL45804W", "OL100005W", "OL1000619W", "OL404W"])

    assert isinstance(answer.found["OL45804W"], NormalizedWork)
    merged = answer.found["OL100005W"]
    assert isinstance(merged, Merged)
    assert (merged.work.open_library_key, merged.work.title) == ("OL27448W", "The Lord of the Rings")
    assert merged.work.isbns
    assert isinstance(answer.found["OL1000619W"], Deleted)
    assert answer.found["OL404W"] is None
    assert paths(site) == {"/search.json": 2, "/api/get_many": 2}


def test_outcomes_are_kept_but_not_that_there_was_none(site: StandIn) -> None:
    keys = ["OL45804W", "OL100005W", "OL1000619W"]
    first = lookup.find_by_keys(keys)
    site.forget_requests()

    second = lookup.find_by_keys(keys)

    assert second.found == first.found
    assert second.source == "mirror"
    assert site.requests == []


def test_a_chain_of_mergers_is_followed_to_its_end(site: StandIn) -> None:
    end = site.add_work("Survivor")
    third, second, first = (site.add_work("Gone") for _ in range(3))
    site.redirect(third, end)
    site.redirect(second, third)
    site.redirect(first, second)

    found = lookup.find_by_keys([first]).found[first]

    assert isinstance(found, Merged)
    assert found.work.title == "Survivor"


@pytest.mark.parametrize("shape", ["loop", "itself", "too long", "to nothing", "to an author", "to a deletion"])
def test_a_redirect_that_ends_nowhere_ends(site: StandIn, shape: str) -> None:
    """Made up: no such redirect was ever recorded."""
    keys = [site.add_work("Gone") for _ in range(6)]
    targets = {
        "loop": [keys[1], keys[0]],
        "itself": [keys[0]],
        "too long": keys[1:],
        "to nothing": ["OL404W"],
        "to an author": ["OL34184A"],
        "to a deletion": ["OL1000619W"],
    }
    for key, target in zip(keys, targets[shape], strict=False):
        site.redirect(key, target)

    found = lookup.find_by_keys([keys[0]]).found[keys[0]]

    assert isinstance(found, Deleted) if shape == "to a deletion" else found is None
    assert len(site.requests) <= 7


def test_a_merger_between_two_reads_is_seen(site: StandIn) -> None:
    old, new = site.add_work("Old"), site.add_work("New")
    lookup.find_by_keys([old, new])
    site.merge(old, new, index_lags=True)

    assert isinstance(lookup.find_by_keys([old]).found[old], NormalizedWork)
    found = lookup.find_by_keys([old], refresh=True).found[old]

    assert isinstance(found, Merged)
    assert found.work.open_library_key == new
    assert len(found.work.isbns) == 2


def test_a_deletion_between_two_reads_is_seen(site: StandIn) -> None:
    key = site.add_work("Soon gone")
    lookup.find_by_keys([key])
    site.delete(key, index_lags=True)

    assert isinstance(lookup.find_by_keys([key], refresh=True).found[key], Deleted)


def test_a_refresh_sees_the_revision_rise(site: StandIn) -> None:
    key = site.add_work("Edited")
    first = lookup.find_by_keys([key], refresh=True).found[key]
    site.edit(key, title="Edited again")
    second = lookup.find_by_keys([key], refresh=True).found[key]

    assert isinstance(first, NormalizedWork)
    assert isinstance(second, NormalizedWork)
    assert (first.revision, second.revision, second.title) == (1, 2, "Edited again")


def test_a_work_too_new_for_the_search_gets_its_authors_names(site: StandIn) -> None:
    old_author, author = site.add_author("Old Name"), site.add_author("Name")
    site.redirect(old_author, author)
    key = site.add_work("Brand new", authors=[old_author, author])
    site.catalogue.hide_from_search(key)

    work = lookup.find_by_keys([key]).found[key]

    assert isinstance(work, NormalizedWork)
    assert work.authors == (AuthorRef("Name", author),)
    assert work.unasked == {
        "contributors",
        "cover_id",
        "editions",
        "isbns",
        "languages",
        "page_count",
        "publishers",
        "series",
    }


def test_records_do_while_the_search_is_out(site: StandIn) -> None:
    site.fault("server_error", times=None, path="/search.json")

    answer = lookup.find_by_keys(["OL45804W"])

    work = answer.found["OL45804W"]
    assert isinstance(work, NormalizedWork)
    assert work.authors == (AuthorRef("Roald Dahl", "OL34184A"),)
    assert answer.source == "open_library"


def test_what_only_a_document_told_is_asked_again_when_the_search_is_back(site: StandIn) -> None:
    site.fault("server_error", times=2, path="/search.json")
    lookup.find_by_keys(["OL45804W"])

    work = lookup.find_by_keys(["OL45804W"]).found["OL45804W"]

    assert isinstance(work, NormalizedWork)
    assert work.isbns


def test_isbns_lead_to_works_and_their_editions(site: StandIn) -> None:
    answer = lookup.find_by_isbns(["9780064471831", "9780000000019"])

    work = answer.found["9780064471831"]
    assert work is not None
    assert work.title == "Sabriel"
    assert any("9780064471831" in edition.isbns and edition.publishers for edition in work.editions)
    assert answer.found["9780000000019"] is None
    assert answer.source == "open_library"


def test_a_hundred_isbns_cost_few_requests(site: StandIn) -> None:
    isbns = [made_up_isbn(700_000_000 + number) for number in range(100)]
    for isbn in isbns:
        site.add_work(f"Work of {isbn}", isbns=[isbn])

    answer = lookup.find_by_isbns(isbns)

    assert {isbn: work.title for isbn, work in answer.found.items() if work} == {i: f"Work of {i}" for i in isbns}
    assert len(site.requests) <= 4


def test_an_isbn_of_a_merged_work_gives_the_survivor(site: StandIn) -> None:
    isbn = made_up_isbn(710_000_000)
    survivor = site.add_work("Survivor")
    gone = site.add_work("Gone", isbns=[isbn])
    site.redirect(gone, survivor)

    work = lookup.find_by_isbns([isbn]).found[isbn]

    assert work is not None
    assert (work.open_library_key, isbn in work.isbns) == (survivor, True)


def test_an_isbn_that_only_the_search_knows_is_found(site: StandIn) -> None:
    isbn = made_up_isbn(720_000_000)
    site.add_work("Known to the search", isbns=[], isbn=[isbn])

    work = lookup.find_by_isbns([isbn]).found[isbn]

    assert work is not None
    assert work.title == "Known to the search"


def test_two_isbns_of_one_work_give_the_same_work(site: StandIn) -> None:
    isbns = [made_up_isbn(730_000_000), made_up_isbn(730_000_001)]
    site.add_work("Twice printed", isbns=isbns)

    found = lookup.find_by_isbns(isbns).found

    assert found[isbns[0]] == found[isbns[1]]
    assert found[isbns[0]] is not None


def test_found_isbns_are_kept(site: StandIn) -> None:
    lookup.find_by_isbns(["9780064471831"])
    site.forget_requests()

    answer = lookup.find_by_isbns(["9780064471831"])

    assert answer.source == "mirror"
    assert site.requests == []


def test_with_the_site_away_the_copy_answers_and_says_so(site: StandIn) -> None:
    online = lookup.find_by_query("author:Tolkien")
    keys = [work.open_library_key for work in online.works]
    isbn = online.works[0].isbns[0]
    site.down()

    by_query = lookup.find_by_query("author:Tolkien", refresh=True)
    by_keys = lookup.find_by_keys(keys, refresh=True)
    by_isbns = lookup.find_by_isbns([isbn], refresh=True)

    assert (by_query.works, by_query.source) == (online.works, "mirror")
    assert (set(by_keys.found), by_keys.source) == (set(keys), "mirror")
    found = by_isbns.found[isbn]
    assert found is not None
    assert (isbn in found.isbns, by_isbns.source) == (True, "mirror")


@pytest.mark.parametrize("fault", ["html", "server_error", "refuse", "rate_limit", "cut_json", "reset"])
def test_any_outage_is_bridged_by_the_copy(site: StandIn, fault: str) -> None:
    lookup.find_by_query("author:Tolkien")
    site.fault(fault, times=None)  # type: ignore[arg-type]  # one of the kinds

    assert lookup.find_by_query("author:Tolkien", refresh=True).source == "mirror"


def test_other_questions_are_answered_from_the_words_kept(site: StandIn) -> None:
    lookup.find_by_query("author:Tolkien")
    site.down()

    page = lookup.find_by_query("lord rings")

    assert page.source == "mirror"
    assert page.total >= 10


def test_what_the_copy_lacks_is_an_outage(site: StandIn) -> None:
    lookup.find_by_query("author:Tolkien")
    site.down()

    with pytest.raises(UpstreamUnavailable):
        lookup.find_by_query("author:Nobody")
    with pytest.raises(UpstreamUnavailable):
        lookup.find_by_keys(["OL27448W", "OL404W"])
    with pytest.raises(UpstreamUnavailable):
        lookup.find_by_isbns(["9780000000019"])


def test_a_refused_client_without_a_copy_is_told_why(site: StandIn) -> None:
    site.fault("refuse", times=None)

    with pytest.raises(UpstreamRefused, match="OPEN_LIBRARY_CONTACT"):
        lookup.find_by_query("author:Nobody")


def test_a_search_cut_short_by_an_outage_is_not_taken_for_whole(site: StandIn) -> None:
    site.author_with_works(300)
    lookup.find_by_query('author:"Prolific Writer"')
    site.down()

    with pytest.raises(UpstreamUnavailable):
        lookup.find_by_query('author:"Prolific Writer"', offset=100)


def test_the_copy_alone_may_find_nothing(site: StandIn) -> None:
    assert lookup.find_in_mirror("author:Nobody").total == 0
    assert site.requests == []


def test_what_was_fetched_is_kept_before_it_is_returned(site: StandIn) -> None:
    page = lookup.find_by_query("author:Sanderson")

    kept = mirror.records([work.open_library_key for work in page.works])

    assert tuple(kept[work.open_library_key] for work in page.works) == page.works
