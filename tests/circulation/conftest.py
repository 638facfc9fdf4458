"""A desk, its readers, and a look at the database after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine

from tests.circulation.desk import Desk, faults
from tests.conftest import Library, Person


@pytest.fixture
def desk(library: Library) -> Desk:
    """The desk of a library."""
    return Desk(library)


@pytest.fixture
def anna(library: Library) -> Person:
    """A reader."""
    return library.person("reader", email="anna@example.org", name="Anna Smith")


@pytest.fixture
def bob(library: Library) -> Person:
    """Another reader."""
    return library.person("reader", email="bob@example.org")


@pytest.fixture(autouse=True)
def _nothing_is_wrong(owner: Engine) -> Iterator[None]:
    """Whatever a test does, what must be true of every library is true afterwards."""
    yield
    assert faults(owner) == {}
