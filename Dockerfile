# One image for web, worker, beat and migrations; what a container does is its command's choice.

# The patch release is pinned. A digest is not: it would have to be read from the registry with every rebuild of the tag,
# and would hold back Debian's own repairs, which come as rebuilds of the same tag.
FROM python:3.11.15-slim-bookworm AS base

FROM base AS build
WORKDIR /build
COPY requirements.txt .
# Wheels only: nothing is compiled, so no compiler is needed and no stranger's build script runs.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --require-hashes --only-binary=:all: --requirement requirements.txt
WORKDIR /srv/library
COPY migrations migrations
COPY wsgi.py web_server.py celery_worker.py ./
COPY app app
# Served at /docs/errors.
COPY docs/errors.md docs/errors.md
# Compiled here, because the file system of a running container takes no bytecode; never compared with its source, which
# cannot change there. Readable by everyone, whatever the umask was where the sources came from.
RUN python -m compileall -q --invalidation-mode unchecked-hash . \
    && chmod -R u=rwX,go=rX .

FROM base
# Nothing is installed in a running container, so nothing that installs is left in it.
RUN pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && rm -rf /usr/local/lib/python3.11/ensurepip \
    && groupadd --system --gid 10001 library \
    && useradd --system --uid 10001 --gid library --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin library \
    && install --directory --owner=library --group=library --mode=0700 /var/spool/library
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/library /srv/library
WORKDIR /srv/library
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Library API" \
      org.opencontainers.image.description="Multi-tenant library service: catalogues that fill themselves from Open Library" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
# Of the web server, which is what the image runs when it is told nothing else.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health/ready', timeout=4)"]
CMD ["sh", "-c", "exec python web_server.py --host 0.0.0.0 --port 5000 \
--processes ${WEB_PROCESSES:-2} --threads ${WEB_THREADS:-8}"]
