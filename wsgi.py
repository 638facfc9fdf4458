"""The WSGI application: `granian --interface wsgi wsgi:app`; also what `flask` commands find."""

import sys

from app import create_app
from app.settings import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))
