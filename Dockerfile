# The image of a migration's pod: chunkmigrate, and the migrations. What is installed is named in the lock files, by
# its hash, and made anew by `make lock`; give PYTHON with a digest, and the same sources hold the same code always.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
# All of them are wheels: nothing is compiled, and no compiler is needed.
RUN python -m venv /build \
    && /build/bin/pip install --no-deps --require-hashes --only-binary=:all: -r requirements-build.lock \
    && python -m venv --without-pip /venv \
    && /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --require-hashes \
        --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE pytest_chunkmigrate.py ./
COPY chunkmigrate/ chunkmigrate/
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --no-index /wheels/*.whl

FROM ${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="chunkmigrate" \
      org.opencontainers.image.description="Rewrite existing MongoDB documents inside a fixed memory budget" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# The file system may be read-only, so nothing is compiled at run time; log lines leave as they are written.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin chunkmigrate
COPY --from=builder /venv /venv
WORKDIR /app
# By number: Kubernetes cannot tell whether a named user is root, and refuses it under runAsNonRoot.
USER 10001:10001
# No HEALTHCHECK: how a run went is its exit code, and whether it still goes on a pod's liveness probe asks.
ENTRYPOINT ["chunkmigrate"]
CMD ["run", "--all"]
# Last, for they change most often.
COPY migrations/ migrations/
