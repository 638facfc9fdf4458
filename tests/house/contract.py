"""The operations of the OpenAPI document, ready to be called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.core import openapi
from app.core.security import Permission
from tests.conftest import Library

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    description: Json

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        """True where no credential is needed."""
        return self.description.get("security") == []

    @property
    def keeps_answer(self) -> bool:
        """True where a repeated request gets the first answer again."""
        return any("Idempotent-Replayed" in answer["headers"] for answer in self.description["responses"].values())

    @property
    def path_parameters(self) -> list[str]:
        """The names in the path, the tenant's slug excepted."""
        return [name for name in re.findall(r"{(\w+)}", self.path) if name != "slug"]

    @property
    def query_parameters(self) -> list[Json]:
        """The parameters of the query."""
        return [each for each in self.description["parameters"] if each["in"] == "query"]

    @property
    def statuses(self) -> set[int]:
        """Every status it says it may answer with."""
        return {int(status) for status in self.description["responses"]}

    @property
    def body_schema(self) -> Json | None:
        """The schema of its body, if it takes one."""
        content: Json = self.description.get("requestBody", {}).get("content", {})
        found: Json | None = content.get("application/json", {}).get("schema")
        return found

    @property
    def bodies(self) -> list[Any]:
        """What a reader of the document would send: every example of its body."""
        content: Json = self.description.get("requestBody", {}).get("content", {}).get("application/json", {})
        return (
            [content["example"]]
            if "example" in content
            else [each["value"] for each in content.get("examples", {}).values()]
        )

    @property
    def body(self) -> Any:
        """The first of them; None where it takes no body."""
        return next(iter(self.bodies), None)

    @property
    def permission(self) -> Permission | None:
        """What it takes, beside a credential."""
        for scheme in self.description["security"]:
            for scopes in scheme.values():
                return Permission(scopes[0]) if scopes else None
        return None

    def address(self, slug: str, things: Mapping[str, str]) -> str:
        """Its path with these things in it."""
        return re.sub(r"{(\w+)}", lambda name: {"slug": slug, **things}[name[1]], self.path)


def all_operations(app: Flask) -> Iterator[Operation]:
    """All operations of the document."""
    for path, methods in openapi.document(app)["paths"].items():
        for method, description in methods.items():
            yield Operation(method.upper(), path, description)


def operations(app: Flask) -> Iterator[Operation]:
    """All operations of the API itself."""
    return (operation for operation in all_operations(app) if operation.path.startswith("/api/"))


def examples_in(content: Json) -> list[Any]:
    """The examples of a body, of one media type."""
    return [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]


def components(app: Flask) -> Json:
    """The schemas that others refer to."""
    found: Json = openapi.document(app)["components"]["schemas"]
    return found


def resolved(schema: Json, schemas: Json) -> Json:
    """The schema itself, where it is a reference to one."""
    found: Json = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def fresh_isbn() -> str:
    """An ISBN-13 that no book of the tests has yet."""
    digits = f"978{next(_ISBNS):09}"
    odd, even = sum(map(int, digits[::2])), sum(map(int, digits[1::2]))
    return f"{digits}{-(odd + 3 * even) % 10}"


_ISBNS = itertools.count(100_000)


def things_of(library: Library) -> dict[str, str]:
    """One thing of each kind in a tenant, under the names that paths call it by."""
    account = made(library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin"))
    key = made(library.post(f"/service-accounts/{account}/keys", {}, role="admin"))
    isbn = fresh_isbn()
    book = made(library.post("/books", {"title": library.slug, "authors": [{"name": library.slug}], "isbns": [isbn]}))
    # One for whom nothing is done but what they are asked for, and one who borrows.
    user, reader = (
        made(library.post("/users", {"type": "reader", "name": library.slug}, role="admin")) for _ in range(2)
    )
    guardian = made(library.post("/users", {"type": "guardian", "name": library.slug}, role="admin"))
    group = made(library.post("/groups", {"name": library.slug}, role="admin"))
    author = library.get("/authors").get_json()["items"][0]
    job = made(library.post("/ingestion/jobs", {"isbns": [isbn]}))
    collection = made(library.post("/collections", {"name": library.slug}))
    held = library.call("PUT", f"/collections/{collection}/items", json={"items": [{"isbn": isbn}]})
    assert held.status_code == 200, held.text
    lent, waited_for, shelved = (
        made(library.post("/books", {"title": library.slug, "authors": [{"name": library.slug}]})) for _ in range(3)
    )
    copy = library.post(f"/books/{shelved}/copies", {"barcode": f"B-{isbn}"})
    out = made(library.post(f"/books/{lent}/copies", {"barcode": f"O-{isbn}"}))
    loan = made(library.post("/loans", {"reader_id": reader, "copy_id": out}))
    hold = made(library.post("/holds", {"reader_id": reader, "book_id": waited_for}))
    return {
        "collection_id": collection,
        "user_id": user,
        "reader_id": reader,
        "guardian_id": guardian,
        "group_id": group,
        "account_id": account,
        "key_id": key,
        "book_id": book,
        "author_id": author["id"],
        "job_id": job,
        "copy_id": made(copy),
        "barcode": str(copy.get_json()["barcode"]),
        "loan_id": loan,
        "hold_id": hold,
        "isbn": isbn,
        "number": "1",
        "first": "1",
        "second": "1",
    }


def made(answer: TestResponse) -> str:
    """The id of what was made."""
    assert answer.status_code in (201, 202), answer.text
    return str(answer.get_json()["id"])
