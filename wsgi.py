"""The WSGI application: `granian --interface wsgi wsgi:app`; also what `flask` commands find."""

from app import create_app

app = create_app()
