"""What can go wrong with Open Library, as the rest of the service sees it."""

from http import HTTPStatus

from app.core.errors import DomainError, Invalid, Unavailable


class UpstreamUnavailable(Unavailable):
    """Open Library is down, too slow, overloaded or talks nonsense; a later try may succeed."""

    code = "upstream_unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: float) -> None:
        """Take the reason and the pause after which a try is worth it."""
        super().__init__(detail, retry_after_seconds=round(retry_after_seconds + 0.5))
        self.retry_after_seconds = retry_after_seconds


class UpstreamRefused(DomainError):
    """Open Library refuses this service as a client; trying again is useless until the operator acts."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "upstream_refused"


class InvalidQuery(Invalid):
    """A query that Open Library cannot be asked; the text says what to write instead."""
