"""Run the stand-in on its own: `python -m tests.stand_in --port 8081 --generated 10000`."""

import argparse
import signal
import threading

from tests.stand_in.server import StandIn


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.stand_in", description="A local Open Library.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--generated", type=int, default=0, help="this many more works, with the subject Generated")
    parser.add_argument("--refuse-strangers", action="store_true", help="answer 403 to clients without a contact")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    site = StandIn(port=arguments.port)
    site.refuses_strangers = arguments.refuse_strangers
    site.generated_catalogue(arguments.generated)
    with site:
        print(f"A stand-in for Open Library listens at {site.url}", flush=True)  # noqa: T201 - it speaks to a terminal
        ended.wait()


if __name__ == "__main__":
    main()
