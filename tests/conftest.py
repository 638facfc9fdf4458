"""Fixtures of all tests: real PostgreSQL and Redis, one migrated database, an app, tenants with keys.

Every test starts on empty tables: what it wrote is deleted afterwards. Where DATABASE_URL and REDIS_URL are set, those
servers are used, else servers of the tests' own. Nobody's data is at risk: on a given PostgreSQL the tests make a
database of their own and drop it at the end, and a given Redis database must be empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from redis import Redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from app import create_app
from app.auth import service as auth
from app.auth.models import SignInMethod
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant as as_tenant
from app.extensions import db, redis
from app.members import service as members
from app.members.models import UserType
from app.settings import Settings
from app.tenants import service as tenants
from app.tenants.models import PLATFORM_ID
from deploy.local import engines
from deploy.local.engines import Engines
from tests.documented import DocumentedClient
from tests.naming import unnamed

TEST_ENVIRONMENT = {
    "APP_ENV": "test",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "OPEN_LIBRARY_CONTACT": "https://library.example.org",
    # No test may reach the real site: port 9 (discard) refuses at once.
    "OPEN_LIBRARY_URL": "http://127.0.0.1:9",
    "OPEN_LIBRARY_COVERS_URL": "http://127.0.0.1:9",
    "JOB_LEASE_SECONDS": "2",
    "API_RATE_LIMIT_REQUESTS": "10000",
    "AUTH_RATE_LIMIT": "10000/minute",
    "SESSION_RATE_LIMIT": "10000/minute",
    "CATALOGUE_RATE_LIMIT": "10000/hour",
    "INGESTION_RATE_LIMIT_REQUESTS": "1000",
    "INVENTORY_READ_RATE_LIMIT": "10000/minute",
    "INVENTORY_WRITE_RATE_LIMIT": "10000/minute",
}


@pytest.fixture(autouse=True)
def as_the_system() -> Iterator[None]:
    """What a test does by itself is the system's doing; what it asks by HTTP is not (`DocumentedClient`)."""
    with acting_as(SYSTEM):
        yield


@pytest.fixture(autouse=True)
def every_statement_names_the_tenant() -> Iterator[None]:
    """Look at what the application asks PostgreSQL for."""
    unnamed.clear()
    yield
    assert not unnamed, f"Name the tenant in these, by own(…): {unnamed}"


@pytest.fixture(scope="session")
def running() -> Iterator[Engines]:
    """PostgreSQL and Redis."""
    with engines.start_temporary(given=os.environ) as started:
        yield started


@pytest.fixture(scope="session")
def environment(running: Engines) -> Iterator[dict[str, str]]:
    """The settings that the tests' app is made of."""
    given = {**TEST_ENVIRONMENT, **running.environment()}
    if running.redis is None and Redis.from_url(given["REDIS_URL"]).dbsize():
        pytest.exit("REDIS_URL names a database that is not empty. The tests would empty it: name another one.", 2)
    if running.postgres is not None:
        yield given
        return
    with database_of_its_own(given, f"library_test_{os.getpid()}") as own:
        yield own


@contextmanager
def database_of_its_own(environment: dict[str, str], name: str) -> Iterator[dict[str, str]]:
    """The same settings over a new, empty database beside the given one; it is dropped at the end."""
    settings = Settings.from_environment(environment)
    server = create_engine(settings.database_owner_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    urls = {"DATABASE_URL": settings.database_url, "DATABASE_OWNER_URL": settings.database_owner_url}
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    try:
        yield {
            **environment,
            **{
                variable: make_url(url).set(database=name).render_as_string(hide_password=False)
                for variable, url in urls.items()
            },
        }
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def migrated(environment: dict[str, str]) -> dict[str, str]:
    """The same, with the schema in place."""
    with create_app(Settings.from_environment(environment)).app_context():
        upgrade()
    return environment


@pytest.fixture(scope="module")
def servers() -> Iterator[Engines]:
    """Servers of this module's own, because they are stopped."""
    with engines.start_temporary() as started:
        yield started


@pytest.fixture(scope="module")
def prepared(servers: Engines) -> dict[str, str]:
    """Their environment, with the schema in place."""
    environment = {**TEST_ENVIRONMENT, **servers.environment()}
    with create_app(Settings.from_environment(environment)).app_context():
        upgrade()
    return environment


@pytest.fixture(scope="session")
def owner(migrated: dict[str, str]) -> Iterator[Engine]:
    """The database as its owner, who may bypass row-level security: for looking at what is really stored."""
    engine = create_engine(Settings.from_environment(migrated).database_owner_url)
    yield engine
    engine.dispose()


@pytest.fixture
def make_app(migrated: dict[str, str], owner: Engine) -> Iterator[Callable[..., Flask]]:
    """Makes apps with settings of their own; tables and Redis are emptied when the test is over."""
    made: list[Flask] = []

    def make(**changes: str) -> Flask:
        app = create_app(Settings.from_environment({**migrated, **changes}))
        app.test_client_class = DocumentedClient
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.session.remove()
            for engine in db.engines.values():
                engine.dispose()
    if made:
        empty(owner)
        with made[0].app_context():
            # A test may have left it thinking that Redis is away.
            redis.client.away_until = 0.0
            redis.client.flushdb()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The app."""
    return make_app()


@pytest.fixture
def in_app(app: Flask) -> Iterator[Flask]:
    """The app, with its context entered: for tests that call services."""
    with app.app_context():
        yield app
        db.session.remove()


def empty(engine: Engine) -> None:
    """Delete every row but the schema's version and the reserved tenant."""
    with engine.begin() as connection:
        tables = connection.scalars(
            text(
                "SELECT format('%I', c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
                " AND c.relname NOT IN ('alembic_version', 'tenants')"
            )
        ).all()
        filled = [table for table in tables if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})"))]
        if filled:
            connection.execute(text(f"TRUNCATE {', '.join(filled)} CASCADE"))
        connection.execute(text("DELETE FROM tenants WHERE slug <> 'platform'"))


if TYPE_CHECKING:

    class Answer(TestResponse):
        """An answer whose JSON is whatever the test expects it to be."""

        json: Any

else:
    Answer = TestResponse


@dataclass(frozen=True)
class Person:
    """Somebody of a tenant who is signed in."""

    id: UUID
    token: str = field(repr=False)


@dataclass
class Library:
    """A tenant with a client that signs its calls with the key of a role, or as a person."""

    app: Flask
    slug: str
    id: UUID
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, role: str) -> str:
        """A key of this role, made when first asked for."""
        if role not in self.keys:
            self.keys[role] = make_key(self.app, self.id, role)
        return self.keys[role]

    def person(self, kind: str = "reader", **fields: Any) -> Person:
        """Somebody new, of the type `kind` or staff of the role `kind`, who has just signed in."""
        given = {"type": kind} if kind in list(UserType) else {"type": UserType.STAFF, "role": kind}
        with self.app.app_context(), as_tenant(self.id):
            password = members.new_password(fields.pop("password", None), personal=[])
            person = members.create_user(**{"name": "Somebody", **given, **fields}, password=password)
            token = auth.begin_session(person, method=SignInMethod.COMMAND).access_token
            db.session.remove()
        return Person(person.id, token)

    def call(
        self, method: str, path: str, *, role: str | None = "librarian", token: str | None = None, **options: Any
    ) -> Answer:
        """Call `path` below the tenant's address, with a person's `token` if given; `role` None is a stranger."""
        headers = {**(options.pop("headers", None) or {})}
        if token is not None or role is not None:
            headers.setdefault("Authorization", f"Bearer {token or self.key(str(role))}")
        client: FlaskClient = self.app.test_client()
        answer = client.open(f"/api/v1/tenants/{self.slug}{path}", method=method, headers=headers, **options)
        return cast("Answer", answer)

    def get(self, path: str, **options: Any) -> Answer:
        """GET `path`."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """POST `body` as JSON."""
        return self.call("POST", path, **({"json": body} | options if body is not None else options))

    def patch(self, path: str, body: Any, **options: Any) -> Answer:
        """PATCH with `body` as JSON."""
        return self.call("PATCH", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """DELETE `path`."""
        return self.call("DELETE", path, **options)


def make_key(app: Flask, tenant_id: UUID, role: str) -> str:
    """A new key of a new service account."""
    with app.app_context(), as_tenant(tenant_id):
        account = auth.create_service_account(name=f"{role} in tests", role=role)
        key, _ = auth.create_key(account.id)
        db.session.remove()
    return key


@pytest.fixture
def make_library(app: Flask) -> Callable[..., Library]:
    """Makes tenants."""

    def make(slug: str, **fields: Any) -> Library:
        with app.app_context():
            tenant = tenants.create_tenant(slug=slug, name=slug.title(), kind="library", **fields)
            db.session.remove()
        return Library(app, slug, tenant.id)

    return make


@pytest.fixture
def library(make_library: Callable[..., Library]) -> Library:
    """A tenant."""
    return make_library("riverside")


@pytest.fixture
def other_library(make_library: Callable[..., Library]) -> Library:
    """Another tenant, which must stay apart."""
    return make_library("hillside")


@pytest.fixture
def platform(app: Flask) -> Library:
    """Those who run the service; `call` takes paths below the tenant `platform`."""
    return Library(app, "platform", PLATFORM_ID)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client without credentials."""
    return app.test_client()
