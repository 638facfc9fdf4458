"""What is there to be found and broken: the fuzzed tenant's things, those of another, and spare ones made anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.core.database import transaction
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant as as_tenant
from app.ingestion.models import JobStatus
from app.ingestion.service import jobs
from app.tenants.models import PLATFORM_ID
from tests.auth.people import PASSWORD
from tests.conftest import Library
from tests.house.contract import made, things_of
from tests.house.sign_in import Credentials

# Of the right form, and nobody's.
NOBODYS = "00000000-0000-7000-8000-000000000000"
SEVERAL = 4
# That has been counted.
PRODUCT = "9780441172719"
_isbns = itertools.count(1)
_slugs = itertools.count(1)


def fresh_isbn() -> str:
    """An ISBN that no book has yet."""
    digits = f"978{next(_isbns):09d}"
    total = sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits))
    return digits + str(-total % 10)


def fresh_slug() -> str:
    """A slug that no tenant has yet."""
    return f"spare-{next(_slugs)}"


def fresh_email() -> str:
    """An address that nobody has yet."""
    return f"{fresh_slug()}@example.org"


@dataclass
class Place:
    """The fuzzed tenant with a few things of each kind, and another that must stay apart."""

    library: Library
    other: Library
    platform: Library
    ids: dict[str, list[str]] = field(default_factory=dict)
    # Whose credential asks; nothing may end it.
    own_account: str = ""
    theirs: dict[str, str] = field(default_factory=dict)
    # What is used up by being asked for, under the names of paths: made anew each time, so that it never runs out.
    spare: dict[str, Callable[[], dict[str, str]]] = field(default_factory=dict)

    # What only one thing can have, or opens something, by operation and field of its body.
    unique: dict[str, dict[str, Callable[[], Any]]] = field(default_factory=dict)

    @classmethod
    def furnish(cls, library: Library, other: Library) -> Place:
        """Put things into both tenants."""
        place = cls(library, other, Library(library.app, "platform", PLATFORM_ID))
        place.theirs = theirs = things_of(other)
        for name in (name for name in theirs if name.endswith("_id")):
            place.ids[name] = [theirs[name], NOBODYS, "no-id"]
        for _ in range(SEVERAL):
            for name, thing in place.things().items():
                place.ids.setdefault(name, []).insert(0, thing)
        stock = [{"product_id": PRODUCT, "quantity": 3, "timestamp": "2026-01-31T09:30:00Z"}]
        made_of = library.post("/inventory/updates", {"items": stock}, role="lms")
        assert made_of.status_code == 201, made_of.text
        place.loan()
        place.ids["isbn"] += ["9780261103573", "9780261103574", fresh_isbn()]
        place.ids |= {name: ["1", "2", "1000", "one"] for name in ("number", "first", "second")}
        place.spare = {
            "PATCH /tenants/{slug}": place.spare_tenant,
            "DELETE /tenants/{slug}": place.spare_tenant,
            "GET /tenants/{slug}/books/{book_id}/cover": lambda: {"book_id": place.book(fresh_isbn())},
            "DELETE /tenants/{slug}/books/{book_id}": lambda: {"book_id": place.book(fresh_isbn())},
            "PATCH /tenants/{slug}/service-accounts/{account_id}": lambda: {"account_id": place.account()},
            "DELETE /tenants/{slug}/service-accounts/{account_id}": lambda: {"account_id": place.account()},
            "DELETE /tenants/{slug}/service-accounts/{account_id}/keys/{key_id}": place.account_and_key,
            "PATCH /tenants/{slug}/users/{user_id}": lambda: {"user_id": place.user()},
            "DELETE /tenants/{slug}/users/{user_id}": lambda: {"user_id": place.user()},
            "POST /tenants/{slug}/users/{user_id}/erase": lambda: {"user_id": place.user()},
            "DELETE /tenants/{slug}/groups/{group_id}": lambda: {"group_id": place.group()},
            "DELETE /tenants/{slug}/copies/{copy_id}": lambda: {"copy_id": place.copy()},
            "DELETE /tenants/{slug}/holds/{hold_id}": lambda: {"hold_id": place.hold()},
            "PATCH /tenants/{slug}/copies/{copy_id}": lambda: {"copy_id": place.copy()},
            "POST /tenants/{slug}/loans/{loan_id}/renew": lambda: {"loan_id": place.loan()},
            "DELETE /tenants/{slug}/collections/{collection_id}": lambda: {"collection_id": place.collection()},
            "POST /tenants/{slug}/ingestion/jobs/{job_id}/cancel": lambda: {"job_id": place.job()},
            "POST /tenants/{slug}/ingestion/jobs/{job_id}/retry": lambda: {"job_id": place.failed_job()},
        }
        credentials = Credentials(library)
        place.unique = {
            "POST /tenants": {"slug": fresh_slug, "official_identifier": fresh_slug},
            "POST /tenants/{slug}/books": {"isbns": lambda: [fresh_isbn()]},
            "PATCH /tenants/{slug}/books/{book_id}": {"isbns": lambda: [fresh_isbn()]},
            "POST /tenants/{slug}/books/{book_id}/copies": {"barcode": fresh_slug},
            "PATCH /tenants/{slug}/copies/{copy_id}": {"barcode": fresh_slug},
            "POST /tenants/{slug}/loans": {
                "reader_id": place.user,
                "barcode": lambda: place.barcode_of(place.copy()),
                "copy_id": place.copy,
                "book_id": lambda: place.book_of(place.copy()),
            },
            "POST /tenants/{slug}/holds": {"reader_id": place.user, "book_id": lambda: place.book(fresh_isbn())},
            "POST /tenants/{slug}/users": {"email": fresh_email, "username": fresh_slug, "password": lambda: PASSWORD},
            "PATCH /tenants/{slug}/users/{user_id}": {
                "email": fresh_email,
                "username": fresh_slug,
                "password": lambda: PASSWORD,
            },
            # What signs somebody in can't be drawn.
            "POST /tenants/{slug}/auth/login": {"email": credentials.email, "password": lambda: PASSWORD},
            "POST /tenants/{slug}/auth/refresh": {"refresh_token": credentials.refresh_token},
            "POST /tenants/{slug}/auth/magic-links/redeem": {"token": credentials.magic_token},
            "POST /tenants/{slug}/auth/join": {"join_code": credentials.join_code},
        }
        return place

    def is_all_here(self, values: Iterable[str]) -> bool:
        """True where each of a path's values names something of the fuzzed tenant."""
        strangers = {NOBODYS, "no-id", *self.theirs.values()}
        known = {self.library.slug, self.own_account, *itertools.chain(*self.ids.values())} - strangers
        return all(value in known for value in values)

    def is_needed(self, values: Iterable[str]) -> bool:
        """True where they name whose credential asks."""
        return self.own_account in values or self.library.slug in values

    def things(self) -> dict[str, str]:
        """One more of each kind."""
        isbn = fresh_isbn()
        book = self.book(isbn)
        made_of = self.library.patch(f"/books/{book}", {"subtitle": "Revised"})
        assert made_of.status_code == 200, made_of.text
        [author] = self.library.get("/authors", query_string={"limit": 1}).json["items"]
        return {
            **self.account_and_key(),
            "user_id": self.user(),
            "reader_id": self.user(),
            "guardian_id": self.user("guardian"),
            "group_id": self.group(),
            "collection_id": self.collection(isbn),
            "copy_id": (copy := self.copy()),
            "barcode": self.barcode_of(copy),
            "loan_id": self.loan(),
            "hold_id": self.hold(),
            "book_id": book,
            "author_id": author["id"],
            "job_id": self.job(),
            "isbn": isbn,
        }

    def book(self, isbn: str) -> str:
        """One more book."""
        body = {"title": "Dune", "authors": [{"name": "Frank Herbert"}], "isbns": [isbn], "cover_id": 12}
        return made(self.library.post("/books", body))

    def job(self) -> str:
        """One more job."""
        return made(self.library.post("/ingestion/jobs", {"query": "subject:Generated"}))

    def failed_job(self) -> str:
        """One more job that broke off before it found anything."""
        job = self.job()
        with self.library.app.app_context(), as_tenant(self.library.id), acting_as(SYSTEM), transaction():
            jobs.end_job(
                jobs.existing_job(UUID(job), lock=True), JobStatus.FAILED, error_code="interrupted", message="…"
            )
        return job

    def user(self, kind: str = "reader") -> str:
        """One more person."""
        return made(self.library.post("/users", {"type": kind, "name": "Somebody"}, role="admin"))

    def group(self) -> str:
        """One more group."""
        return made(self.library.post("/groups", {"name": "Class 3b"}, role="admin"))

    def copy(self) -> str:
        """One more copy, on the shelf."""
        return made(self.library.post(f"/books/{self.book(fresh_isbn())}/copies", {"barcode": fresh_slug()}))

    def barcode_of(self, copy_id: str) -> str:
        """What a copy bears."""
        return str(self.library.get(f"/copies/{copy_id}").json["barcode"])

    def book_of(self, copy_id: str) -> str:
        """What a copy is of."""
        return str(self.library.get(f"/copies/{copy_id}").json["book_id"])

    def loan(self) -> str:
        """One more loan, which lasts."""
        return made(self.library.post("/loans", {"reader_id": self.user(), "copy_id": self.copy()}))

    def hold(self) -> str:
        """One more who waits."""
        return made(self.library.post("/holds", {"reader_id": self.user(), "book_id": self.book(fresh_isbn())}))

    def collection(self, *isbns: str) -> str:
        """One more collection, with these in it."""
        collection = made(self.library.post("/collections", {"name": "Main branch"}))
        body = {"items": [{"isbn": isbn} for isbn in isbns]}
        held = self.library.call("PUT", f"/collections/{collection}/items", json=body)
        assert held.status_code == 200, held.text
        return collection

    def account(self) -> str:
        """One more service account."""
        return made(self.library.post("/service-accounts", {"name": "Koha", "role": "lms"}, role="admin"))

    def account_and_key(self) -> dict[str, str]:
        """One more service account with a key."""
        account = self.account()
        return {
            "account_id": account,
            "key_id": made(self.library.post(f"/service-accounts/{account}/keys", {}, role="admin")),
        }

    def spare_tenant(self) -> dict[str, str]:
        """One more tenant."""
        slug = fresh_slug()
        answer = self.library.app.test_client().post(
            "/api/v1/tenants",
            json={"name": "Spare", "slug": slug},
            headers={"Authorization": f"Bearer {self.platform.key('platform_admin')}"},
        )
        assert answer.status_code == 201, answer.text
        return {"slug": slug}
