"""Filling catalogues from Open Library in the background: jobs, batches, logs, re-syncs, and what libraries hold.

Owns `ingestion_batches`, `ingestion_jobs`, `ingestion_items`, `ingestion_logs`, `ingestion_queries` and
`ingestion_query_works`, and outside row-level security the bare ids and times by which workers choose fairly among all
tenants: `ingestion_queue`, `ingestion_turns` and `resync_schedule`. Domains above may call `service.request_ingestion`
and read its answers; nobody else writes these tables.
"""
