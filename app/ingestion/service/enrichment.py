"""Looking up what libraries hold and have no book of: ISBNs that wait in the catalogue become ordinary jobs.

One job of a tenant at a time, so that what people ask for does not stand in a long row behind it. What a job finds
waits no longer; what it does not find is asked for again after a month.
"""

from __future__ import annotations

import logging

from app.catalog import queries as catalog_queries
from app.catalog import service as catalog
from app.core.database import transaction
from app.core.tenancy import tenant
from app.ingestion import queries
from app.ingestion.models import Trigger
from app.ingestion.service.jobs import ISBNS_ENRICHED_AT_ONCE, request_ingestion

log = logging.getLogger(__name__)


def enrich_due() -> int:
    """Request a job for every tenant with ISBNs that are due, unless one of its kind is under way; gives their number.

    Two schedulers do no harm: a tenant's ISBNs are taken by one of them.
    """
    jobs = 0
    for tenant_id in catalog_queries.tenants_with_due_isbns():
        with tenant(tenant_id):
            isbns = _request()
        if isbns:
            jobs += 1
            log.info("ingestion.enrichment_requested", extra={"tenant_id": str(tenant_id), "isbns": isbns})
    return jobs


def _request() -> int:
    with transaction():
        if queries.is_enriching():
            return 0
        isbns = catalog.take_wanted_isbns(most=ISBNS_ENRICHED_AT_ONCE)
        if isbns:
            request_ingestion(isbns=isbns, trigger=Trigger.ENRICHMENT)
    return len(isbns)
