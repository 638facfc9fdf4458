"""The extensions, unbound; `create_app` binds them to its settings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any

from celery import Celery, Task
from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_migrate import Migrate
from flask_smorest import Api
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from sqlalchemy import CheckConstraint, DateTime, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, registry


class Model(DeclarativeBase):
    """The base of every table; named constraints, so that migrations and services can speak of them.

    `db.Model` is the same with Flask-SQLAlchemy's own additions, which nothing here uses and type checkers do not see.
    """

    registry = registry(
        metadata=MetaData(
            naming_convention={
                "ix": "ix_%(table_name)s_%(column_0_N_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "fk": "fk_%(table_name)s_%(column_0_N_name)s",
                "pk": "pk_%(table_name)s",
            }
        ),
        type_annotation_map={str: Text(), datetime: DateTime(timezone=True)},
    )


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """The constraint that a column holds one of these values, in the order in which they are written down."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class PatientRedis(Redis):
    """A client that remembers for a moment that Redis is away, so that requests do not queue up behind it.

    After the pause one caller tries; the others go on without Redis until that one has had an answer.
    """

    PAUSE_SECONDS = 1.0
    away_until = 0.0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """The answer to a command.

        Raises:
            ConnectionError: Redis is away, or was a moment ago.
            TimeoutError: it does not answer in time.
        """
        with self.asking():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py has no types here

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask within the block, unless Redis was away a moment ago; note whether it answers."""
        if self.away_until:
            if time.monotonic() < self.away_until:
                raise RedisConnectionError("Redis was away a moment ago.")
            self.away_until = time.monotonic() + self.PAUSE_SECONDS
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self.away_until = time.monotonic() + self.PAUSE_SECONDS
            raise
        self.away_until = 0.0


class RedisExtension:
    """One pooled Redis client an app.

    A command waits a quarter of a second at most: Redis is asked within requests, and each caller knows what to do
    when it is away.
    """

    TIMEOUT_SECONDS = 0.25

    def init_app(self, app: Flask, url: str) -> None:
        """Open the pool for `app`; nothing is sent before the first command."""
        app.extensions["redis"] = PatientRedis.from_url(
            url,
            socket_timeout=self.TIMEOUT_SECONDS,
            socket_connect_timeout=self.TIMEOUT_SECONDS,
            # A connection that broke is opened anew once; who did not answer in time is not asked again.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            health_check_interval=0,
        )

    @property
    def client(self) -> PatientRedis:
        """The client of the current app; answers are bytes."""
        client: PatientRedis = current_app.extensions["redis"]
        return client


db = SQLAlchemy(model_class=Model, session_options={"expire_on_commit": False})
migrate = Migrate()
api = Api()
redis = RedisExtension()
# Storage and strategy come with the app's settings; `core/limits.py` says how its limits are asked.
limiter = Limiter(key_func=get_remote_address)
celery: Celery = Celery("library", task_cls=Task)
