"""A local Open Library that behaves like the real one, well or badly, as a test wishes.

    with StandIn() as site:
        site.author_with_works(300)
        site.fault("server_error", times=2)
        ...  # point OPEN_LIBRARY_URL at site.url
        assert len(site.requests) <= 30

`python -m tests.stand_in --port 8081` runs it on its own.
"""

from tests.stand_in.catalogue import Catalogue
from tests.stand_in.faults import Fault, FaultKind
from tests.stand_in.server import Seen, StandIn

__all__ = ["Catalogue", "Fault", "FaultKind", "Seen", "StandIn"]
