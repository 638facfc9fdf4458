"""What the impatient server serves, as `wsgi.py` is for the real one."""

from tests.bytes.impatient import make_gateway

gateway = make_gateway()
