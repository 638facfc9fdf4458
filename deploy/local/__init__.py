"""The whole service on one machine that has only Python: PostgreSQL, Redis, web, worker and beat, no containers."""
