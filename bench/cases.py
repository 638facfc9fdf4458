"""The cases: a tenant full of books, and the addresses that each case asks in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import create_engine, text

from app import create_app
from app.auth import service as auth
from app.catalog import service as catalog
from app.core.cache import Generation, touch
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.tenants import service as tenants
from bench import dataset
from deploy.local.engines import Engines

_BATCH = 500
_OTHER_BOOKS = 2_000
SLUG = "bench"
BASE = f"/api/v1/tenants/{SLUG}"
# Of each there are ten pages and more in the table.
PRODUCTS = 2_000
_STOCK_PAGES = 12_000
_STOCK = """
INSERT INTO inventory_updates (tenant_id, id, product_id, "timestamp", quantity)
SELECT :tenant, gen_random_uuid(), 'SKU-' || lpad((n::bigint * 7919 % :products)::text, 6, '0'),
    date_trunc('month', now()) - interval '10 months' + n * interval '300 days' / :updates, n % 1000
FROM generate_series(1, :updates) AS n
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; `prepare` runs before each of its runs."""

    name: str
    paths: Sequence[str]
    wanted: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], Mapping[str, str] | None] | None = None
    expected_status: int = 200
    # The floor that all others are told as a ratio to.
    is_floor: bool = False
    # Asked of the same server, without being it.
    on_floor: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """The cases, their tenant, and the key they use; another one writes stock."""

    cases: list[Case]
    tenant_id: UUID
    key: str
    stock_key: str


def prepare(running: Engines, *, books: int, updates: int) -> Prepared:
    """Fill two tenants and work out what to ask."""
    app = create_app()
    with app.app_context(), acting_as(SYSTEM):
        upgrade()
        _fill("elsewhere", _OTHER_BOOKS, first=10_000_000)
        tenant_id = _fill(SLUG, books, first=1)
        with tenant(tenant_id):
            account = auth.create_service_account(name="bench", role="librarian")
            key, _ = auth.create_key(account.id)
            stock_key, _ = auth.create_key(auth.create_service_account(name="stock", role="lms").id)
        db.session.remove()
    _fill_stock(running, tenant_id, updates=updates)
    _settle(running)
    found = _cases(app, tenant_id, key, books=books)
    return Prepared([*found, *_stock_cases(app, tenant_id, key)], tenant_id, key, stock_key)


def prepare_tenant(slug: str) -> str:
    """An empty tenant; gives a librarian's key."""
    app = create_app()
    with app.app_context(), acting_as(SYSTEM):
        tenant_id = tenants.create_tenant(slug=slug, name=slug.title(), kind="library").id
        with tenant(tenant_id):
            key, _ = auth.create_key(auth.create_service_account(name="bench", role="librarian").id)
        db.session.remove()
    return key


def _fill(slug: str, books: int, *, first: int) -> UUID:
    tenant_id: UUID = tenants.create_tenant(slug=slug, name=slug.title(), kind="library").id
    started, works = time.monotonic(), dataset.works(books, first=first)
    with tenant(tenant_id):
        for batch in _batches(works, _BATCH):
            catalog.record_works(batch)
            db.session.expunge_all()
    seconds = time.monotonic() - started
    print(f"{slug}: {books:,} books recorded in {seconds:.0f} s, {books / seconds:,.0f} a second.", flush=True)
    return tenant_id


def _settle(running: Engines) -> None:
    """Let PostgreSQL do now what autovacuum would do in the middle of a run."""
    engine = create_engine(running.database_superuser_url or running.database_owner_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def _fill_stock(running: Engines, tenant_id: UUID, *, updates: int) -> None:
    engine = create_engine(running.database_superuser_url or running.database_owner_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": str(tenant_id)})
        connection.execute(text(_STOCK), {"tenant": str(tenant_id), "products": PRODUCTS, "updates": updates})
    engine.dispose()
    print(f"{updates:,} updates of stock written.", flush=True)


def _cases(app: Flask, tenant_id: UUID, key: str, *, books: int) -> list[Case]:
    client, signed = app.test_client(), {"Authorization": f"Bearer {key}"}
    base = BASE

    def ask(path: str) -> Any:
        answer = client.get(base + path, headers=signed)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        return answer.json

    def forget_answers() -> None:
        with app.app_context(), tenant(tenant_id):
            touch(Generation.CATALOGUE)

    pages = _pages(ask, books=books)
    moments = [moment for _, moment in pages]
    first_page = f"{base}/books?limit=20"
    ids = [item["id"] for item in ask("/books?limit=500")["items"]]
    return [
        Case("floor", [f"/books/{tenant_id}?before={quote(moment)}" for moment in moments], is_floor=True),
        Case(
            "page of 20, uncached",
            [f"{first_page}&cursor={cursor}" for cursor, _ in pages],
            wanted="≤ 1.8 × floor",
            headers=signed,
            prepare=forget_answers,
        ),
        Case("page of 20, cached", [first_page], wanted="≤ 0.6 × floor", headers=signed),
        Case(
            "page of 20, 304",
            [first_page],
            wanted="≤ 0.45 × floor",
            headers=signed,
            # Other cases move the generation, and with it the ETag.
            prepare=lambda: {"If-None-Match": _etag(client, first_page, signed)},
            expected_status=304,
        ),
        Case(
            "search, words as they are",
            [f"{base}/books/search?limit=20&q={quote(q)}" for q in _queries(typo=False)],
            wanted="p50 ≤ 5 ms",
            headers=signed,
            prepare=forget_answers,
        ),
        Case(
            "search, one typo",
            [f"{base}/books/search?limit=20&q={quote(q)}" for q in _queries(typo=True)],
            wanted="p50 ≤ 5 ms",
            headers=signed,
            prepare=forget_answers,
        ),
        Case("book in detail", [f"{base}/books/{each}" for each in ids], wanted="< 5 ms", headers=signed),
        Case(
            "version diff",
            [f"{base}/books/{each}/versions/1/diff/2" for each in _edited(app, tenant_id, ids[:100])],
            wanted="< 5 ms",
            headers=signed,
        ),
        Case("live", ["/health/live"]),
    ]


def _stock_cases(app: Flask, tenant_id: UUID, key: str) -> list[Case]:
    client, signed = app.test_client(), {"Authorization": f"Bearer {key}"}
    base = f"/api/v1/tenants/{SLUG}/inventory"

    def forget_answers() -> None:
        with app.app_context(), tenant(tenant_id):
            touch(Generation.INVENTORY)

    pages = _as_by_readers(list(islice(_stock_pages(client, base, signed), _STOCK_PAGES)))
    dice = random.Random(5)
    some = [dice.sample(range(PRODUCTS), 20) for _ in range(_STOCK_PAGES)]
    return [
        Case(
            "stock: its own floor",
            [f"/inventory/{tenant_id}?product_id={product}&after={quote(moment)}" for product, _, moment in pages],
            on_floor=True,
        ),
        Case(
            "stock: page of 50, uncached",
            [f"{base}?product_id={product}&cursor={cursor}" for product, cursor, _ in pages],
            wanted="≤ 1.8 × floor",
            headers=signed,
            prepare=forget_answers,
        ),
        Case(
            "stock: newest of 20 products, uncached",
            [f"{base}/latest?" + "&".join(f"product_id=SKU-{each:06d}" for each in chosen) for chosen in some],
            headers=signed,
            prepare=forget_answers,
        ),
    ]


def _stock_pages(client: FlaskClient, base: str, signed: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Product, cursor and moment of every page but the first of each."""
    for number in range(PRODUCTS):
        product, cursor = f"SKU-{number:06d}", ""
        while cursor is not None:
            address = f"{base}?product_id={product}" + (f"&cursor={cursor}" if cursor else "")
            found: Any = client.get(address, headers=dict(signed)).json
            cursor = found["next_cursor"]
            if cursor is not None:
                yield product, cursor, found["items"][-1]["timestamp"]


def _as_by_readers(pages: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The pages as a score of readers asks for them, each of whom reads one product after another."""
    by_product: dict[str, list[tuple[str, str, str]]] = {}
    for page in pages:
        by_product.setdefault(page[0], []).append(page)
    return [
        page
        for together in _batches(by_product.values(), 20)
        for turn in zip_longest(*together)
        for page in turn
        if page is not None
    ]


def _pages(ask: Callable[[str], Any], *, books: int) -> list[tuple[str, str]]:
    """Every page of the list, as its cursor and the moment its first row begins after."""
    pages: list[tuple[str, str]] = []
    path = "/books?limit=20"
    while len(pages) < min(books // 20 - 1, 5_000):
        page = ask(path)
        if page["next_cursor"] is None:
            break
        pages.append((page["next_cursor"], page["items"][-1]["created_at"]))
        path = f"/books?limit=20&cursor={page['next_cursor']}"
    return pages


def _etag(client: FlaskClient, path: str, signed: Mapping[str, str]) -> str:
    return client.get(path, headers=dict(signed)).headers["ETag"]


def _queries(*, typo: bool) -> list[str]:
    """Two words of different frequency each; with a typo, one letter of the second is another."""
    dice = random.Random(11)
    words = dataset.vocabulary()
    queries = []
    for _ in range(2_000):
        frequent, rarer = dice.choice(words[20:400]), dice.choice(words[20:4000])
        if typo:
            at = dice.randrange(1, len(rarer))
            rarer = rarer[:at] + "x" + rarer[at + 1 :]
        queries.append(f"{frequent} {rarer}")
    return queries


def _edited(app: Flask, tenant_id: UUID, ids: Iterable[str]) -> list[str]:
    """Give each of these books a second version."""
    with app.app_context(), tenant(tenant_id), acting_as(SYSTEM):
        edited = []
        for book_id in ids:
            catalog.update_book(UUID(book_id), {"title": "Another title", "page_count": 123})
            edited.append(book_id)
        db.session.remove()
    return edited


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
