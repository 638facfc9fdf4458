"""`make bench`: what a request costs, beside a floor measured in the same run. See `bench/README.md`."""
