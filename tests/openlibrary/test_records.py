"""Every irregularity has its test here; records without a real key are made up, because none was ever recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.openlibrary.cleaning import DESCRIPTION_LENGTH, MOST_SUBJECTS, TITLE_LENGTH, year_in
from app.openlibrary.parsing import parse_document, parse_search_document
from app.openlibrary.records import (
    UNTITLED,
    AuthorRef,
    Contributor,
    Deleted,
    MalformedRecord,
    NormalizedAuthor,
    NormalizedEdition,
    NormalizedWork,
    ParsedRecord,
    Redirect,
    add_editions,
    merge_work,
    name_authors,
    retell_work,
)
from tests.stand_in.catalogue import RECORDED

Document = dict[str, Any]


def lines(name: str) -> list[Document]:
    return [json.loads(line) for line in (RECORDED / name).read_text(encoding="utf-8").splitlines()]


def dump_rows() -> list[Document]:
    rows = (RECORDED / "dump_rows.txt").read_text(encoding="utf-8").splitlines()
    return [json.loads(row.split("\t", 4)[4]) for row in rows]


def recorded(key: str) -> ParsedRecord:
    for name in ("works.jsonl", "editions.jsonl", "authors.jsonl"):
        for document in lines(name):
            if document["key"].endswith(f"/{key}"):
                return parse_document(document, latest_year=2027)
    raise LookupError(key)


def hits() -> list[tuple[str, Document]]:
    return [
        (file.name, hit)
        for file in sorted((RECORDED / "search").glob("search_*.json"))
        for hit in json.loads(file.read_text(encoding="utf-8"))["docs"]
    ]


def work_document(**fields: Any) -> Document:
    """Made up: a sound work document with these fields."""
    return {"key": "/works/OL1W", "type": {"key": "/type/work"}, "title": "A Title", **fields}


def parse_work(**fields: Any) -> NormalizedWork:
    record = parse_document(work_document(**fields), latest_year=2027)
    assert isinstance(record, NormalizedWork)
    return record


def parse_edition(**fields: Any) -> NormalizedEdition:
    document = {"key": "/books/OL1M", "type": {"key": "/type/edition"}, "title": "A Title", **fields}
    record = parse_document(document, latest_year=2027)
    assert isinstance(record, NormalizedEdition)
    return record


def test_every_recorded_document_is_read() -> None:
    documents = [*lines("works.jsonl"), *lines("editions.jsonl"), *lines("authors.jsonl")]

    kinds = [type(parse_document(document)).__name__ for document in documents]

    assert kinds.count("NormalizedWork") == 129
    assert kinds.count("NormalizedEdition") == 148
    assert kinds.count("NormalizedAuthor") == 115
    assert kinds.count("Redirect") == 2
    assert kinds.count("Deleted") == 1


def test_every_recorded_dump_row_is_read() -> None:
    records = [parse_document(row) for row in dump_rows()]

    assert len(records) == 797


def test_every_recorded_hit_is_read_but_scans_without_a_work() -> None:
    refused = []
    for _, hit in hits():
        try:
            parse_search_document(hit, asked=["key"])
        except MalformedRecord:
            refused.append(hit["key"])

    assert sorted(refused) == ["ia:capitalismfreedo00frie", "ia:capitalismfreedo00frie_579"]


def test_recorded_lists_are_read() -> None:
    page = json.loads((RECORDED / "lists" / "works_OL27258W_editions_limit10_offset0.json").read_text(encoding="utf-8"))

    editions = [parse_document(entry) for entry in page["entries"]]

    assert all(isinstance(edition, NormalizedEdition) for edition in editions)


def test_a_work_document_tells_what_it_holds_and_no_more() -> None:
    work = recorded("OL45804W")

    assert isinstance(work, NormalizedWork)
    assert (work.title, work.cover_id, work.revision) == ("Fantastic Mr Fox", 6498519, 18)
    assert work.author_keys == ("OL34184A",)
    assert work.unasked == {
        "authors", "contributors", "first_publish_year", "languages", "publishers", "isbns", "page_count", "series",
        "editions",
    }  # fmt: skip


def test_only_the_type_makes_a_redirect() -> None:
    document = next(document for document in lines("works.jsonl") if document["key"] == "/works/OL45804W")
    assert document["location"] == "/works/OL45883W"

    assert isinstance(parse_document(document), NormalizedWork)
    assert recorded("OL100005W") == Redirect(key="OL100005W", location="OL27448W", revision=4)
    assert recorded("OL10219261A") == Redirect(key="OL10219261A", location="OL3894951A", revision=2)


def test_a_deletion_is_no_book() -> None:
    assert recorded("OL1000619W") == Deleted(key="OL1000619W", revision=2)


def test_an_author_is_read() -> None:
    author = recorded("OL18319A")

    assert isinstance(author, NormalizedAuthor)
    assert (author.name, author.birth_date, author.death_date) == ("Mark Twain", "30 November 1835", "21 April 1910")


def test_an_edition_is_read_with_hyphens_and_doubles_in_its_isbns() -> None:
    edition = recorded("OL24605334M")

    assert isinstance(edition, NormalizedEdition)
    assert (edition.isbn, edition.isbns) == ("9781935928324", ("9781935928324",))
    assert (edition.publishers, edition.publish_date, edition.publish_year) == (("OR Books",), "2011", 2011)
    assert (edition.page_count, edition.physical_format, edition.work_keys) == (212, "E-book", ("OL15673999W",))


def test_contributors_are_named_with_their_parts() -> None:
    edition = recorded("OL3421079M")

    assert isinstance(edition, NormalizedEdition)
    assert edition.contributors[0] == Contributor(name="Constance Garnett", role="translator")


@pytest.mark.parametrize(
    ("line", "contributor"),
    [
        ("Rob Inglis (Narrator, Reader)", Contributor("Rob Inglis", "narrator, reader")),
        ("Newell, Peter, 1862-1924, ill.", Contributor("Newell, Peter, 1862-1924", "illustrator")),
        ("Oughton, Taylor, 1925- ill.", Contributor("Oughton, Taylor, 1925-", "illustrator")),
        ("Lee, Alan.", Contributor("Lee, Alan.", "contributor")),
    ],
)
def test_lines_of_contributors_are_taken_apart(line: str, contributor: Contributor) -> None:
    assert parse_edition(contributions=[line]).contributors == (contributor,)


@pytest.mark.parametrize("title", [None, "", "   ", "\x00", "\u001a", "__None__", 1984, [], {"value": " "}])
def test_a_work_without_a_title_gets_a_supplied_one(title: object) -> None:
    """Made up: no recorded work lacks its title."""
    assert parse_work(title=title).title == UNTITLED


@pytest.mark.parametrize(
    ("given_title", "title"),
    [
        ("Na\x00me\u001a", "Name"),
        ("  A \t title\r\nin  lines ", "A title in lines"),
        ("Lone \ud800 half", "Lone half"),
        ("\ufeffMarked\x85", "Marked"),
        ("Cafe\u0301", "Café"),
        ({"type": "/type/text", "value": "In an object"}, "In an object"),
        ("x" * 5_000, "x" * TITLE_LENGTH),
    ],
)
def test_titles_are_cleaned(given_title: object, title: str) -> None:
    """Made up: no recorded title holds such characters, though the dumps are known to."""
    assert parse_work(title=given_title).title == title


def test_titles_in_other_scripts_stay_as_they_are() -> None:
    assert parse_work(title="Братья Карамазовы").title == "Братья Карамазовы"


def test_a_title_prefix_of_the_dumps_is_joined_to_the_title() -> None:
    assert parse_edition(title="Civil Rights Act of 1997", title_prefix="The ").title == "The Civil Rights Act of 1997"
    assert parse_edition(title="Étranger", title_prefix="L'").title == "L'Étranger"


@pytest.mark.parametrize("covers", [[-1], [None], [], None, "12", [0], [True], [1.5], [2**40]])
def test_a_cover_that_is_none_is_none(covers: object) -> None:
    """Made up in part: `[null]` was never recorded."""
    work = parse_work(covers=covers)

    assert work.cover_id is None
    assert "cover_id" in work.unasked


def test_the_first_cover_that_is_one_is_taken() -> None:
    assert parse_work(covers=[None, -1, 233884]).cover_id == 233884


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1998", 1998),
        ("July 2003", 2003),
        ("March 5, 2006", 2006),
        ("2010-03-21", 2010),
        ("2017-09-01T05:14:17", 2017),
        ("October 6th 2015", 2015),
        ("1953?", 1953),
        ("ca. 1590", 1590),
        ("2027", 2027),
        ("2028", None),
        ("2049", None),
        ("9999", None),
        ("8858", None),
        ("0000", None),
        ("0999", None),
        ("190u", None),
        ("195X", None),
        ("[18--?]", None),
        ("[n.d.]", None),
        ("xxxx", None),
        ("2005-2010", None),
        ("20051012", None),
        ("", None),
        (None, None),
    ],
)
def test_a_year_is_believed_only_where_it_is_plain(text: str | None, year: int | None) -> None:
    assert year_in(text, latest_year=2027) == year


def test_every_odd_date_ever_seen_is_kept_as_text() -> None:
    odd = json.loads((RECORDED / "lists" / "odd_values.json").read_text(encoding="utf-8"))

    assert [parse_edition(publish_date=text).publish_date for text in odd["publish_date"]] == odd["publish_date"]


def test_subjects_that_machines_wrote_or_that_differ_by_case_are_dropped() -> None:
    subjects = [
        "Fantasy", "fantasy", " FANTASY ", "nyt:hardcover-fiction=2011-11-27", "award:hugo_award=1966", "In library",
        "Accessible book", "Protected DAISY", "Reading Level-Grade 7", "series:Dune", "",
        "Alice (Fictitious character : Carroll)", "Fantasy: a history", None, 5,
    ]  # fmt: skip

    work = parse_work(subjects=subjects)

    assert work.subjects == ("Fantasy", "Alice (Fictitious character : Carroll)", "Fantasy: a history")


def test_subjects_are_capped() -> None:
    assert len(parse_work(subjects=[f"Subject {number}" for number in range(5_000)]).subjects) == MOST_SUBJECTS


@pytest.mark.parametrize("authors", [None, [], {}, "Tolkien", [None], [{}], [{"author": None}], [{"author": {}}]])
def test_a_work_without_authors_has_none(authors: object) -> None:
    """Made up: no recorded work lacks authors."""
    assert parse_work(authors=authors).author_keys == ()


def test_authors_are_read_from_all_forms_and_once() -> None:
    authors = [
        {"author": {"key": "/authors/OL1A"}, "type": "/type/author_role"},
        {"author": {"key": "/a/OL2A"}, "type": {"key": "/type/author_role"}, "role": "Illustrator"},
        {"author": "/authors/OL3A"},
        {"author": {"key": "/authors/OL1A"}},
        {"author": {"key": "/works/OL9W"}},
    ]

    assert parse_work(authors=authors).author_keys == ("OL1A", "OL2A", "OL3A")


@pytest.mark.parametrize("form", ["A fox.", {"type": "/type/text", "value": "A fox."}])
def test_a_description_is_a_string_or_an_object(form: object) -> None:
    assert parse_work(description=form).description == "A fox."


def test_a_description_loses_its_markup() -> None:
    text = (
        "First [book][1] of [two](https://openlibrary.org/works/OL2W).  \r\n\r\n\r\n\r\nSecond\rparagraph\x00.\r\n"
        "----------\r\nAlso contained in:\r\n[Another](https://example.org)\r\n\r\n  [1]: https://example.org"
    )

    assert parse_work(description=text).description == "First book of two.\n\nSecond\nparagraph."


def test_a_description_is_cut_and_markup_in_bulk_takes_no_time() -> None:
    description = parse_work(description="[" * 1_000_000).description

    assert description is not None
    assert len(description) == DESCRIPTION_LENGTH


@pytest.mark.parametrize(
    ("given_count", "count"),
    [(212, 212), (212.0, 212), (-1, None), (0, None), (True, None), ("212", None), (10**400, None)],
)
def test_a_page_count_is_a_sane_number(given_count: object, count: int | None) -> None:
    assert parse_edition(number_of_pages=given_count).page_count == count


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {},
        {"key": "/works/OL1W"},
        {"key": "/works/OL1W", "type": {"key": "/type/list"}},
        {"key": "/works/OL1W", "type": None},
        {"type": {"key": "/type/work"}},
        {"key": None, "type": {"key": "/type/work"}},
        {"key": "/books/OL1M", "type": {"key": "/type/work"}},
        {"key": "/works/ol1w", "type": {"key": "/type/work"}},
        {"key": "/works/OL1W/../OL2W", "type": {"key": "/type/work"}},
        {"key": "/works/OL1W", "type": {"key": "/type/redirect"}},
        {"key": "/works/OL1W", "type": {"key": "/type/redirect"}, "location": "/subjects/love"},
        {"key": "/authors/OL1A", "type": {"key": "/type/author"}, "name": " "},
    ],
)
def test_what_is_no_record_is_refused(document: object) -> None:
    with pytest.raises(MalformedRecord):
        parse_document(document)


def test_a_hit_of_all_fields_tells_a_whole_book() -> None:
    hit = next(hit for name, hit in hits() if "2022" in name and hit["title"].startswith("The Final Empire"))

    work = parse_search_document(hit, asked=["*"])

    assert work.open_library_key == "OL5738148W"
    assert work.authors == (AuthorRef("Brandon Sanderson", "OL1394865A"),)
    assert work.first_publish_year == 2001
    assert len(work.isbns) == 10
    assert work.unasked == {"description", "editions"}


def test_a_hit_of_2013_has_a_bare_key() -> None:
    hit = next(hit for name, hit in hits() if "2013a" in name and hit["key"] == "OL27448W")

    assert parse_search_document(hit, asked=["*"]).open_library_key == "OL27448W"


def test_a_hit_of_default_fields_leaves_much_unasked() -> None:
    hit = next(hit for name, hit in hits() if "2025" in name)

    work = parse_search_document(hit, asked=["key", "title", "author_name", "author_key", "cover_i"])

    assert {"isbns", "publishers", "subjects", "description", "page_count"} <= work.unasked
    assert work.unasked.isdisjoint({"title", "authors", "languages", "cover_id"})


def test_what_was_asked_and_is_missing_is_an_answer() -> None:
    """Made up."""
    work = parse_search_document({"key": "/works/OL1W", "title": "A"}, asked=["key", "title", "isbn"])

    assert work.isbns == ()
    assert "isbns" not in work.unasked


def test_parallel_lists_of_different_length_are_not_paired() -> None:
    """Made up."""
    hit = {"key": "/works/OL1W", "author_name": ["A", "B"], "author_key": ["OL1A"]}

    work = parse_search_document(hit, asked=["*"])

    assert work.authors == (AuthorRef("A"), AuthorRef("B"))
    assert work.author_keys == ("OL1A",)


def test_an_author_without_a_name_is_known_by_key_only() -> None:
    """Made up, after hits that were seen."""
    hit = {"key": "/works/OL1W", "author_name": ["", "B"], "author_key": ["OL1A", "OL2A"]}

    work = parse_search_document(hit, asked=["*"])

    assert work.authors == (AuthorRef("B", "OL2A"),)
    assert work.author_keys == ("OL1A", "OL2A")


@pytest.mark.parametrize("year", [9999, 8858, 2049, 999, -5, "1954", 1954.5, None])
def test_a_hit_with_a_nonsense_year_has_none(year: object) -> None:
    hit = {"key": "/works/OL1W", "first_publish_year": year}

    assert parse_search_document(hit, asked=["*"], latest_year=2027).first_publish_year is None


def test_a_hit_brings_its_best_edition() -> None:
    """Made up, in the shape that `fields=editions.…` asks for."""
    hit = {
        "key": "/works/OL1W",
        "editions": {
            "docs": [{"key": "/books/OL2M", "title": "T", "isbn": ["0261103571"], "publish_date": ["May 1999"]}]
        },
    }

    work = parse_search_document(hit, asked=["editions", "editions.key"], latest_year=2027)

    assert [(edition.isbn, edition.publish_year) for edition in work.editions] == [("9780261103573", 1999)]
    assert "editions" in work.unasked


def test_merging_fills_what_was_not_asked_and_keeps_what_was_told() -> None:
    hit = NormalizedWork("OL1W", title="From the search", isbns=("9780261103573",), unasked=frozenset({"description"}))
    document = NormalizedWork(
        "OL1W", title="From the document", description="Text", revision=7, unasked=frozenset({"isbns"})
    )

    work = merge_work(hit, document)

    assert (work.title, work.description, work.isbns) == ("From the search", "Text", ("9780261103573",))
    assert (work.revision, work.unasked) == (7, frozenset())


def test_different_works_are_not_merged() -> None:
    with pytest.raises(ValueError, match="OL2W"):
        merge_work(NormalizedWork("OL1W"), NormalizedWork("OL2W"))


def test_a_new_telling_blanks_what_it_was_asked_for_only() -> None:
    old = NormalizedWork("OL1W", title="Old", description="Text", subjects=("Fantasy",), isbns=("9780261103573",))
    new = NormalizedWork("OL1W", title="New", unasked=frozenset({"isbns", "subjects"}))

    work = retell_work(old, new)

    assert (work.title, work.description) == ("New", None)
    assert (work.subjects, work.isbns) == (("Fantasy",), ("9780261103573",))
    assert work.unasked == frozenset()


def test_a_part_never_replaces_the_whole() -> None:
    old = NormalizedWork("OL1W", isbns=("9780261103573", "9780670034826"))
    part = add_editions(
        NormalizedWork("OL1W", unasked=frozenset({"isbns"})), [NormalizedEdition("OL1M", isbns=("9780261103573",))]
    )

    assert retell_work(old, part).isbns == ("9780261103573", "9780670034826")


def test_editions_lend_the_work_what_it_lacks() -> None:
    work = NormalizedWork("OL1W", title="T", unasked=frozenset({"isbns", "languages", "editions"}))
    editions = [
        NormalizedEdition("OL1M", isbns=("9780261103573",), publish_year=1999, languages=("eng",), cover_id=5),
        NormalizedEdition("OL2M", isbns=("9780670034826",), publish_year=1954, languages=("fre", "eng")),
    ]

    whole = add_editions(work, editions, complete=True)

    assert whole.isbns == ("9780261103573", "9780670034826")
    assert (whole.first_publish_year, whole.languages, whole.cover_id) == (1954, ("eng", "fre"), 5)
    assert whole.unasked == frozenset()


def test_authors_are_named_by_their_documents() -> None:
    work = parse_work(authors=[{"author": {"key": "/authors/OL1A"}}, {"author": {"key": "/authors/OL2A"}}])

    assert name_authors(work, {"OL1A": "A", "OL2A": "B"}).authors == (AuthorRef("A", "OL1A"), AuthorRef("B", "OL2A"))
    assert "authors" not in name_authors(work, {"OL1A": "A", "OL2A": "B"}).unasked
    assert "authors" in name_authors(work, {"OL1A": "A"}).unasked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([
    "title", "subtitle", "authors", "covers", "description", "subjects", "first_publish_date", "series", "isbn_13",
    "isbn_10", "publish_date", "publishers", "languages", "number_of_pages", "works", "contributors", "contributions",
    "name", "alternate_names", "bio", "location", "revision", "title_prefix", "author_key", "author_name", "isbn",
    "subject", "editions", "cover_i", "contributor", "first_publish_year", "language", "publisher",
])  # fmt: skip
HEADS = st.sampled_from([
    ("/works/OL1W", "/type/work"), ("/books/OL1M", "/type/edition"), ("/authors/OL1A", "/type/author"),
    ("/works/OL1W", "/type/redirect"), ("/works/OL1W", "/type/delete"),
])  # fmt: skip


def was_refused(parse: Callable[[], ParsedRecord]) -> bool:
    """Read a document and hold the record against what PostgreSQL takes."""
    try:
        text = repr(parse())
    except MalformedRecord:
        return True
    assert "\\x00" not in text
    text.encode("utf-8")
    return False


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(document: object) -> None:
    assert was_refused(lambda: parse_document(document))
    assert was_refused(lambda: parse_search_document(document, asked=["*"]))


@settings(max_examples=200, deadline=None)
@given(HEADS, st.dictionaries(FIELDS, JSON | st.lists(JSON, max_size=3), max_size=8))
def test_any_fields_are_read_or_refused(head: tuple[str, str], fields: Document) -> None:
    document = {**fields, "key": head[0], "type": {"key": head[1]}}

    assert was_refused(lambda: parse_document(document)) is (
        head[1] == "/type/redirect" or (head[1] == "/type/author" and not has_name(fields))
    )
    assert was_refused(lambda: parse_search_document(document, asked=["*"])) is (head[0] != "/works/OL1W")


def has_name(fields: Document) -> bool:
    names = [fields.get("name"), fields.get("personal_name")]
    texts = [name.get("value") if isinstance(name, dict) else name for name in names]
    return any(isinstance(text, str) and parse_work(title=text).title != UNTITLED for text in texts)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON, max_size=3), st.sampled_from(lines("works.jsonl")[:40] + lines("editions.jsonl")[:40]), st.data())
def test_a_recorded_document_with_one_field_gone_wrong_is_read(
    wrong: list[object], document: Document, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(set(document) - {"key", "type", "location", "name"})))

    for value in (*wrong, wrong):
        parse_document({**document, field: value})
