"""Credentials: service accounts and their keys; people's sign-in, and the sessions that follow from it.

Owns `service_accounts`, `service_account_keys`, `user_sessions`, `magic_links` and `used_id_tokens`. A key is shown
once and stored as a hash; like an access token it carries the id of its tenant, so that even its look-up happens behind
row-level security.
"""
