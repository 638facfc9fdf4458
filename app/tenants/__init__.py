"""Libraries, schools and persons: who they are, their settings and limits.

Owns the table `tenants`, which is read before a tenant is known and so stands outside row-level security. The tenant
`platform` is reserved for those who run the service. Every domain may read it.
"""
