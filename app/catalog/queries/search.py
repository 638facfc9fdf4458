"""Finding books by words.

The words' index is behind the database function `search_books`, which forgives typing errors and ranks; what the list
can be narrowed by narrows its answer here. Everything about one page is asked in one round trip: the page, the total
and the counts of the facets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL, aggregate_order_by, array

from app.catalog.models import Book, BookTerm
from app.catalog.queries.books import BOOK, with_covers
from app.catalog.queries.filters import COLUMN_FILTERS, term_filters
from app.catalog.queries.words import Marker, words_of
from app.core.database import Question, Row
from app.core.pagination import EXACT_TOTAL, bounded_total, fingerprint, read_cursor, write_cursor
from app.core.tenancy import own

# As many as a total counts, so that every match that is counted can also be reached by paging.
_CANDIDATES: Final = EXACT_TOTAL + 1
# Filters choose among the candidates, so there have to be more of them: all there are, in most libraries.
_CANDIDATES_TO_FILTER: Final = 100_000
# A prefix of fewer letters begins too many words to be of use, unless it is all there is.
_PREFIX_LENGTH: Final = 3
_MOST_COUNTS: Final = 20


class Facet(StrEnum):
    """What the matches can be counted by."""

    AUTHOR = "author"
    SUBJECT = "subject"
    LANGUAGE = "language"
    YEAR = "year"


def search(
    q: str, *, limit: int, cursor: str | None = None, facets: Sequence[Facet] = (), narrowed: Mapping[str, Any]
) -> dict[str, Any]:
    """The books that have all words of `q`, the best first, in the shape of every list.

    Items carry `score` and `highlights`; `facets` maps each facet asked for to its commonest values. `narrowed` holds
    values of `BOOK_FILTERS`.

    Raises:
        Invalid: the cursor is damaged or belongs to another search.
    """
    mark = fingerprint("search", "-score", {"q": q, **narrowed})
    after = read_cursor(cursor, mark) if cursor else None
    words = list(dict.fromkeys(words_of(q)))
    if not words:
        empty: dict[str, Any] = {facet.value: [] for facet in facets}
        return {"items": [], **bounded_total(0), "next_cursor": None, "facets": empty or None}
    prefix = words[-1] if len(words[-1]) >= _PREFIX_LENGTH or len(words) == 1 else ""
    question = _question(frozenset(narrowed), tuple(sorted(set(facets))), after is not None)
    found = question.all(
        words=words,
        last_is_prefix=bool(prefix),
        at_most=_CANDIDATES_TO_FILTER if narrowed else _CANDIDATES,
        limit=limit + 1,
        **narrowed,
        **({"after_score": after[0], "after_id": after[1]} if after else {}),
    )
    total, counts = found[0][:2]
    # The totals are a row even where nothing was found; its columns of a book are empty then.
    hits = [row[2:] for row in found if row[2] is not None]
    shown = hits[:limit]
    return {
        "items": [_render(row, prefix) for row in shown],
        **bounded_total(total),
        "next_cursor": write_cursor(shown[-1][:2], mark) if len(hits) > limit else None,
        "facets": counts,
    }


def _render(row: Row, prefix: str) -> dict[str, Any]:
    score, _, matched, author_names, *columns = row
    [book] = with_covers([dict(zip(BOOK.names, columns, strict=True))])
    marker = Marker(frozenset(matched), prefix)
    return {**book, "score": score, "highlights": _highlights({**book, "authors": author_names}, marker)}


def _highlights(book: Mapping[str, Any], marker: Marker) -> dict[str, Any]:
    """The texts in which the words were found: single ones as text, of lists the entries that have any."""
    highlights: dict[str, Any] = {}
    for field in ("title", "subtitle"):
        marked = book[field] and marker.marked(book[field])
        if marked:
            highlights[field] = marked
    for field in ("authors", "series", "subjects"):
        entries = [marked for entry in book[field] if (marked := marker.marked(entry))]
        if entries:
            highlights[field] = entries
    return highlights


def has_words(book_id: ColumnElement[UUID], parameter: str) -> ColumnElement[bool]:
    """The condition that a book has all of the words in a parameter, which are such as `words_of` gives."""
    words = cast(bindparam(parameter), ARRAY(Text))
    last = func.split_part(func.array_to_string(words, " "), " ", -1)
    is_prefix = (func.cardinality(words) == 1) | (func.length(last) >= _PREFIX_LENGTH)
    found = func.search_books(words, is_prefix, _CANDIDATES_TO_FILTER).table_valued(
        column("book_id", Uuid), name="found"
    )
    return book_id.in_(select(found.c.book_id))


# — the statement ——————————————————————————————————————————————————————————————————————————————————


@lru_cache(maxsize=512)
def _question(filters: frozenset[str], facets: tuple[Facet, ...], after: bool) -> Question:  # noqa: FBT001 - a cache key
    hits = _hits(filters)
    page = _page(hits, after=after)
    totals = select(select(func.count()).select_from(hits).scalar_subquery().label("total"), _counts(hits, facets))
    return Question(_with_books(totals.subquery("totals"), page))


def _hits(filters: frozenset[str]) -> CTE:
    found = func.search_books(
        cast(bindparam("words"), ARRAY(Text)),
        cast(bindparam("last_is_prefix"), Boolean),
        cast(bindparam("at_most"), Integer),
    ).table_valued(column("book_id", Uuid), column("score", REAL), column("matched", ARRAY(Text)), name="found")
    by_terms = term_filters(found.c.book_id)
    chosen = select(found.c.book_id, found.c.score, found.c.matched)
    chosen = chosen.where(*(by_terms[name] for name in sorted(filters & by_terms.keys())))
    if filters & COLUMN_FILTERS.keys():
        conditions = (COLUMN_FILTERS[name] for name in sorted(filters & COLUMN_FILTERS.keys()))
        chosen = chosen.join(Book, own(Book) & (Book.id == found.c.book_id)).where(*conditions)
    return chosen.cte("hits").prefix_with("MATERIALIZED")


def _page(hits: CTE, *, after: bool) -> FromClause:
    page = select(hits).order_by(hits.c.score.desc(), hits.c.book_id.desc()).limit(bindparam("limit"))
    if after:
        there = tuple_(cast(bindparam("after_score"), REAL), cast(bindparam("after_id"), Uuid))
        page = page.where(tuple_(hits.c.score, hits.c.book_id) < there)
    return page.subquery("page")


def _with_books(totals: FromClause, page: FromClause) -> Select[Any]:
    author = func.jsonb_array_elements(Book.authors).table_valued(column("value", JSONB), name="author")
    names = select(func.array_agg(author.c.value["name"].astext)).scalar_subquery()
    with_book = page.join(Book, own(Book) & (Book.id == page.c.book_id))
    return (
        select(
            totals.c.total,
            totals.c.counts,
            page.c.score,
            page.c.book_id,
            page.c.matched,
            func.coalesce(names, cast([], ARRAY(Text))),
            *BOOK,
        )
        .select_from(totals.outerjoin(with_book, true()))
        .order_by(page.c.score.desc(), page.c.book_id.desc())
    )


def _counts(hits: CTE, facets: tuple[Facet, ...]) -> ColumnElement[Any]:
    """The commonest values of each facet among the hits, as lists of `value` and `count`; NULL for no facets."""
    if not facets:
        return cast(null(), JSONB).label("counts")
    parts: list[Any] = [func.jsonb_build_object(*(part for facet in facets for part in (facet.value, _NOTHING)))]
    kinds = [facet.value for facet in facets if facet is not Facet.YEAR]
    if kinds:
        parts.append(_term_counts(hits, kinds))
    if Facet.YEAR in facets:
        parts.append(func.jsonb_build_object(Facet.YEAR.value, _year_counts(hits)))
    counts = parts[0]
    for part in parts[1:]:
        counts = counts.op("||")(part)
    return cast(counts, JSONB).label("counts")


_NOTHING: Final = func.jsonb_build_array()


def _term_counts(hits: CTE, kinds: list[str]) -> ScalarSelect[Any]:
    """An object of lists by kind; all kinds are counted in one reading of the hits' terms."""
    number, kind, term = func.count(), BookTerm.kind, BookTerm.term
    place = func.row_number().over(partition_by=kind, order_by=(number.desc(), term))
    counted = (
        select(kind, func.min(BookTerm.display).label("value"), number.label("count"), place.label("place"))
        .join(hits, hits.c.book_id == BookTerm.book_id)
        .where(own(BookTerm), kind == func.any(array(kinds)))
        .group_by(kind, term)
        .subquery()
    )
    entry = func.jsonb_build_object("value", counted.c.value, "count", counted.c.count)
    lists = (
        select(counted.c.kind, func.jsonb_agg(aggregate_order_by(entry, counted.c.place)).label("entries"))
        .where(counted.c.place <= _MOST_COUNTS)
        .group_by(counted.c.kind)
        .subquery()
    )
    found = func.jsonb_object_agg(lists.c.kind, lists.c.entries)
    return select(func.coalesce(found, func.jsonb_build_object())).scalar_subquery()


def _year_counts(hits: CTE) -> ScalarSelect[Any]:
    year, number = Book.first_publish_year, func.count().label("count")
    commonest = (
        select(year.label("value"), number)
        .join(hits, hits.c.book_id == Book.id)
        .where(own(Book), year.is_not(None))
        .group_by(year)
        .order_by(number.desc(), year)
        .limit(_MOST_COUNTS)
        .subquery()
    )
    entry = func.jsonb_build_object("value", commonest.c.value, "count", commonest.c.count)
    ordered = func.jsonb_agg(aggregate_order_by(entry, commonest.c.count.desc(), commonest.c.value))
    return select(func.coalesce(ordered, _NOTHING)).scalar_subquery()
