"""The gate in processes that no request comes to."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask

from app.core.admission import RETRY_SECONDS
from app.core.cache import Generation, generation_key, touch
from app.core.tenancy import tenant
from app.extensions import redis
from deploy.local.engines import Engines
from tests.core.probes import Probes
from tests.local_stack.processes import wait_until


def test_a_process_without_requests_tells_redis_of_its_commits(
    make_breakable_app: Callable[..., Flask], breakable: Engines
) -> None:
    web, worker = make_breakable_app(), make_breakable_app()
    library = Probes(web).library("told-by-a-worker")
    breakable.stop_redis()
    try:
        with worker.app_context(), tenant(library.id):
            touch(Generation.CATALOGUE)
            touch(Generation.ACCESS)
            # Long enough for tries that fail.
            time.sleep(2.5 * RETRY_SECONDS)
    finally:
        breakable.start_redis()

    with web.app_context():
        keys = [generation_key(library.id, each) for each in (Generation.CATALOGUE, Generation.ACCESS)]
        assert wait_until(lambda: redis.client.exists(*keys) == len(keys), timeout_seconds=10)
