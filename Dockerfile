# `docker build .` makes the server. `docker build --target load .` makes the load generator: the same, and locust.
# Where packages come through a mirror: docker build --secret id=pip_conf,src="$HOME/.config/pip/pip.conf" .

FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements.txt ./
# Every file from outside is held against its hash here. Nothing below this line reaches for the network.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python -m pip download --require-hashes --no-deps --only-binary :all: --dest wheels -r requirements.txt
COPY . .
# From what was downloaded, pip takes what `sluice` asks for: no embedded PostgreSQL or Valkey, no setuptools, no pip.
RUN python -m pip wheel --no-index --find-links wheels --no-deps --wheel-dir wheels . \
    && python -m venv --without-pip /opt/sluice \
    && python -m pip --python /opt/sluice/bin/python install --no-index --find-links wheels sluice \
    && find /opt/sluice -type d -name tests -prune -exec rm -r {} + # numpy's, a tenth of the whole

FROM build AS build-load
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python -m pip download --require-hashes --no-deps --only-binary :all: --dest wheels -r requirements-test.txt \
    && python -m pip --python /opt/sluice/bin/python install --no-index --find-links wheels "sluice[load]"

# What both images are, before anything of ours is in them.
FROM python:3.12-slim AS base
RUN groupadd --gid 10001 sluice \
    && useradd --uid 10001 --gid sluice --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sluice
ENV PATH="/opt/sluice/bin:$PATH" PYTHONUNBUFFERED=1
WORKDIR /srv
USER 10001:10001

FROM base AS load
COPY --from=build-load /opt/sluice /opt/sluice
# Modes are set, lest a checkout under a strict umask be unreadable for the user of the image.
COPY --chmod=755 load load
# For reports: a volume that is mounted here is the user's, too.
USER 0
RUN install --directory --owner=10001 --group=10001 /reports
USER 10001:10001
LABEL org.opencontainers.image.title="Sluice load" \
      org.opencontainers.image.description="Simulated devices and dashboards that load a Sluice server, by locust." \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 5557
ENTRYPOINT ["locust", "-f", "load/scenarios/locustfile.py"]

# Last, so that a build that names no target makes it.
FROM base AS serve
COPY --from=build /opt/sluice /opt/sluice
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="Real-time telemetry ingestion into PostgreSQL." \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8000
# Alive, not ready: whoever restarts an unhealthy container must not do so because the database is away.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Exec form: process 1 is `sluice` itself, and SIGTERM reaches it.
ENTRYPOINT ["sluice"]
CMD ["serve", "--migrate", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
