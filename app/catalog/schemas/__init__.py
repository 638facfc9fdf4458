"""What comes in and goes out for the catalogue; the endpoints take it from here."""

from __future__ import annotations

from app.catalog.schemas.authors import AuthorListArguments, AuthorListSchema, AuthorSchema
from app.catalog.schemas.books import BookDetailSchema, BookListSchema, VersionDiffSchema
from app.catalog.schemas.found import BookSearchSchema
from app.catalog.schemas.lists import BookListArguments, BookSearchArguments, CoverArguments
from app.catalog.schemas.writing import BookPatchSchema, NewBookSchema

__all__ = [
    "AuthorListArguments",
    "AuthorListSchema",
    "AuthorSchema",
    "BookDetailSchema",
    "BookListArguments",
    "BookListSchema",
    "BookPatchSchema",
    "BookSearchArguments",
    "BookSearchSchema",
    "CoverArguments",
    "NewBookSchema",
    "VersionDiffSchema",
]
