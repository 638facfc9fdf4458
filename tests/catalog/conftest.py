"""Fixtures of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.core.tenancy import tenant
from tests.catalog.stored import Stored
from tests.conftest import Library


@pytest.fixture
def stored(in_app: Flask, library: Library) -> Iterator[Stored]:
    """The tenant's catalogue as it is stored; services called by the test work for this tenant."""
    with tenant(library.id):
        yield Stored(library)
