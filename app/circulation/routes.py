"""Endpoints of circulation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g, url_for

from app.circulation import queries, service
from app.circulation.schemas import (
    HoldListArguments,
    HoldListSchema,
    HoldSchema,
    LoanListArguments,
    LoanListSchema,
    LoanSchema,
    NewHoldSchema,
    NewLoanSchema,
    PopularArguments,
    PopularBooksSchema,
)
from app.core.blueprint import Blueprint
from app.core.cache import Generation, cached, if_match
from app.core.errors import Forbidden, raises
from app.core.idempotency import idempotent, tells_of
from app.core.limits import Limit, limited
from app.core.openapi.examples import EXAMPLE_ID
from app.core.schemas import json_response, parse_id
from app.core.security import Permission, requires

blp = Blueprint("circulation", __name__, description="Who has what, and who is next: loans, holds, what is popular.")

# — loans ——————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/loans")
@requires(Permission.LOANS_MANAGE)
@raises(service.NoCopyAvailable, service.LoanLimitReached, service.HeldForAnotherReader)
@idempotent
@blp.arguments(
    NewLoanSchema,
    examples={
        "barcode": {
            "summary": "What lies on the desk",
            "value": {"reader_id": EXAMPLE_ID, "barcode": "31205004567890"},
        },
        "book": {"summary": "Any copy of a book", "value": {"reader_id": EXAMPLE_ID, "book_id": EXAMPLE_ID}},
    },
)
@blp.response(201, LoanSchema)
def check_out(body: dict[str, Any]) -> Response:
    """Lend a copy

    By `barcode`, by `copy_id`, or any free copy of a `book_id`; one that waits for the reader comes first. It is due
    after the tenant's `loan_days`.
    """
    reader_id = body.pop("reader_id")
    [(by, wanted)] = body.items()
    loan = service.check_out(reader_id=reader_id, by=by, wanted=wanted)
    tells_of(reader_id)
    location = url_for("circulation.show_loan", slug=g.tenant.slug, loan_id=loan["id"])
    return json_response(loan, 201, {"Location": location})


@blp.get("/tenants/<slug>/loans")
@requires(Permission.LOANS_READ)
@blp.arguments(LoanListArguments, location="query")
@blp.response(200, LoanListSchema)
def list_loans(arguments: dict[str, Any]) -> Response:
    """List loans

    The newest first. Readers see their own, guardians those of the readers linked to them, librarians all. A kiosk sees
    the open loan of a copy, by `barcode` or `copy_id`.
    """
    return json_response(queries.visible_loans(**arguments))


@blp.get("/tenants/<slug>/loans/<loan_id>")
@requires(Permission.LOANS_READ)
@blp.response(200, LoanSchema)
def show_loan(loan_id: str) -> Response:
    """Show a loan

    Readers see their own, guardians those of the readers linked to them, librarians and kiosks all.
    """
    return json_response(service.visible_loan(parse_id(loan_id)))


@blp.post("/tenants/<slug>/loans/<loan_id>/return")
@requires(Permission.LOANS_MANAGE)
@idempotent
@blp.response(200, LoanSchema)
def return_loan(loan_id: str) -> Response:
    """Take a copy back

    It goes to the first who waits for the book, if anybody does. A loan that is over stays as it is.
    """
    parsed = parse_id(loan_id)
    service.return_loan(parsed)
    return _told_of(service.visible_loan(parsed))


@blp.post("/tenants/<slug>/loans/<loan_id>/renew")
@requires(Permission.LOANS_READ)
@raises(Forbidden, service.LoanReturned, service.RenewalLimitReached, service.BookHasHolds)
@idempotent
@blp.response(200, LoanSchema)
def renew_loan(loan_id: str) -> Response:
    """Renew a loan

    By the tenant's `loan_days`, counted from the day it is due at, or from now where that is over; at most
    `max_renewals` times, and not while somebody waits for the book. Readers renew their own.
    """
    parsed = parse_id(loan_id)
    service.renew_loan(parsed)
    return _told_of(service.visible_loan(parsed))


def _told_of(loan: dict[str, Any]) -> Response:
    """A loan as the answer to be repeated, unless its reader is erased meanwhile."""
    if loan["reader_id"] is not None:
        tells_of(UUID(loan["reader_id"]))
    return json_response(loan)


# — holds ——————————————————————————————————————————————————————————————————————————————————————————


@blp.post("/tenants/<slug>/holds")
@requires(Permission.HOLDS_PLACE)
@raises(service.AlreadyOnHold, service.AlreadyOnLoan)
@idempotent
@blp.arguments(NewHoldSchema)
@blp.response(201, HoldSchema)
def create_hold(body: dict[str, Any]) -> Response:
    """Wait for a book

    Readers wait for themselves; librarians say for whom, by `reader_id`. Where a copy is free it is set aside at once
    (`ready`, for three days); else the hold is `queued`, and the next copy that comes back goes to the first.
    """
    hold_id = service.place_hold(book_id=body["book_id"], reader_id=body.get("reader_id"))
    hold = service.visible_hold(hold_id)
    tells_of(UUID(hold["reader_id"]))
    location = url_for("circulation.show_hold", slug=g.tenant.slug, hold_id=hold_id)
    return json_response(hold, 201, {"Location": location})


@blp.get("/tenants/<slug>/holds")
@requires(Permission.LOANS_READ)
@blp.arguments(HoldListArguments, location="query")
@blp.response(200, HoldListSchema)
def list_holds(arguments: dict[str, Any]) -> Response:
    """List holds

    In the order in which they were placed: with `book_id` and `status=queued`, a book's queue. Readers see their own,
    guardians those of the readers linked to them, librarians all, and a kiosk none.
    """
    return json_response(queries.visible_holds(**arguments))


@blp.get("/tenants/<slug>/holds/<hold_id>")
@requires(Permission.LOANS_READ)
@blp.response(200, HoldSchema)
def show_hold(hold_id: str) -> Response:
    """Show a hold

    With its place in the queue, or the copy that waits and until when.
    """
    return json_response(service.visible_hold(parse_id(hold_id)))


@blp.delete("/tenants/<slug>/holds/<hold_id>")
@requires(Permission.HOLDS_PLACE)
@raises(service.HoldEnded)
@if_match(show_hold)
@blp.response(204)
def cancel_hold(hold_id: str) -> Response:
    """Cancel a hold

    A copy that waited goes to the next. The hold stays to be seen, as `cancelled`; once more changes nothing.
    """
    service.cancel_hold(parse_id(hold_id))
    return Response(status=204)


# — what is popular ————————————————————————————————————————————————————————————————————————————————


@blp.get("/tenants/<slug>/books/popular")
@requires(Permission.BOOKS_READ)
@limited(Limit.CATALOGUE_READ)
@cached(Generation.CATALOGUE, arguments=PopularArguments, seconds=300)
@blp.arguments(PopularArguments, location="query")
@blp.response(200, PopularBooksSchema)
def list_popular_books(arguments: dict[str, Any]) -> Response:
    """List the books that were lent most

    In the last week (7 days), month (30), year (365), or ever. Kept for 300 seconds at most.
    """
    return json_response({"period": arguments["period"], "items": queries.popular_books(**arguments)})
