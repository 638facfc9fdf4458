"""New keys for personal data, while the service runs."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.tenancy import tenant as as_tenant
from app.extensions import db
from app.members import service
from app.tenants import service as tenants
from tests.conftest import Library
from tests.local_stack.processes import wait_until

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
PASSWORD = "otters swim at dawn"


def key_ids(owner: Engine) -> dict[str, int]:
    """How many people are kept under each key."""
    with owner.connect() as connection:
        found = connection.execute(text("SELECT key_id, count(*) AS people FROM users GROUP BY 1")).all()
    return {row.key_id: row.people for row in found}


def rotate(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["secrets", "rotate"])
    return result.exit_code, result.output


@pytest.fixture
def old(make_app: Callable[..., Flask]) -> Library:
    """A tenant whose people are kept under the old key."""
    app = make_app(PII_KEYS=OLD)
    with app.app_context():
        made = tenants.create_tenant(slug="riverside", name="Riverside", kind="library")
        db.session.remove()
    library = Library(app, "riverside", made.id)
    library.person("reader", name="Anna Smith", email="anna@example.org", password=PASSWORD)
    library.person("student", name="Kim L.", username="kim-1", password=PASSWORD)
    library.person("admin", name="Ada")
    return library


@pytest.fixture
def at_keys(old: Library, make_app: Callable[..., Flask]) -> Callable[[str], Library]:
    """The same tenant by a process with these keys."""
    return lambda keys: Library(make_app(PII_KEYS=keys), old.slug, old.id)


def assert_all_is_found(library: Library) -> None:
    found = library.get("/users", query_string={"q": "anna@example.org"}, role="admin").json["items"]
    assert [person["name"] for person in found] == ["Anna Smith"]
    assert library.get("/users", query_string={"q": "smi"}, role="admin").json["total"] == 1
    assert library.get("/users", query_string={"q": "kim"}, role="admin").json["items"][0]["username"] == "kim-1"
    signed_in = library.post("/auth/login", {"email": "ANNA@example.org", "password": PASSWORD}, role=None)
    assert signed_in.status_code == 200
    taken = library.post("/users", {"type": "reader", "name": "x", "email": "anna@example.org"}, role="admin")
    assert taken.json["code"] == "email_taken"
    taken = library.post("/users", {"type": "reader", "name": "x", "username": "KIM-1"}, role="admin")
    assert taken.json["code"] == "username_taken"


def test_everything_is_found_before_during_and_after(
    old: Library, at_keys: Callable[[str], Library], owner: Engine
) -> None:
    both = at_keys(f"{NEW},{OLD}")
    assert_all_is_found(both)
    assert key_ids(owner) == {"old": 3}

    code, output = rotate(both.app)

    assert (code, output.strip()) == (0, "3 users were written anew under the newest key.")
    assert key_ids(owner) == {"new": 3}
    assert_all_is_found(both)
    assert_all_is_found(at_keys(NEW))


def test_people_read_and_sign_in_meanwhile(old: Library, at_keys: Callable[[str], Library], owner: Engine) -> None:
    both = at_keys(f"{NEW},{OLD}")
    for number in range(250):
        both.person("reader", name=f"Reader {number}", email=f"reader{number}@example.org")
    rewind = at_keys(f"{OLD},{NEW}")
    assert rotate(rewind.app)[0] == 0
    assert key_ids(owner) == {"old": 253}
    both.key("admin")
    over, seen = threading.Event(), set[object]()

    def ask_again_and_again() -> None:
        while not over.is_set():
            found = both.get("/users", query_string={"q": "ANNA@example.org"}, role="admin")
            named = both.get("/users", query_string={"q": "smi"}, role="admin")
            signed_in = both.post("/auth/login", {"username": "kim-1", "password": PASSWORD}, role=None)
            seen.add((found.json["total"], named.json["total"], signed_in.status_code))

    busy = threading.Thread(target=ask_again_and_again)
    busy.start()
    code, _ = rotate(both.app)
    over.set()
    busy.join()

    assert (code, key_ids(owner)) == (0, {"new": 253})
    assert seen == {(1, 1, 200)}


def test_who_is_being_changed_is_waited_for_at_the_end(
    old: Library, at_keys: Callable[[str], Library], owner: Engine
) -> None:
    both = at_keys(f"{NEW},{OLD}")
    first = text("UPDATE users SET updated_at = now() WHERE id = (SELECT id FROM users ORDER BY id LIMIT 1)")
    with ThreadPoolExecutor(1) as threads, owner.connect() as connection:
        connection.execute(first)
        running = threads.submit(rotate, both.app)
        others_are_done = wait_until(lambda: key_ids(owner) == {"old": 1, "new": 2}, timeout_seconds=20)
        was_running = not running.done()
        connection.commit()
        code, _ = running.result(20)

    assert (others_are_done, was_running, code) == (True, True, 0)
    assert key_ids(owner) == {"new": 3}


def test_of_two_under_different_keys_one_gets_the_address(at_keys: Callable[[str], Library]) -> None:
    processes = [at_keys(f"{OLD},{NEW}"), at_keys(f"{NEW},{OLD}")]
    for each in processes:
        each.key("admin")
    body = {"type": "reader", "name": "Bob", "email": "bob@example.org", "username": "bob"}
    gate = threading.Barrier(6)

    def ask(number: int) -> int:
        gate.wait()
        return processes[number % 2].post("/users", body, role="admin").status_code

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(ask, range(6))) == [201, 409, 409, 409, 409, 409]


def test_once_more_there_is_nothing_to_do(at_keys: Callable[[str], Library]) -> None:
    both = at_keys(f"{NEW},{OLD}")
    rotate(both.app)

    assert rotate(both.app) == (0, "0 users were written anew under the newest key.\n")


def test_nobody_is_lost_who_is_changed_meanwhile(
    old: Library, at_keys: Callable[[str], Library], owner: Engine
) -> None:
    both = at_keys(f"{NEW},{OLD}")
    ids = [person["id"] for person in both.get("/users", role="admin").json["items"]]
    over, statuses = threading.Event(), list[int]()

    def change_again_and_again() -> None:
        number = 0
        while not over.is_set() or number < 10:
            number += 1
            name = {"name": f"Somebody {number}"}
            statuses.append(both.patch(f"/users/{ids[number % 3]}", name, role="admin").status_code)

    busy = threading.Thread(target=change_again_and_again)
    busy.start()
    code, _ = rotate(both.app)
    over.set()
    busy.join()

    assert code == 0
    assert set(statuses) == {200}
    assert key_ids(owner) == {"new": 3}
    with_new = at_keys(NEW)
    assert all(person["name"] for person in with_new.get("/users", role="admin").json["items"])


def test_what_breaks_off_is_begun_again(old: Library, at_keys: Callable[[str], Library], owner: Engine) -> None:
    both = at_keys(f"{NEW},{OLD}")
    with both.app.app_context(), as_tenant(both.id):
        next(service.rotate_personal_data())
        db.session.remove()

    assert rotate(both.app)[0] == 0
    assert key_ids(owner) == {"new": 3}


def test_a_key_that_is_missing_is_named_in_one_line(at_keys: Callable[[str], Library], owner: Engine) -> None:
    code, output = rotate(at_keys(NEW).app)

    assert code == 1
    assert output == "Error: PII_KEYS has no key 'old'; put it back, behind the newest.\n"
    assert key_ids(owner) == {"old": 3}


def test_the_audit_trail_tells_of_it(at_keys: Callable[[str], Library]) -> None:
    both = at_keys(f"{NEW},{OLD}")
    rotate(both.app)

    [told] = both.get("/events", query_string={"type": "secrets.rotated"}, role="admin").json["items"]
    assert told["data"] == {"users": 3, "key_id": "new"}
