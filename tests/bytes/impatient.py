"""The web server with less patience than the real one: `python -m tests.bytes.impatient --port N`."""

from __future__ import annotations

import web_server
from app import create_app
from app.pipeline.bodies import Patience
from app.pipeline.gateway import Gateway
from app.settings import Settings

GRACE_SECONDS = 2.0
HELD_BYTES = 1024 * 1024
HEAD_SECONDS = 2


def make_gateway() -> Gateway:
    """The gateway of a new application."""
    settings = Settings.from_environment()
    patience = Patience(
        grace_seconds=GRACE_SECONDS, linger_seconds=1.0, held_bytes=HELD_BYTES, silent_seconds=GRACE_SECONDS
    )
    return Gateway(create_app(settings), threads=settings.web_threads, patience=patience)


if __name__ == "__main__":
    web_server.serve(web_server.options_given(), target="tests.bytes.impatient_wsgi:gateway", head_seconds=HEAD_SECONDS)
