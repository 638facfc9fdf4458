"""The extensions, unbound; `create_app` binds them to its settings."""

from __future__ import annotations

from datetime import datetime

from celery import Celery, Task
from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_migrate import Migrate
from flask_smorest import Api
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import DateTime, MetaData, Text
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


class RedisExtension:
    """One pooled Redis client an app.

    A command waits a quarter of a second at most: Redis is asked within requests, and each caller knows what to do
    when it is away.
    """

    TIMEOUT_SECONDS = 0.25

    def init_app(self, app: Flask, url: str) -> None:
        """Open the pool for `app`; nothing is sent before the first command."""
        app.extensions["redis"] = Redis.from_url(
            url,
            socket_timeout=self.TIMEOUT_SECONDS,
            socket_connect_timeout=self.TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
            health_check_interval=0,
        )

    @property
    def client(self) -> Redis:
        """The client of the current app; answers are bytes."""
        client: Redis = current_app.extensions["redis"]
        return client


db = SQLAlchemy(model_class=Model, session_options={"expire_on_commit": False})
migrate = Migrate()
api = Api()
redis = RedisExtension()
# Storage and strategy come with the app's settings; `core/limits.py` says how its limits are asked.
limiter = Limiter(key_func=get_remote_address)
celery: Celery = Celery("library", task_cls=Task)
