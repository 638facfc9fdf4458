"""Bodies without a limit, before the first byte of them: may this caller send one here?

The gateway offers the application the head of such a request. It takes the passage of any other (identity, tenant,
permission, limits), and what was decided goes along with the request, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.core.errors import DomainError
from app.core.logging import fresh_log_context
from app.core.spool import takes_streams
from app.pipeline.passage import Guard, Passage, request_id_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

OFFER = "library.offer"
# Where is left what has been decided before Flask begins, so that nothing is counted twice.
PASSAGE, REFUSAL, REQUEST_ID = "library.passage", "library.refusal", "library.request_id"


class Verdict(Enum):
    """What becomes of an offered body."""

    # It has a limit here, as everywhere: what is wrong with it shows when it is in.
    AS_ANY_OTHER = auto()
    REFUSED = auto()
    WELCOME = auto()


@dataclass(slots=True)
class Offer:
    """A head, and what was decided of it."""

    verdict: Verdict = Verdict.AS_ANY_OTHER
    decided: dict[str, Any] = field(default_factory=dict)
    # Whose streams it counts among.
    counted_by: str = ""


def judge(app: Flask, guard: Guard, environ: WSGIEnvironment) -> None:
    """Decide the offer in `environ`."""
    offer: Offer = environ[OFFER]
    found = _view_at(app, environ)
    if found is None:
        return
    view, slug = found
    request_id = offer.decided[REQUEST_ID] = request_id_of(environ)
    if guard.insists_on_https and environ.get("wsgi.url_scheme") != "https":
        offer.verdict = Verdict.REFUSED  # Flask's side leads the client there
        return
    passage = offer.decided[PASSAGE] = Passage(guard, view, slug, environ)
    with app.app_context(), fresh_log_context(request_id=request_id):
        try:
            passage.admit()
        except DomainError as refusal:
            offer.verdict, offer.decided[REFUSAL] = Verdict.REFUSED, refusal
            return
    offer.verdict, offer.counted_by = Verdict.WELCOME, str(passage.tenant_id)


def _view_at(app: Flask, environ: WSGIEnvironment) -> tuple[Callable[..., Any], str] | None:
    """The view that is asked for and the tenant's slug, where it takes streams."""
    try:
        endpoint, values = app.url_map.bind_to_environ(environ).match()
    except HTTPException:
        return None
    view = app.view_functions[endpoint]
    return (view, values["slug"]) if takes_streams(view) else None
