"""The Celery application: `celery -A celery_worker worker` and `celery -A celery_worker beat`."""

import sys

from app import create_app
from app.core.queue import connect_worker_processes, queue_app
from app.settings import SettingsError

try:
    flask_app = create_app()
except SettingsError as error:
    sys.exit(str(error))
connect_worker_processes(flask_app)
celery = queue_app()
