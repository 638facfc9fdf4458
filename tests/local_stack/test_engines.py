"""PostgreSQL and Redis of our own: they start anywhere, keep what they should, and leave nothing behind."""

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from redis import Redis

from deploy.local import engines
from deploy.local.binaries import find_postgres, find_redis
from deploy.local.processes import Account, LocalStackError, server_account
from deploy.local.reset import remove
from tests.local_stack.processes import alive, family, wait_until

PROJECT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for data, and remove what lies elsewhere for it."""
    yield tmp_path / "data"
    remove(tmp_path / "data")


def answer(url: str, statement: str) -> object:
    """Run one statement and return the first column of the first row, if there is one."""
    with contextlib.closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def server_processes(running: engines.Engines) -> list[psutil.Process]:
    """Return all processes of both servers."""
    assert running.postgres is not None
    assert running.postgres.process is not None
    assert running.redis is not None
    assert running.redis.process is not None
    return family(running.postgres.process.pid) + family(running.redis.process.pid)


def test_stopping_leaves_no_process_and_no_file() -> None:
    with engines.start_temporary() as running:
        assert running.postgres is not None
        processes = server_processes(running)
        places = [running.postgres.data, running.postgres.sockets, running.postgres.log]
        assert all(place.exists() for place in places)

    assert alive(processes) == []
    assert not any(place.exists() for place in places)


def test_the_roles_own_no_more_than_they_should() -> None:
    with engines.start_temporary() as running:
        rights = "SELECT concat(rolsuper, rolbypassrls, rolcreaterole, rolcreatedb) FROM pg_roles WHERE rolname = user"

        assert answer(running.database_url, rights) == "ffff"
        assert answer(running.database_owner_url, rights) == "fttt"
        assert answer(running.database_url, "SELECT count(*) FROM pg_database WHERE datdba = user::regrole") == 0
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            answer(running.database_url, "CREATE TABLE mine ()")


def test_text_folds_case_and_time_is_utc() -> None:
    with engines.start_temporary() as running:
        assert answer(running.database_url, "SELECT lower('ÉÑ')") == "éñ"
        assert answer(running.database_url, "SHOW timezone") == "UTC"


def test_a_restart_keeps_addresses_and_data() -> None:
    with engines.start_temporary(redis_keeps_data=True) as running:
        answer(running.database_owner_url, "CREATE TABLE book AS SELECT 'Dune' AS title")
        Redis.from_url(running.redis_url).set("title", "Dune")

        running.restart_postgres()
        running.stop_redis()
        running.start_redis()

        assert answer(running.database_owner_url, "SELECT title FROM book") == "Dune"
        assert Redis.from_url(running.redis_url).get("title") == b"Dune"


def test_redis_forgets_unless_told_to_keep() -> None:
    with engines.start_temporary() as running:
        Redis.from_url(running.redis_url).set("title", "Dune")

        running.stop_redis()
        running.start_redis()

        assert Redis.from_url(running.redis_url).get("title") is None


def test_the_next_day_finds_the_data(folder: Path) -> None:
    with engines.start(folder, durable=True) as first:
        answer(first.database_owner_url, "CREATE TABLE book AS SELECT 'Dune' AS title")
        Redis.from_url(first.redis_url).set("title", "Dune")

    with engines.start(folder, durable=True) as second:
        assert answer(second.database_owner_url, "SELECT title FROM book") == "Dune"
        assert Redis.from_url(second.redis_url).get("title") == b"Dune"


def test_one_folder_serves_one_stack(folder: Path) -> None:
    with engines.start(folder, durable=False), pytest.raises(LocalStackError, match="is in use"):
        engines.start(folder, durable=False)


def test_a_killed_server_whose_pid_file_stayed_starts_again(folder: Path) -> None:
    with engines.start(folder, durable=True) as running:
        # Killed and not reaped they are zombies, whose numbers still answer to signal 0.
        assert running.postgres is not None
        assert running.postgres.process is not None
        assert running.redis is not None
        assert running.redis.process is not None
        os.kill(running.postgres.process.pid, signal.SIGKILL)
        os.kill(running.redis.process.pid, signal.SIGKILL)

        running.start_postgres()
        running.start_redis()

        assert answer(running.database_url, "SELECT 1") == 1
        assert Redis.from_url(running.redis_url).ping()


def test_a_folder_left_by_a_killed_process_serves_the_next(folder: Path) -> None:
    starter = _start_and_wait(folder)
    processes = family(starter.pid)
    assert len(processes) > 5

    starter.kill()
    starter.wait()

    with engines.start(folder, durable=True) as running:
        assert answer(running.database_url, "SELECT 1") == 1
    assert wait_until(lambda: alive(processes) == [], timeout_seconds=10), alive(processes)


def _start_and_wait(folder: Path) -> subprocess.Popen[str]:
    program = (
        "import pathlib, sys, time; from deploy.local import engines;"
        "running = engines.start(pathlib.Path(sys.argv[1]), durable=True); print('ready', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    starter = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "ready\n"
    starter.stdout.close()
    return starter


def test_a_path_longer_than_a_socket_may_be(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40) / ("deeper" * 30)

    with engines.start(folder, durable=False) as running:
        assert answer(running.database_url, "SELECT 1") == 1

    remove(folder)


def test_a_closed_folder_with_blanks_in_its_name(tmp_path: Path) -> None:
    closed = tmp_path / "my private things"
    closed.mkdir(mode=0o700)

    with engines.start(closed / "data", durable=False) as running:
        assert answer(running.database_url, "SELECT 1") == 1
        data = running.data_folder
    assert data is not None
    assert (data / "postgres").exists()
    remove(closed / "data")

    assert not data.exists()


def test_existing_data_decide_the_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = find_postgres(major=16, account=server_account())
    monkeypatch.setenv("PGBIN", str(older.folder))
    engines.start(folder, durable=False).stop()

    monkeypatch.delenv("PGBIN")
    with engines.start(folder, durable=False) as running:
        assert str(answer(running.database_url, "SHOW server_version")).startswith("16.")


def test_data_of_an_unknown_version_are_refused_in_one_line(folder: Path) -> None:
    with engines.start(folder, durable=False) as running:
        assert running.data_folder is not None
        version = running.data_folder / "postgres" / "PG_VERSION"
    version.write_text("9\n")

    with pytest.raises(LocalStackError, match=r"Found no PostgreSQL 9 \(the existing data need it\): .*install"):
        engines.start(folder, durable=False)


def test_given_addresses_are_used_and_not_started() -> None:
    given = {"DATABASE_URL": "postgresql://app@db/library", "DATABASE_OWNER_URL": "postgresql://owner@db/library"}

    with engines.start_temporary(given=given) as running:
        assert running.database_url == "postgresql://app@db/library"
        assert running.database_owner_url == "postgresql://owner@db/library"
        assert running.postgres is None
        assert Redis.from_url(running.redis_url).ping()
        assert not running.can_be_stopped
        with pytest.raises(LocalStackError, match="DATABASE_URL and is not ours"):
            running.stop_postgres()


def test_external_engines_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@db/library")
    monkeypatch.delenv("DATABASE_OWNER_URL", raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://cache")

    found = engines.external()

    assert found is not None
    assert (found.database_url, found.database_owner_url) == ("postgresql://app@db/library",) * 2
    assert found.redis_url == "redis://cache"
    monkeypatch.delenv("REDIS_URL")
    assert engines.external() is None


def test_a_machine_without_redis_is_told_what_to_install() -> None:
    # Without site-packages and PATH nothing is found, as on a machine that has nothing.
    program = """
from deploy.local.binaries import find_redis
from deploy.local.processes import Account
find_redis(account=Account(uid=None, gid=None))
"""

    answered = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=PROJECT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert answered.returncode != 0
    assert "Found no Redis 6.2 or newer: set REDIS_URL, or install it with" in answered.stderr.splitlines()[-1]


def test_an_abandoned_temporary_folder_is_removed() -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    abandoned = Path(tempfile.gettempdir()) / f"{engines.TEMPORARY_PREFIX}{ended.pid}-abandoned"
    abandoned.mkdir()

    engines.start_temporary().stop()

    assert not abandoned.exists()


def test_every_user_of_this_machine_can_start_the_engines() -> None:
    def start_and_ask() -> None:
        with engines.start_temporary() as running:
            assert answer(running.database_url, "SELECT 1") == 1
            assert Redis.from_url(running.redis_url).ping()
            owner = psutil.Process(server_processes(running)[0].pid).username()
        # PostgreSQL refuses root; anybody else is served by servers of their own.
        assert owner != "root"

    for account in accounts():
        assert as_account(account, start_and_ask) == 0


def accounts() -> list[Account]:
    """Return the present account, and an unprivileged one if we may become it."""
    present = Account(uid=None, gid=None)
    if os.geteuid() != 0:
        return [present]
    nobody = pwd.getpwnam("nobody")
    return [present, Account(uid=nobody.pw_uid, gid=nobody.pw_gid)]


def as_account(account: Account, action: Callable[[], None]) -> int:
    """Run `action` in a forked process of that account and return its exit status.

    Forked, and not started anew, because the interpreter may lie below a home that is closed to others; the servers'
    programs may as well, so those are named to it where it can reach them.
    """
    postgres, redis = find_postgres(major=None, account=account), find_redis(account=account)
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.alarm(30)
        if account.uid is not None and account.gid is not None:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        os.environ.update(PGBIN=str(postgres.folder), PATH=f"{redis.parent}:/usr/bin:/bin", HOME="/nonexistent")
        action()
    except BaseException as error:  # noqa: BLE001 - nothing may return into the test runner from here
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def test_resetting_removes_the_data_but_not_under_a_running_stack(folder: Path) -> None:
    with engines.start(folder, durable=False), pytest.raises(LocalStackError, match="in use"):
        remove(folder)
    assert folder.exists()

    remove(folder)

    assert not folder.exists()
