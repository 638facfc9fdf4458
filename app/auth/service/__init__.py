"""Commands on credentials.

`accounts` keeps service accounts and their keys. `sign_in` has the ways in which people sign in (`issuers` checks what
others vouch for), `sessions` what follows from one, in `tokens` of two kinds. `credentials` tells whose one is.
"""

from __future__ import annotations

from app.auth.service.accounts import (
    create_key,
    create_service_account,
    delete_service_account,
    existing_service_account,
    revoke_key,
    update_service_account,
)
from app.auth.service.credentials import authenticate, tenant_of
from app.auth.service.errors import InvalidCredentials, InvalidMagicLink, InvalidRefreshToken
from app.auth.service.issuers import InvalidIdToken, IssuerUnavailable
from app.auth.service.sessions import SignedIn, begin_session, end_session, forget_what_is_over, refresh_session
from app.auth.service.sign_in import (
    account_counter,
    exchange_id_token,
    join,
    log_in,
    redeem_magic_link,
    request_magic_link,
)

__all__ = [
    "InvalidCredentials",
    "InvalidIdToken",
    "InvalidMagicLink",
    "InvalidRefreshToken",
    "IssuerUnavailable",
    "SignedIn",
    "account_counter",
    "authenticate",
    "begin_session",
    "create_key",
    "create_service_account",
    "delete_service_account",
    "end_session",
    "exchange_id_token",
    "existing_service_account",
    "forget_what_is_over",
    "join",
    "log_in",
    "redeem_magic_link",
    "refresh_session",
    "request_magic_link",
    "revoke_key",
    "tenant_of",
    "update_service_account",
]
