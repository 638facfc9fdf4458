"""What the marks on a view say of its endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.routing import Rule

from app.core.errors import DomainError
from app.core.limits import Limit
from app.core.security import Access
from app.core.spool import takes_streams


@dataclass(frozen=True)
class Endpoint:
    """A view with its address and method."""

    method: str
    rule: Rule
    view: Callable[..., Any]

    @property
    def name(self) -> str:
        """The view's name, which is the operation's."""
        return str(self.rule.endpoint).partition(".")[2]

    @property
    def access(self) -> Access:
        """Who may call it."""
        found: Access = self.view.access  # type: ignore[attr-defined]  # a test sees to it that every view has one
        return found

    @property
    def is_guarded(self) -> bool:
        """True where the pipeline asks who calls, or for which tenant."""
        return not self.access.is_public or "slug" in self.rule.arguments

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What a call counts against."""
        if not self.is_guarded or getattr(self.view, "uncounted", False):
            return ()
        own = getattr(self.view, "limits", ())
        # Strangers count against `api` only where nothing else counts them.
        return own if own and self.access.is_public else (Limit.API, *own)

    @property
    def errors(self) -> tuple[type[DomainError], ...]:
        """What it refuses for reasons of its own."""
        found: tuple[type[DomainError], ...] = getattr(self.view, "errors", ())
        return found

    @property
    def takes_lines(self) -> bool:
        """True where the body may be lines without a limit."""
        return takes_streams(self.view)

    @property
    def is_idempotent(self) -> bool:
        """True where `Idempotency-Key` is honoured."""
        return getattr(self.view, "is_idempotent", False)

    @property
    def keeps_answer(self) -> bool:
        """True where a repeated request gets the first answer again."""
        return self.is_idempotent and not getattr(self.view, "keeps_no_answer", False)

    @property
    def is_conditional(self) -> bool:
        """True where `If-Match` is honoured."""
        return getattr(self.view, "is_conditional", False)

    @property
    def tells_new_etag(self) -> bool:
        """True where the answer to a change has the ETag that the object now has."""
        return self.method == "PATCH" and getattr(self.view, "shows_it", False)

    @property
    def may_be_kept(self) -> bool:
        """True where answers have an ETag, and `If-None-Match` is honoured."""
        return self.method == "GET" and not getattr(self.view, "is_uncached", False)

    @property
    def path_parameters(self) -> list[str]:
        """The names in the path, in their order."""
        return re.findall(r"<(?:\w+:)?(\w+)>", self.rule.rule)
