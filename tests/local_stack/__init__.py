"""Whether the local stack starts, stops and vanishes as it should, on real processes."""
