"""The application: `wsgi:gateway` for web_server.py, `wsgi:app` for `flask` commands and any other WSGI server.

Other servers only behind a proxy that takes in whole requests: they let a slow client keep a thread.
"""

import sys

from app import create_app
from app.pipeline.gateway import Gateway
from app.settings import Settings, SettingsError

try:
    settings = Settings.from_environment()
    app = create_app(settings)
except SettingsError as error:
    sys.exit(str(error))
gateway = Gateway(app, threads=settings.web_threads, spool_folder=settings.spool_folder)
