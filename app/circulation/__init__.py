"""Who has what, and who is next.

Owns the tables `loans`, `holds` and `loan_notices`. It moves copies, whose status and book's counts the database keeps;
nobody stands above it.
"""
