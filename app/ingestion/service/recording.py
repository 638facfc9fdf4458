"""Writing down what a page brought: books, items, log, progress and position, all in one transaction.

So a worker may end at any moment: either the whole page is there and counted, or nothing of it is and it is fetched
again. Every work is an item first, so none is counted twice, however often search results shift between pages.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from app.catalog import service as catalog
from app.core.clock import new_id, utc_now
from app.core.database import transaction
from app.core.errors import database_is_away
from app.core.sets import inserting, run, table_of
from app.extensions import db
from app.ingestion import queries
from app.ingestion.models import (
    Item,
    ItemState,
    Job,
    JobStatus,
    Log,
    LogAction,
    QueryWork,
    ResyncSchedule,
    Source,
    SyncedQuery,
    Trigger,
)
from app.ingestion.service import leases
from app.ingestion.service.errors import ALL_FAILED, NOTHING_FOUND, LeaseLost
from app.ingestion.service.fetching import WITHDRAWN, Page
from app.ingestion.service.jobs import add_items, end_job
from app.ingestion.service.leases import Slice, patiently

log = logging.getLogger(__name__)
# Nothing that these statements change is read again from the session.
_UNSYNCED = {"synchronize_session": False}
_ITEMS: Final = table_of(Item)
_LOGS: Final = table_of(Log)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item: how it is counted, and what the log says."""

    item: str
    state: ItemState
    counted_as: LogAction
    action: LogAction
    open_library_key: str | None
    message: str


def record_page(taken: Slice, page: Page) -> None:
    """Write a page and give the job back, or end it if that was all.

    A work that can't be written costs a line in the log; those beside it are written.

    Raises:
        LeaseLost: the job is no longer this worker's; nothing was written.
    """
    try:
        patiently(partial(_write, taken, page))
    except (DBAPIError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, DBAPIError) and database_is_away(error):
            raise
        log.warning("ingestion.page_divided", extra={"items": len(page.items), "error": type(error).__name__})
        _write_divided(taken, page, error)


def _write_divided(taken: Slice, page: Page, error: Exception) -> None:
    """Write a page that was refused in halves, down to the one work that is at fault."""
    if not page.items:
        raise error
    if len(page.items) > 1:
        middle = len(page.items) // 2
        record_page(taken, page.part(page.items[:middle], is_last=False))
        record_page(taken, page.part(page.items[middle:], is_last=page.is_last))
        return
    log.error("ingestion.work_refused", extra={"item": page.items[0]}, exc_info=error)
    reason = f"The work could not be recorded ({type(error).__name__})."
    patiently(partial(_write, taken, page.refused(reason)))


def _write(taken: Slice, page: Page) -> None:
    with transaction():
        job = queries.job(taken.job_id, lock=True)
        if job is None or not leases.is_held(taken, lock=True):
            raise LeaseLost
        page = _without_known(job, page)
        outcomes = _recorded(page) if page.items else []
        if outcomes:
            _settle(job, page, outcomes)
        _count(job, page, outcomes)
        if not page.is_last:
            db.session.flush()
            return
        _advance(job, page)
        _continue_or_end(taken, job)


def _without_known(job: Job, page: Page) -> Page:
    """Leave out what the job has met on another page, so that it counts once."""
    if not page.items:
        return page
    known = queries.known_items(job.id, page.items)
    unsettled = [item for item in page.items if known.get(item, ItemState.PENDING) is ItemState.PENDING]
    return page.part(unsettled, is_last=page.is_last)


def _recorded(page: Page) -> list[Outcome]:
    """Bring the catalogue up to the page, and say for each item what that did."""
    survivors = (work.open_library_key for work in (*page.works.values(), *page.redirects.values()))
    catalog.lock_works({*survivors, *page.redirects, *page.deleted})
    return [*_record_works(page), *_record_redirects(page), *_mark_deleted(page), *_failures(page)]


def _record_works(page: Page) -> Iterator[Outcome]:
    items = [item for item in page.items if item in page.works]
    told = catalog.record_works([page.works[item] for item in items])
    counted: set[str] = set()
    for item, work in zip(items, told, strict=True):
        key, action = work.open_library_key, LogAction(work.action)
        # Several ISBNs may be of one work: it is created by the first of them only. And where a work was merged away
        # long ago, its telling changes nothing.
        if key in counted or action is LogAction.REDIRECTED:
            yield Outcome(item, ItemState.DONE, LogAction.UNCHANGED, action, key, work.message)
        else:
            yield Outcome(item, ItemState.DONE, action, action, key, work.message)
        counted.add(key)


def _record_redirects(page: Page) -> Iterator[Outcome]:
    pairs = [(item, page.redirects[item]) for item in page.items if item in page.redirects]
    if not pairs:
        return
    known = queries.works_with_books({key for former, work in pairs for key in (former, work.open_library_key)})
    for (former, work), told in zip(pairs, catalog.record_redirects(pairs), strict=True):
        is_known = former in known or work.open_library_key in known
        counted_as = LogAction.UPDATED if is_known else LogAction.CREATED
        known.add(work.open_library_key)
        yield Outcome(former, ItemState.GONE, counted_as, LogAction.REDIRECTED, former, told.message)


def _mark_deleted(page: Page) -> Iterator[Outcome]:
    withdrawn = [item for item in page.items if item in page.deleted]
    for told in catalog.mark_deleted_upstream(withdrawn):
        key, action = told.open_library_key, LogAction(told.action)
        yield Outcome(key, ItemState.GONE, action, action, key, WITHDRAWN)


def _failures(page: Page) -> Iterator[Outcome]:
    marked = queries.works_with_books(page.deleted) if page.deleted else set()
    for item in page.items:
        if item not in page.works and item not in page.redirects and item not in marked:
            key = item if item.startswith("OL") else None
            yield Outcome(item, ItemState.FAILED, LogAction.FAILED, LogAction.FAILED, key, page.why_not(item))


def _settle(job: Job, page: Page, outcomes: Sequence[Outcome]) -> None:
    run(_item_upsert(), [{"job_id": job.id, "item": each.item, "state": each.state} for each in outcomes])
    _add_lines(job, [(each.action, each.open_library_key, each.message) for each in outcomes])
    if job.query is not None and page.redirects:
        # From here on the query stands for the works that the others were merged into.
        targets = {work.open_library_key for work in page.redirects.values()}
        add_items([(job.id, key) for key in targets], ItemState.DONE)


@cache
def _item_upsert() -> Insert:
    items = inserting(_ITEMS, "job_id", "item", "state")
    return items.on_conflict_do_update(constraint=_ITEMS.primary_key, set_={"state": items.excluded.state})


def _add_lines(job: Job, lines: Iterable[tuple[LogAction, str | None, str]]) -> None:
    names = ("id", "job_id", "action", "open_library_key", "message")
    run(inserting(_LOGS, *names), [dict(zip(names, (new_id(), job.id, *line), strict=True)) for line in lines])


def _count(job: Job, page: Page, outcomes: Sequence[Outcome]) -> None:
    counts = Counter(each.counted_as for each in outcomes)
    job.works_created += counts[LogAction.CREATED]
    job.works_updated += counts[LogAction.UPDATED]
    job.works_unchanged += counts[LogAction.UNCHANGED]
    job.works_failed += counts[LogAction.FAILED]
    if page.source is Source.MIRROR or job.source is None:
        job.source = page.source
    job.error_code = job.error_message = None
    job.revision += 1


def _advance(job: Job, page: Page) -> None:
    """Move on in the search; where it is over, the works that it used to bring and no longer does are looked for."""
    if job.is_search_over:
        return
    job.search_position += page.hits
    job.works_failed += page.unreadable
    db.session.flush()
    if page.unreadable:
        _add_lines(job, [(LogAction.FAILED, None, "A hit of the search could not be read.")] * page.unreadable)
    job.is_search_over = page.hits == 0 or job.search_position >= min(page.total, job.max_works)
    if not job.is_search_over:
        job.works_total = min(page.total, job.max_works)
        return
    if job.trigger == Trigger.RESYNC and job.source == Source.OPEN_LIBRARY:
        vanished = queries.vanished_works(job)
        add_items([(job.id, key) for key in vanished], ItemState.PENDING)
    # Not what the search promised: hits that came twice were counted once.
    job.works_total = job.works_done + queries.number_of_pending_items(job.id)


def _continue_or_end(taken: Slice, job: Job) -> None:
    db.session.flush()
    if not job.is_search_over or queries.number_of_pending_items(job.id):
        leases.give_back(taken)
    elif job.works_succeeded:
        if job.query is not None:
            _remember_query(job)
        end_job(job, JobStatus.COMPLETED)
    elif job.works_failed:
        message = f"None of the {job.works_failed} works could be recorded; the log says why."
        end_job(job, JobStatus.FAILED, error_code=ALL_FAILED, message=message)
    else:
        end_job(job, JobStatus.FAILED, error_code=NOTHING_FOUND, message="Open Library has no work for this query.")


def _remember_query(job: Job) -> None:
    """Keep the query and the works it brought for the re-sync, and let those go that are no more."""
    now = utc_now()
    values = {"query": job.query, "max_works": job.max_works, "works": 0, "last_synced_at": now}
    query = upsert(SyncedQuery).values(tenant_id=job.tenant_id, query_key=job.query_key, **values)
    db.session.execute(query.on_conflict_do_update(index_elements=["tenant_id", "query_key"], set_=values))
    own = (QueryWork.tenant_id == job.tenant_id, QueryWork.query_key == job.query_key)
    gone = QueryWork.open_library_key.in_(queries.gone_works(job))
    db.session.execute(delete(QueryWork).where(*own, gone), execution_options=_UNSYNCED)
    brought = select(Item.tenant_id, literal(job.query_key), Item.item).where(
        Item.tenant_id == job.tenant_id, Item.job_id == job.id, Item.state == ItemState.DONE
    )
    works = upsert(QueryWork).from_select(["tenant_id", "query_key", "open_library_key"], brought)
    db.session.execute(works.on_conflict_do_nothing())
    number = select(func.count()).select_from(QueryWork).where(*own).scalar_subquery()
    db.session.execute(
        update(SyncedQuery)
        .where(SyncedQuery.tenant_id == job.tenant_id, SyncedQuery.query_key == job.query_key)
        .values(works=number),
        execution_options=_UNSYNCED,
    )
    schedule = upsert(ResyncSchedule).values(tenant_id=job.tenant_id, counted_from=now)
    db.session.execute(schedule.on_conflict_do_nothing())
