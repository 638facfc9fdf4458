"""PostgreSQL and Redis for development, tests and benchmarks: real servers, started here or found in the environment.

    with engines.start(Path(".data"), durable=True) as running:      # `make run`: kept from day to day
        ...running.database_url, running.redis_url...

    with engines.start_temporary() as running:                       # tests: fast, thrown away at the end
        running.stop_redis(); running.start_redis(); running.restart_postgres()

    running = engines.start_temporary(given=os.environ)              # whichever of DATABASE_URL, REDIS_URL is set wins

The addresses stay the same over every stop and start. Roles: `library_app` (LOGIN only, owns nothing, subject to
row-level security), `library_owner` (owns the database `library`; CREATEROLE, CREATEDB, BYPASSRLS, no superuser) and
`postgres` (superuser). Grants are the migrations' work. Call from the main thread: the servers die with the thread
that started them. Standard library only.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.places import data_folder, shared_folder, socket_folder, socket_path
from deploy.local.postgres_server import APPLICATION, OWNER, SUPERUSER, PostgresServer
from deploy.local.processes import Account, LocalStackError, can_reach, locked, server_account
from deploy.local.redis_server import RedisServer

TEMPORARY_PREFIX = "library-temporary-"


@dataclass(frozen=True)
class Engines:
    """Addresses of a PostgreSQL and a Redis, and the means to stop and start them if they are ours."""

    database_url: str
    database_owner_url: str
    redis_url: str
    database_superuser_url: str | None = None
    postgres: PostgresServer | None = None
    redis: RedisServer | None = None
    _on_stop: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False, compare=False)

    @property
    def can_be_stopped(self) -> bool:
        """Whether these servers are ours to stop and start."""
        return self.postgres is not None and self.redis is not None

    @property
    def data_folder(self) -> Path | None:
        """The folder that holds PostgreSQL's data, if it is ours: not the wanted one where that cannot be reached."""
        return self.postgres.data.parent if self.postgres else None

    def environment(self) -> dict[str, str]:
        """Return the settings that make the application use these engines."""
        return {
            "DATABASE_URL": self.database_url,
            "DATABASE_OWNER_URL": self.database_owner_url,
            "REDIS_URL": self.redis_url,
        }

    def stop_redis(self) -> None:
        """Stop Redis. It comes back with its data only if it was told to keep them."""
        self._own_redis().stop()

    def start_redis(self) -> None:
        """Start Redis again at the same address."""
        self._own_redis().start()

    def stop_postgres(self) -> None:
        """Stop PostgreSQL, ending every session."""
        self._own_postgres().stop()

    def start_postgres(self) -> None:
        """Start PostgreSQL again at the same address."""
        self._own_postgres().start()

    def restart_postgres(self) -> None:
        """Stop and start PostgreSQL: every connection breaks, nothing committed is lost."""
        self.stop_postgres()
        self.start_postgres()

    def stop(self) -> None:
        """Stop both servers and remove what was temporary; does nothing to servers that are not ours."""
        self._on_stop.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _own_postgres(self) -> PostgresServer:
        if self.postgres is None:
            raise LocalStackError("This PostgreSQL came from DATABASE_URL and is not ours to stop or start.")
        return self.postgres

    def _own_redis(self) -> RedisServer:
        if self.redis is None:
            raise LocalStackError("This Redis came from REDIS_URL and is not ours to stop or start.")
        return self.redis


def external() -> Engines | None:
    """Return the engines of DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL; None if the first or last is not set."""
    if not os.environ.get("DATABASE_URL") or not os.environ.get("REDIS_URL"):
        return None
    return _engines(None, None, given=os.environ, on_stop=contextlib.ExitStack())


def start(
    folder: Path,
    *,
    durable: bool,
    given: Mapping[str, str] | None = None,
    redis_keeps_data: bool | None = None,
    postgres_settings: Mapping[str, str] | None = None,
) -> Engines:
    """Start both servers over the data in `folder`, making what is missing.

    Without `durable` PostgreSQL does not wait for the disk and Redis (unless `redis_keeps_data`) keeps nothing over
    its own end. A server whose address `given` holds (DATABASE_URL, REDIS_URL) is used and not started.
    `postgres_settings` are given to the server as they are.

    Raises:
        LocalStackError: in one line what is missing, or that the folder is in use.
    """
    given = given or {}
    account = server_account()
    with contextlib.ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder / "lock", message=f"{folder} is in use: the stack already runs from there."))
        data = data_folder(folder, account=account)
        sockets = socket_folder(data, account=account)
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        postgres = redis = None
        if not given.get("DATABASE_URL"):
            postgres = PostgresServer(
                data=data / "postgres",
                sockets=sockets,
                log=folder / "postgres.log",
                account=account,
                durable=durable,
                settings=postgres_settings or {},
            )
            stack.callback(postgres.stop)
            postgres.start()
        if not given.get("REDIS_URL"):
            redis = RedisServer(
                data=data / "redis",
                sockets=sockets,
                log=folder / "redis.log",
                account=account,
                keeps_data=durable if redis_keeps_data is None else redis_keeps_data,
            )
            stack.callback(redis.stop)
            redis.start()
        return _engines(postgres, redis, given=given, on_stop=stack.pop_all())


def start_temporary(
    *,
    durable: bool = False,
    given: Mapping[str, str] | None = None,
    redis_keeps_data: bool | None = None,
    postgres_settings: Mapping[str, str] | None = None,
) -> Engines:
    """Start both servers over a folder of their own that vanishes when they are stopped; see `start`.

    Folders that killed processes left behind are removed here as well.

    Raises:
        LocalStackError: in one line what is missing.
    """
    parent = _temporary_parent(account=server_account())
    _remove_abandoned(parent)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{os.getpid()}-", dir=parent))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        running = start(
            folder,
            durable=durable,
            given=given,
            redis_keeps_data=redis_keeps_data,
            postgres_settings=postgres_settings,
        )
        stack.callback(running.stop)
        return replace(running, _on_stop=stack.pop_all())


def _engines(
    postgres: PostgresServer | None,
    redis: RedisServer | None,
    *,
    given: Mapping[str, str],
    on_stop: contextlib.ExitStack,
) -> Engines:
    database = postgres.url(APPLICATION) if postgres else given["DATABASE_URL"]
    return Engines(
        database_url=database,
        database_owner_url=postgres.url(OWNER) if postgres else given.get("DATABASE_OWNER_URL") or database,
        redis_url=redis.url if redis else given["REDIS_URL"],
        database_superuser_url=postgres.url(SUPERUSER) if postgres else None,
        postgres=postgres,
        redis=redis,
        _on_stop=on_stop,
    )


def _temporary_parent(*, account: Account) -> Path:
    parent = Path(tempfile.gettempdir())
    return parent if can_reach(parent, account=account) else shared_folder(account=account)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{TEMPORARY_PREFIX}*"):
        pid = int(folder.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0] or 0)
        if folder.stat().st_uid == os.geteuid() and not _exists(pid):
            shutil.rmtree(socket_path(folder.resolve(), account=server_account()), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
