"""Roles, permissions and the form of keys."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from app.core.keys import new_key, parse_key
from app.core.security import ROLE_PERMISSIONS, SYSTEM, ActorKind, Permission, Role, current_actor


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


def test_work_outside_of_requests_is_the_systems(in_app: Flask) -> None:
    assert current_actor() is SYSTEM


def test_a_request_of_a_stranger_may_nothing(app: Flask) -> None:
    with app.test_request_context("/"):
        actor = current_actor()

    assert actor.kind is ActorKind.ANONYMOUS
    assert actor.permissions == frozenset()
    assert actor.principal != SYSTEM.principal


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
