"""A stand-in for Open Library, and apps and clients that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from app.extensions import db
from app.openlibrary.client import OpenLibraryClient
from tests.stand_in import StandIn

# A site of one's own may be asked as often as it bears; pauses between attempts shrink with it.
UNLIMITED = "100000"
CONTACT = "librarian@library.example.org"


@pytest.fixture
def site() -> Iterator[StandIn]:
    """Open Library with its recorded documents."""
    with StandIn() as running:
        yield running


@pytest.fixture
def make_client(site: StandIn) -> Callable[..., OpenLibraryClient]:
    """Makes clients of the stand-in that share nothing with others, unless they are given a Redis."""

    def make(**changes: Any) -> OpenLibraryClient:
        plain = {
            "base_url": site.url,
            "contact": CONTACT,
            "version": "1.0",
            "redis": None,
            "requests_per_second": float(UNLIMITED),
            "timeout_seconds": 2.0,
        }
        return OpenLibraryClient(**(plain | changes))

    return make


@pytest.fixture
def client(make_client: Callable[..., OpenLibraryClient]) -> OpenLibraryClient:
    """A client of the stand-in."""
    return make_client()


@pytest.fixture
def in_app(site: StandIn, make_app: Callable[..., Flask]) -> Iterator[Flask]:
    """The app with the stand-in as its Open Library, its context entered."""
    app = make_app(
        OPEN_LIBRARY_URL=site.url,
        OPEN_LIBRARY_REQUESTS_PER_SECOND=UNLIMITED,
        OPEN_LIBRARY_TIMEOUT_SECONDS="1",
        OPEN_LIBRARY_CACHE_HOURS="24",
    )
    with app.app_context():
        yield app
        db.session.remove()
