"""Fixtures of holdings."""

from __future__ import annotations

import pytest

from tests.conftest import Library
from tests.holdings.shelf import Shelf


@pytest.fixture
def shelf(library: Library) -> Shelf:
    """A collection of the library's, with nothing in it."""
    return Shelf.put_up(library)
