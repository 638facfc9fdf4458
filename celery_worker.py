"""The Celery application: `celery -A celery_worker worker` and `celery -A celery_worker beat`."""

from app import create_app
from app.core.queue import connect_worker_processes, queue_app
from app.settings import Settings

settings = Settings.from_environment()
flask_app = create_app(settings)
connect_worker_processes(flask_app)
celery = queue_app()
