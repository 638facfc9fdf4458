"""Roles, permissions and the form of keys."""

from __future__ import annotations

from contextvars import Context
from uuid import UUID

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import ScriptInfo
from hypothesis import given
from hypothesis import strategies as st

from app.core.commands import CommandGroup
from app.core.keys import new_key, parse_key
from app.core.security import ANONYMOUS, ROLE_PERMISSIONS, SYSTEM, Actor, NoActor, Permission, Role, current_actor
from app.extensions import celery, redis
from tests.core.probes import Probes


def test_every_role_has_its_permissions() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert ROLE_PERMISSIONS[Role.PLATFORM_ADMIN] == frozenset(Permission)


def test_only_the_platform_manages_tenants() -> None:
    may = {role for role, permissions in ROLE_PERMISSIONS.items() if Permission.TENANTS_MANAGE in permissions}

    assert may == {Role.PLATFORM_ADMIN}


def test_every_role_reads_the_catalogue_and_few_write_it() -> None:
    writers = {role for role, permissions in ROLE_PERMISSIONS.items() if Permission.BOOKS_WRITE in permissions}

    assert all(Permission.BOOKS_READ in permissions for permissions in ROLE_PERMISSIONS.values())
    assert writers == {Role.PLATFORM_ADMIN, Role.ADMIN, Role.LIBRARIAN}


def test_nobody_acts_unless_somebody_is_entered(app: Flask) -> None:
    # A new thread's context is as empty.
    with app.test_request_context("/"), pytest.raises(NoActor):
        Context().run(current_actor)


def test_tasks_and_commands_are_the_systems_own_work(in_app: Flask) -> None:
    seen: list[Actor] = []
    group = CommandGroup("actor")

    def look() -> None:
        seen.append(current_actor())

    Context().run(celery.task(name="tests.actor")(look).apply)
    del celery.tasks["tests.actor"]
    group.command("look")(look)
    Context().run(CliRunner().invoke, group, ["look"], obj=ScriptInfo(create_app=lambda: in_app))

    assert seen == [SYSTEM, SYSTEM]


def test_a_request_is_its_callers_doing(app: Flask) -> None:
    probes = Probes(app)
    library = probes.library()
    probes.answers["plain"] = probes.answers["sign-in"] = lambda: current_actor().name

    assert library.get("/probes/plain", role="lms").get_json() == "lms in tests"
    assert library.post("/probes/sign-in", role=None).get_json() == "anonymous"


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://app.example.org"}])
@pytest.mark.parametrize("path", ["/probes/cached", "/probes/listed"])
def test_what_is_made_for_all_members_is_nobodys_doing(app: Flask, path: str, headers: dict[str, str]) -> None:
    probes = Probes(app)
    library = probes.library()
    assert library.get("/probes/plain").status_code == 200
    probes.answers[path.rpartition("/")[2]] = lambda: current_actor().name

    answers = [library.get(path, headers=headers).status_code for _ in range(2)]

    assert answers == [500, 500]
    with app.app_context():
        assert list(redis.client.scan_iter("answer:*")) == []


def test_a_stranger_may_nothing() -> None:
    assert ANONYMOUS.permissions == frozenset()
    assert ANONYMOUS.principal != SYSTEM.principal


@given(st.uuids())
def test_a_key_names_its_tenant(tenant_id: UUID) -> None:
    key, parts = new_key(tenant_id)

    assert parse_key(key) == parts
    assert parts.tenant_id == tenant_id
    assert key.startswith(parts.prefix + "_")
    assert len(parts.hash) == 32


def test_keys_are_never_alike() -> None:
    keys = {new_key(UUID(int=1))[0] for _ in range(1000)}

    assert len({key[-43:] for key in keys}) == 1000


@pytest.mark.parametrize("text", ["", "lib_", "lib_x", "LIB_0123456789_" + "0" * 65, "lib_0123456789_" + "0" * 66])
def test_anything_else_is_no_key(text: str) -> None:
    assert parse_key(text) is None


@given(st.text(max_size=100))
def test_no_text_breaks_the_reader_of_keys(text: str) -> None:
    assert parse_key(text) is None
    assert parse_key("lib_0123456789_" + text) is None or len(text) == 65
