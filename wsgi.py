"""The application: `wsgi:gateway` for web_server.py, `wsgi:app` for `flask` commands and any other WSGI server."""

import sys

from app import create_app
from app.pipeline.gateway import Gateway
from app.settings import Settings, SettingsError

try:
    settings = Settings.from_environment()
    app = create_app(settings)
except SettingsError as error:
    sys.exit(str(error))
gateway = Gateway(app, threads=settings.web_threads)
