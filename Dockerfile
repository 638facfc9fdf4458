# One image for web, worker, beat and migrations; what it runs is the command's choice.

FROM python:3.11.14-slim-bookworm AS build
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
# Nothing is installed in a running container, so nothing that installs is left in it.
RUN pip uninstall --yes pip setuptools wheel \
    && groupadd --system --gid 10001 library \
    && useradd --system --uid 10001 --gid library --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin library
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi
WORKDIR /srv/library
COPY --from=build /opt/venv /opt/venv
COPY migrations migrations
COPY wsgi.py celery_worker.py ./
COPY app app
# Served at /docs/errors.
COPY docs/errors.md docs/errors.md
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health/ready', timeout=4)"]
CMD ["granian", "--interface", "wsgi", "wsgi:app", "--host", "0.0.0.0", "--port", "5000", "--workers", "2", \
     "--blocking-threads", "8", "--respawn-failed-workers", "--workers-kill-timeout", "30", "--no-ws"]
