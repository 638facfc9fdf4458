"""The audit trail: what happened in a tenant, by whom, written in the transaction of the change.

Owns the table `events`. Every domain records here; nobody changes or removes a row, nor could the application's role.
"""
