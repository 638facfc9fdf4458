"""The web server: granian, with requests taken by `wsgi:gateway`. `python web_server.py --help` lists the options.

It differs from `granian --interface wsgi wsgi:app` in one point: no thread waits for a body. For that it uses parts of
granian that are not meant for others, so granian is pinned to an exact version, and tests/bytes holds what is relied
upon.
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
from typing import Any

from granian._granian import CallbackScheduler, RSGIWorker
from granian._signals import set_sync_signals
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels, logger
from granian.server.common import WORKERS_METHODS
from granian.server.mp import MPServer, WorkerProcess

TARGET = "wsgi:gateway"
# How long the head of a request may take, and how long a connection may rest between two requests.
HEAD_SECONDS = 30
# Seconds that running requests get to end when the server is told to.
KILL_SECONDS = 30
# Connections of a process, idle ones and slow ones included: each costs no thread. Where all of them are up to no good,
# a process takes 110 MB for itself, 180 MB for as many heads of HEAD_BYTES (or 90 MB for bodies of SMALL_BYTES), and
# 64 MB for large bodies: two processes stay under the 768 MB of docker-compose.yml. Answers that nobody reads come on
# top; those are bounded by the limits of requests alone.
CONNECTIONS = 2048
HEAD_BYTES = 80 * 1024
# granian describes an older form of it.
_Worker: Any = RSGIWorker
# What a process opens beside its connections.
OTHER_FILES = 256


class Scheduler(CallbackScheduler):
    """Hands a request over in the very thread of the pool that has it, where granian's own would ask an event loop."""

    __slots__ = ()

    def __init__(self, _loop: Any, take: Any, *_unused: None) -> None:
        """Take what takes the requests."""
        super().__init__()
        self._schedule_fn = take


class Server(MPServer):
    """granian's server of processes, with workers of our own."""

    @staticmethod
    @WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
    def _spawn_wsgi_worker(  # noqa: PLR0917 - granian's signature
        worker_id: int,
        gateway: Any,
        sock: Any,
        ipc: Any,
        _loop: Any,
        runtime_mode: Any,
        runtime_threads: int,
        runtime_blocking_threads: int | None,
        threads: int,
        threads_idle_seconds: int,
        connections: int,
        _task_impl: Any,
        http_mode: Any,
        http1_settings: Any,
        http2_settings: Any,
        websockets: bool,  # noqa: FBT001
        static_path: Any,
        _log_access_format: str | None,
        ssl: Any,
        _scope_options: dict[str, Any],
        metrics: Any,
    ) -> None:
        signals, stopped = set_sync_signals(), threading.Event()  # type: ignore[no-untyped-call]
        signals.add_cb(stopped.set)
        worker = _Worker(
            worker_id,
            sock,
            ipc,
            runtime_threads,
            runtime_blocking_threads,
            threads,
            threads_idle_seconds,
            connections,
            http_mode,
            http1_settings,
            http2_settings,
            websockets,
            static_path,
            *ssl,
            metrics,
        )
        serve = getattr(worker, WORKERS_METHODS[runtime_mode][(sock[0] or sock[1]).is_uds()])
        serve(Scheduler(gateway.loop, gateway, None, None, None), gateway.loop, signals)
        stopped.wait()


def main() -> None:
    """Serve until told to stop."""
    serve(options_given(), target=TARGET, head_seconds=HEAD_SECONDS)


def serve(options: argparse.Namespace, *, target: str, head_seconds: int) -> None:
    """Serve the gateway `target` until told to stop; the head of a request may take `head_seconds`."""
    # The processes' application reads it as well: what is given here is what counts.
    os.environ["WEB_THREADS"] = str(options.threads)
    connections = _connections()
    server = Server(
        target,
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        workers=options.processes,
        blocking_threads=options.threads,
        # HTTP/2 without TLS is nobody's wish behind a proxy; and where both are possible, a client that says nothing
        # at all is waited for without end.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=head_seconds * 1000, max_buffer_size=HEAD_BYTES),
        websockets=False,
        backlog=connections,
        backpressure=connections,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_SECONDS,
        log_level=LogLevels(options.log_level),
    )
    # Its advice is for threads that compute; these wait for PostgreSQL and Redis.
    logger.addFilter(lambda record: "Python threads, which seems quite high" not in record.getMessage())
    if connections < CONNECTIONS:
        logger.warning("This machine's limit of open files allows %d connections a process.", connections)
    server.serve()


def _connections() -> int:
    """How many connections a process may have, after it may open as many files as they take, or the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - OTHER_FILES)


def options_given() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Serves the library's API over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=5000, help="port to listen on (default: 5000)")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("--threads", type=int, default=8, help="requests that a process works on at once (default: 8)")
    levels = [level.value for level in LogLevels]
    parser.add_argument("--log-level", choices=levels, default="info", help="of the server itself (default: info)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
