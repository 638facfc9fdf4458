"""Who wrote the tenant's books."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, func, select

from app.catalog.models import Author, BookAuthor
from app.core.cache import Generation
from app.core.database import Question
from app.core.pagination import Listing
from app.core.tenancy import own

_IS_LINKED: Final = (BookAuthor.tenant_id == Author.tenant_id) & (BookAuthor.author_id == Author.id)


def _authors() -> Select[Any]:
    """Authors of at least one book; who lost the last one is kept, but no author of the library any more."""
    book_count = select(func.count()).select_from(BookAuthor).where(_IS_LINKED).label("book_count")
    columns = (Author.id, Author.name, Author.open_library_key, book_count)
    return select(*columns).where(own(Author), exists().where(_IS_LINKED))


AUTHORS: Final = Listing(
    "authors",
    _authors(),
    tie=Author.id,
    sorts={"name": Author.sort_name},
    default_sort="name",
    filters={"q": Author.sort_name.op("^@", is_comparison=True)(bindparam("q"))},
    generation=Generation.CATALOGUE,
)


_AUTHOR: Final = Question(_authors().where(Author.id == bindparam("author_id")))


def author(author_id: UUID | None) -> dict[str, Any] | None:
    """One author with the number of their books."""
    return _AUTHOR.record(author_id=author_id)
