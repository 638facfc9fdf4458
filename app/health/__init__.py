"""The service itself: alive, ready, measured, documented. Owns no table."""
