"""Runs the Postman collection by newman; `make postman` is `python -m tests.postman`."""
