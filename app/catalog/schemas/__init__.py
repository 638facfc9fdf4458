"""What comes in and goes out for the catalogue; the endpoints take it from here."""

from __future__ import annotations

from app.catalog.schemas.authors import AuthorListArguments, AuthorListSchema, AuthorSchema
from app.catalog.schemas.books import (
    BookAuthorSchema,
    BookDetailSchema,
    BookListSchema,
    BookSchema,
    CoverSchema,
    LabelsSchema,
    VersionDiffSchema,
)
from app.catalog.schemas.found import BookSearchSchema
from app.catalog.schemas.lists import BookListArguments, BookSearchArguments, CoverArguments
from app.catalog.schemas.values import Isbn
from app.catalog.schemas.writing import BookPatchSchema, NewBookSchema

__all__ = [
    "AuthorListArguments",
    "AuthorListSchema",
    "AuthorSchema",
    "BookAuthorSchema",
    "BookDetailSchema",
    "BookListArguments",
    "BookListSchema",
    "BookPatchSchema",
    "BookSchema",
    "BookSearchArguments",
    "BookSearchSchema",
    "CoverArguments",
    "CoverSchema",
    "Isbn",
    "LabelsSchema",
    "NewBookSchema",
    "VersionDiffSchema",
]
