"""What circulation refuses, beside what everybody refuses."""

from __future__ import annotations

from app.core.errors import Conflict


class NoCopyAvailable(Conflict):
    """The copy, or every copy of the book, is on loan, lost or withdrawn, or waits for somebody."""

    code = "no_copy_available"


class LoanLimitReached(Conflict):
    """The reader has as many loans as the library's setting `max_loans_per_reader` allows."""

    code = "loan_limit_reached"


class HeldForAnotherReader(Conflict):
    """The copy waits on the hold shelf for somebody else."""

    code = "held_for_another_reader"


class RenewalLimitReached(Conflict):
    """The loan was renewed as often as the library's setting `max_renewals` allows."""

    code = "renewal_limit_reached"


class BookHasHolds(Conflict):
    """Somebody waits for the book, so its loans are not renewed."""

    code = "book_has_holds"


class LoanReturned(Conflict):
    """The loan is over: there is nothing to renew."""

    code = "loan_returned"


class AlreadyOnHold(Conflict):
    """The reader waits for this book already."""

    code = "already_on_hold"


class AlreadyOnLoan(Conflict):
    """The reader has this book already."""

    code = "already_on_loan"


class HoldEnded(Conflict):
    """The hold was fulfilled or has expired: there is nothing to cancel."""

    code = "hold_ended"
