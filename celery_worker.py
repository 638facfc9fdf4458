"""The Celery application: `celery -A celery_worker worker` and `celery -A celery_worker beat`."""

import sys

from celery.signals import worker_init

from app import create_app
from app.core.queue import connect_worker_processes, queue_app
from app.openlibrary.lookup import warn_without_contact
from app.settings import Settings, SettingsError

try:
    settings = Settings.from_environment()
    flask_app = create_app(settings)
except SettingsError as error:
    sys.exit(str(error))
connect_worker_processes(flask_app)
# Beat asks nobody, so it has nothing to warn of.
worker_init.connect(lambda **_: warn_without_contact(settings), weak=False)
celery = queue_app()
