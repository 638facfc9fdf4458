"""Credentials: service accounts and their keys.

Owns `service_accounts` and `service_account_keys`. A key is shown once and stored as a hash; it carries the id of its
tenant, so that even its look-up happens behind row-level security.
"""
