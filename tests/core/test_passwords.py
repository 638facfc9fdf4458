"""Passwords: how they are kept, which are refused, how many are reckoned at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from flask import Flask

from app.core import passwords
from app.core.passwords import SignInBusy, hash_password, is_common, is_outdated, verify_password

PASSWORD = "otters swim at dawn"


def test_a_password_is_kept_as_argon2id_and_verified(in_app: Flask) -> None:
    kept = hash_password(PASSWORD)

    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in kept
    assert verify_password(kept, PASSWORD)
    assert not verify_password(kept, PASSWORD + " ")
    assert hash_password(PASSWORD) != kept


def test_where_there_is_no_password_none_is_right(in_app: Flask) -> None:
    assert not verify_password(None, PASSWORD)
    assert not verify_password(None, "")
    assert not verify_password("not a hash", PASSWORD)
    assert not verify_password("", "")


def test_without_an_account_it_takes_as_long(in_app: Flask) -> None:
    kept = hash_password(PASSWORD)

    def seconds(of: str | None) -> float:
        begun = time.thread_time()
        verify_password(of, "seals sleep at noon")
        return time.thread_time() - begun

    with_account = min(seconds(kept) for _ in range(5))
    without = min(seconds(None) for _ in range(5))

    assert 0.5 < without / with_account < 2


def test_every_keyboards_spelling_of_a_password_is_the_same(in_app: Flask) -> None:
    kept = hash_password("Bu\u0308cher im Regal")

    assert verify_password(kept, "B\u00fccher im Regal")
    assert not verify_password(kept, "Bucher im Regal")


def test_what_was_kept_with_other_settings_is_outdated(in_app: Flask) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)

    assert is_outdated(weaker)
    assert verify_password(weaker, PASSWORD)
    assert not is_outdated(hash_password(PASSWORD))


@pytest.mark.parametrize(
    "password",
    ["password1234", "123456789012", "qwertyuiop123", "passwordpassword", "iloveyou1234", "aaaaaaaaaaaaaa", "x" * 128],
)
def test_what_is_guessed_first_is_common(password: str) -> None:
    assert is_common(password)


def test_ones_own_name_and_address_are_guessed_first() -> None:
    own = ["Wilhelmina Featherstonehaugh", "wilhelmina@featherstonehaugh.example.org"]

    assert is_common("wilhelmina@featherstonehaugh.example.org", personal=own)
    assert not is_common("wilhelmina@featherstonehaugh.example.org")


@pytest.mark.parametrize("password", [PASSWORD, "correct horse battery staple", "ключ от библиотеки", "7zK!m2pQ$w9x"])
def test_others_are_not(password: str) -> None:
    assert not is_common(password)


def test_the_first_72_characters_decide() -> None:
    assert is_common("x" * 72 + PASSWORD)
    assert not is_common("x" * 60 + PASSWORD)
    assert not is_common(PASSWORD + "x" * 109)


@pytest.mark.parametrize("password", ["4@8({[<369&6!1|7109$5+7%2" * 5, "({[<1!|4@69$5+7" * 8])
def test_a_password_of_signs_is_judged_in_a_moment(password: str) -> None:
    begun = time.thread_time()

    assert not is_common(password)
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize("password", ["p@$$w0rd1234", "!@#$%^&*()_+", "1l0v3y0u1234"])
def test_signs_for_letters_and_rows_of_keys_are_guessed_first(password: str) -> None:
    assert is_common(password)


def test_whose_name_it_is_does_not_depend_on_who_else_asks() -> None:
    names = [f"Wilhelmina Featherstonehaugh-{letter * 4}" for letter in "bcdfghjk"]
    begin = threading.Barrier(len(names))

    def judged(name: str) -> list[bool]:
        begin.wait()
        return [is_common(name.lower(), personal=[name]) for _ in range(5)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(names)) as threads:
            found = list(threads.map(judged, names))
    finally:
        sys.setswitchinterval(interval)

    assert found == [[True] * 5] * len(names)


def test_half_of_the_threads_reckon_and_the_others_are_asked_to_come_back(make_app: Callable[..., Flask]) -> None:
    app = make_app(WEB_THREADS="4")
    inside, leave = threading.Barrier(3), threading.Event()

    def reckon() -> None:
        with app.app_context(), passwords.one_of_few():
            inside.wait()
            leave.wait()

    busy = [threading.Thread(target=reckon) for _ in range(2)]
    for each in busy:
        each.start()
    inside.wait()
    try:
        with app.app_context(), pytest.raises(SignInBusy) as refused:
            verify_password(None, PASSWORD)
        assert refused.value.headers == {"Retry-After": "1"}
    finally:
        leave.set()
        for each in busy:
            each.join()
    with app.app_context():
        assert verify_password(hash_password(PASSWORD), PASSWORD)
