"""Who wrote the tenant's books."""

from __future__ import annotations

from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, func, select

from app.catalog.models import Author, BookAuthor
from app.core.cache import Generation
from app.core.database import Question, compiled, rows
from app.core.pagination import Listing, named
from app.core.tenancy import current_tenant_id

_SHOWN: Final = ("id", "name", "open_library_key", "book_count")
_IS_LINKED: Final = (BookAuthor.tenant_id == Author.tenant_id) & (BookAuthor.author_id == Author.id)


def _authors() -> Select[Any]:
    """Authors of at least one book; who lost the last one is kept, but no author of the library any more."""
    book_count = select(func.count()).select_from(BookAuthor).where(_IS_LINKED).scalar_subquery()
    return select(Author.id, Author.name, Author.open_library_key, book_count).where(
        Author.tenant_id == bindparam("tenant_id"), exists().where(_IS_LINKED)
    )


AUTHORS: Final = Listing(
    "authors",
    _authors(),
    tie=Author.id,
    sorts={"name": Author.sort_name},
    default_sort="name",
    filters={"q": Author.sort_name.op("^@", is_comparison=True)(bindparam("q"))},
    generation=Generation.CATALOGUE,
    render=named(*_SHOWN),
)


def author(author_id: UUID | None) -> dict[str, Any] | None:
    """One author with the number of their books."""
    found = rows(_author_question(), {"tenant_id": current_tenant_id(), "author_id": author_id})
    return dict(zip(_SHOWN, found[0], strict=True)) if found else None


@cache
def _author_question() -> Question:
    return compiled(_authors().where(Author.id == bindparam("author_id")))
