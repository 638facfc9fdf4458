"""Commands of circulation.

`lending` lends, takes back and renews, `holds` lets readers wait, `queues` gives a free copy to the first of them, and
`notices` tells readers by mail. `trail` writes all of it down without naming them.
"""

from __future__ import annotations

from app.circulation.service.errors import (
    AlreadyOnHold,
    AlreadyOnLoan,
    BookHasHolds,
    HeldForAnotherReader,
    HoldEnded,
    LoanLimitReached,
    LoanReturned,
    NoCopyAvailable,
    RenewalLimitReached,
)
from app.circulation.service.holds import cancel_hold, expire_holds, place_hold, visible_hold
from app.circulation.service.lending import check_out, renew_loan, return_loan, visible_loan
from app.circulation.service.notices import promise_notices

__all__ = [
    "AlreadyOnHold",
    "AlreadyOnLoan",
    "BookHasHolds",
    "HeldForAnotherReader",
    "HoldEnded",
    "LoanLimitReached",
    "LoanReturned",
    "NoCopyAvailable",
    "RenewalLimitReached",
    "cancel_hold",
    "check_out",
    "expire_holds",
    "place_hold",
    "promise_notices",
    "renew_loan",
    "return_loan",
    "visible_hold",
    "visible_loan",
]
