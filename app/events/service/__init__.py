"""Commands on the audit trail.

`recording` writes events, `sealing` binds them into their tenant's chain, `verifying` tells whether the chain holds.
"""

from __future__ import annotations

from app.events.service.recording import record, record_many
from app.events.service.sealing import seal_events
from app.events.service.verifying import verify

__all__ = ["record", "record_many", "seal_events", "verify"]
