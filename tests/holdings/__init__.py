"""Collections, what is in them, and what books count of it."""
