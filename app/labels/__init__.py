"""Labels: what books are like, and for whom, by whoever says so with the most weight."""
