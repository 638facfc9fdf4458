"""What Prometheus gets to see of the requests. No label depends on a tenant or a person: their number has no bound.

With `PROMETHEUS_MULTIPROC_DIR` set, prometheus_client adds up all processes of a host; without it each speaks for
itself.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

REQUESTS = Counter("library_requests", "Requests answered.", ["method", "route", "status"])
DURATIONS = Histogram(
    "library_request_seconds",
    "How long requests took on the server.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one request; `route` is the rule, not the address."""
    # A client may invent methods; their number has no bound.
    requests, durations = _of(method if method in _METHODS else "other", route, status)
    requests.inc()
    durations.observe(seconds)


@cache
def _of(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, str(status)), DURATIONS.labels(route)
