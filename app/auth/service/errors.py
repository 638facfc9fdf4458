"""What sign-in refuses."""

from __future__ import annotations

from app.core.errors import Unauthenticated


class InvalidCredentials(Unauthenticated):
    """There is no such account, or this does not open it; which of both is not said."""

    code = "invalid_credentials"


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is malformed, outdated or used, or its session has ended; sign in again."""

    code = "invalid_refresh_token"


class InvalidMagicLink(Unauthenticated):
    """The token of the magic link is wrong, used or too old; ask for another one."""

    code = "invalid_magic_link"
