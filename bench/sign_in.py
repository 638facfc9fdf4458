"""Credentials: what it costs to tell whose one is, how soon a revoked one is refused, and reads beside sign-ins."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import event

from app import create_app
from app.auth import service as auth
from app.auth.models import SignInMethod
from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.members import service as members
from app.pipeline.passage import Passage
from app.tenants import service as tenants
from bench.report import Line
from bench.stack import own_server

_SLUG = "signing-in"
_EMAIL, _PASSWORD = "anna.smith@example.org", "otters swim at dawn"
_ASKED, _REVOKED, _SIGNING_IN = 5_000, 20, 4
_SECONDS = 5.0


def measure(environment: Mapping[str, str], folder: Path) -> list[Line]:
    """Authenticate in this process, then revoke and sign in at a server of two processes."""
    app = create_app()
    with app.app_context(), acting_as(SYSTEM):
        tenant_id = tenants.create_tenant(slug=_SLUG, name="Signing in", kind="library").id
        with tenant(tenant_id):
            key, _ = auth.create_key(auth.create_service_account(name="bench", role="librarian").id)
            password = members.new_password(_PASSWORD, personal=[])
            person = members.create_user(type="staff", role="librarian", name="Anna", email=_EMAIL, password=password)
            token = auth.begin_session(person, method=SignInMethod.COMMAND).access_token
        lines = [_warm(app, name, credential) for name, credential in (("key", key), ("access token", token))]
        db.session.remove()
        # An attempt a moment: the limit of sign-in is checked as always, and only too high to be met.
        unlimited = {"AUTH_RATE_LIMIT": "999999999/minute", "SESSION_RATE_LIMIT": "999999999/minute"}
        with own_server({**environment, **unlimited}, folder / "sign_in.log") as (address, _):
            base = f"{address}/api/v1/tenants/{_SLUG}"
            lines += [_revoked(base), *_beside_sign_ins(base, key)]
    return lines


def _warm(app: Any, name: str, credential: str) -> Line:
    """The whole way in of a request: whose credential, which tenant, what is allowed, and the limits in Redis."""
    guard, view = app.extensions["guard"], app.view_functions["auth.show_me"]

    def ask() -> None:
        Passage(guard, view, _SLUG, {"HTTP_AUTHORIZATION": f"Bearer {credential}"}).admit()

    ask()
    with _statements() as sent:
        microseconds = _microseconds(ask)
    note = f"{microseconds:.0f} µs with tenant, permission and limits; {len(sent)} statements in {_ASKED:,} requests"
    return _line(f"authenticating by {name}, warm", "≤ 150 µs, no statement", note)


@contextmanager
def _statements() -> Any:
    """Every statement that is sent to PostgreSQL within the block, by whichever way."""
    sent: list[str] = []

    def note(*_: Any) -> None:
        sent.append("")

    engines = list(db.engines.values())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
        event.listen(engine, "checkout", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
            event.remove(engine, "checkout", note)


def _microseconds(ask: Callable[[], None]) -> float:
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(_ASKED // 5):
            ask()
        rounds.append((time.perf_counter() - began) / (_ASKED // 5) * 1e6)
    return statistics.median(rounds)


def _revoked(base: str) -> Line:
    """From the answer to a sign-out until no process takes the token any more."""
    waited = []
    for _ in range(_REVOKED):
        signed = {"Authorization": f"Bearer {_signed_in(base)}"}
        # Both processes know it.
        while not all(_status(base, signed) == 200 for _ in range(8)):
            continue
        requests.post(f"{base}/auth/logout", headers=signed, timeout=10).raise_for_status()
        began = last_taken = time.perf_counter()
        while time.perf_counter() - began < 0.3:
            if _status(base, signed) == 200:
                last_taken = time.perf_counter()
        waited.append((last_taken - began) * 1000)
    note = f"taken for {max(waited):.0f} ms more at most, in {_REVOKED} sign-outs seen by two processes"
    return _line("a revoked access token", "< 1 s", note)


def _beside_sign_ins(base: str, key: str) -> list[Line]:
    """How long a read takes alone, and while several sign in without a pause."""
    signed = {"Authorization": f"Bearer {key}"}
    alone = _read_ms(base, signed)
    over, done = threading.Event(), list[int]()

    def sign_in_again_and_again() -> None:
        while not over.is_set():
            body = {"email": _EMAIL, "password": _PASSWORD}
            done.append(requests.post(f"{base}/auth/login", json=body, timeout=30).status_code)

    threads = [threading.Thread(target=sign_in_again_and_again) for _ in range(_SIGNING_IN)]
    for each in threads:
        each.start()
    beside = _read_ms(base, signed)
    over.set()
    for each in threads:
        each.join()
    signed_in = done.count(200)
    return [
        _line(
            f"a read beside {_SIGNING_IN} who sign in",
            "",
            f"p50 {alone:.1f} ms alone, {beside:.1f} ms beside; {signed_in / _SECONDS:.0f} sign-ins/s,"
            f" {len(done) - signed_in} asked to come back",
        )
    ]


def _read_ms(base: str, signed: Mapping[str, str]) -> float:
    times = []
    with requests.Session() as session:
        began = time.perf_counter()
        while time.perf_counter() - began < _SECONDS:
            asked = time.perf_counter()
            session.get(f"{base}/auth/me", headers=dict(signed), timeout=10).raise_for_status()
            times.append((time.perf_counter() - asked) * 1000)
    return statistics.median(times)


def _signed_in(base: str) -> str:
    answer = requests.post(f"{base}/auth/login", json={"email": _EMAIL, "password": _PASSWORD}, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def _status(base: str, signed: Mapping[str, str]) -> int:
    # A connection of its own each time, so that either process may get it.
    return requests.get(f"{base}/auth/me", headers=dict(signed), timeout=10).status_code


def _line(name: str, wanted: str, note: str) -> Line:
    return Line(name, None, None, None, None, None, wanted=wanted, note=note)
