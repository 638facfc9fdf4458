"""Making and unmaking the demo library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from app.auth import queries as auth_queries
from app.auth import service as auth
from app.catalog import queries as catalog_queries
from app.catalog import service as catalog
from app.circulation import service as circulation
from app.core.clock import utc_now
from app.core.database import transaction
from app.core.security import Role
from app.core.tenancy import tenant
from app.holdings import queries as holdings_queries
from app.holdings import service as holdings
from app.inventory import service as inventory
from app.members import queries as people
from app.members import service as members
from app.openlibrary import mirror
from app.settings import current_settings
from app.tenants import queries as tenant_queries
from app.tenants import service as tenants
from app.tenants.models import PLATFORM_ID

SLUG = "demo"
# Of each work: who has every edition of a classic?
_EDITIONS_HELD = 2
RECORDS = Path(__file__).parent / "records"
# Enough for anybody who tries things by hand or runs a collection of requests over and over, as the platform too.
LIMITS = {"api_requests_per_minute": 6000, "ingestion_jobs_per_hour": 1000}
ACCOUNTS = {"librarian": Role.LIBRARIAN, "lms": Role.LMS, "read_only": Role.READ_ONLY}
# Of everybody in the demo library, which exists in development only.
PASSWORD = "open the demo library"  # noqa: S105 - everybody may know it
PEOPLE: Final[dict[str, dict[str, Any]]] = {
    "admin@demo.example.org": {"type": "staff", "role": "admin", "name": "Ada Admin"},
    "librarian@demo.example.org": {"type": "staff", "role": "librarian", "name": "Lin Librarian"},
    "educator@demo.example.org": {"type": "staff", "role": "educator", "name": "Edi Educator"},
    "reader@demo.example.org": {
        "type": "reader",
        "name": "Rea Reader",
        "reading_ability": "transitional",
        "min_age": 8,
        "max_age": 11,
    },
    "student@demo.example.org": {"type": "student", "name": "Stu S.", "username": "stu"},
    "guardian@demo.example.org": {"type": "guardian", "name": "Gus Guardian"},
}
# Those that come first by their titles.
_BOOKS_WITH_COPIES, _COPIES_OF_EACH = 10, 2
# The educator's, with the student in it.
CLASS = "Demo class"


# Products, how many there are when they have come in, and how many go in a day.
STOCK: Final = (("SKU-HOBBIT", 40, 6), ("SKU-DUNE", 25, 4), ("SKU-TOTE-BAG", 60, 11))


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """What the demo library is entered with, shown once."""

    platform: str
    by_account: dict[str, str]


def load_demo() -> int:
    """Make the demo library where there is none, and fill it; returns how many books were recorded."""
    works = [work for path in sorted(RECORDS.glob("*.jsonl")) for work in mirror.load_shipped(path)]
    tenant_id = _demo_id()
    is_new = tenant_id is None
    if tenant_id is None:
        made = tenants.create_tenant(slug=SLUG, name="Demo Library", kind="library")
        tenant_id = made.id
        for each in (tenant_id, PLATFORM_ID):
            with tenant(each):
                tenants.update_tenant(each, {"limits": dict(LIMITS)})
    with tenant(tenant_id):
        if is_new:
            inventory.record_updates([_stock()])
        recorded = catalog.record_works(works)
        _put_on_shelves(isbn for work in works for isbn in work.isbns[:_EDITIONS_HELD])
    return len(recorded)


def _put_on_shelves(isbns: Iterable[str]) -> None:
    """Let the library hold these in a collection, some of them lent, unless it has any collection."""
    if holdings_queries.COLLECTIONS.page(limit=1)["items"]:
        return
    collection_id = holdings.create_collection(name="Main branch", description="Everything on the ground floor")
    # As good as drawn, and the same in every demo library.
    drawn = ((isbn, int(isbn[-3]), int(isbn[-1])) for isbn in dict.fromkeys(isbns))
    rows = [
        {"isbn": isbn, "copies_total": 1 + total % 3, "copies_available": 1 + total % 3 - lent % 2}
        for isbn, total, lent in drawn
    ]
    holdings.replace_items(collection_id, rows)


def _stock() -> list[tuple[str, str, int]]:
    """Two weeks of a shop's stock, day by day; what is sold comes in again every fifth day."""
    days = [
        utc_now().replace(hour=6, minute=0, second=0, microsecond=0) - timedelta(days=ago) for ago in range(14, 0, -1)
    ]
    return [
        (product_id, day.isoformat(), full - pace * (number % 5))
        for number, day in enumerate(days)
        for product_id, full, pace in STOCK
    ]


def invite_people() -> None:
    """Give everybody who is not there yet an account in the demo library, and bring together who belongs together."""
    with tenant(_existing_demo_id()):
        ids = {email.partition("@")[0]: _invited(email, **fields) for email, fields in PEOPLE.items()}
        members.link_reader(ids["guardian"], ids["reader"])
        members.add_member(_class_of(ids["educator"]), ids["student"])
        _lend_something(borrower=ids["reader"], waiting=ids["student"])


def _lend_something(*, borrower: UUID, waiting: UUID) -> None:
    """Register copies of some books, lend one and let somebody wait for it, unless any is registered already."""
    books = catalog_queries.BOOKS.page(limit=_BOOKS_WITH_COPIES, sort="title")["items"]
    if not books or holdings_queries.COPIES.page(limit=1)["items"]:
        return
    for number, book in enumerate(books):
        # The first has one copy, so that there is something to wait for.
        for copy in range(1 if number == 0 else _COPIES_OF_EACH):
            holdings.create_copy(UUID(book["id"]), barcode=f"DEMO-{number + 1:03}-{copy + 1}", location="Ground floor")
    wanted = UUID(books[0]["id"])
    circulation.check_out(reader_id=borrower, by="book_id", wanted=wanted)
    circulation.place_hold(book_id=wanted, reader_id=waiting)


def _invited(email: str, **fields: Any) -> UUID:
    person = people.user_by_email(email)
    if person is None:
        password = members.new_password(PASSWORD, personal=[email])
        person = members.create_user(**fields, email=email, password=password)
    return person.id


def _class_of(educator_id: UUID) -> UUID:
    owned = people.visible_groups(owner_id=educator_id, limit=100)["items"]
    found = next((UUID(each["id"]) for each in owned if each["name"] == CLASS), None)
    return found or members.create_group(name=CLASS, owner_id=educator_id).id


def make_keys() -> DemoKeys:
    """New keys for the demo library and for its platform; those made for it before stop working."""
    tenant_id = _existing_demo_id()
    with tenant(PLATFORM_ID), transaction():
        platform = _key("Demo platform administrator", Role.PLATFORM_ADMIN)
    with tenant(tenant_id), transaction():
        keys = {name: _key(f"Demo {name}", role) for name, role in ACCOUNTS.items()}
    return DemoKeys(platform, keys)


def remove_demo() -> None:
    """Take the demo library away with all it holds, if there is one."""
    tenant_id = _demo_id()
    if tenant_id is not None:
        tenants.purge_tenant(tenant_id)


def is_production() -> bool:
    """True where there must be no demo library."""
    return current_settings().is_production


def is_loaded() -> bool:
    """True when there is a demo library."""
    return _demo_id() is not None


def _demo_id() -> UUID | None:
    found = tenant_queries.tenant_summary(SLUG)
    return found.id if found else None


def _existing_demo_id() -> UUID:
    tenant_id = _demo_id()
    if tenant_id is None:
        raise LookupError("There is no demo library.")
    return tenant_id


def _key(name: str, role: Role) -> str:
    for old in auth_queries.service_accounts_named(name):
        auth.delete_service_account(old.id)
    account = auth.create_service_account(name=name, role=role.value)
    key, _ = auth.create_key(account.id)
    return key
