FROM python:3.12-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE pytest_chunkmigrate.py ./
COPY chunkmigrate/ chunkmigrate/
RUN pip wheel --no-deps --wheel-dir /wheels . \
    && python -m venv /venv \
    && /venv/bin/pip install "$(echo /wheels/*.whl)[metrics]"

FROM python:3.12-slim
# The file system may be read-only, so nothing is compiled at run time; log lines leave as they are written.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin chunkmigrate
COPY --from=builder /venv /venv
WORKDIR /app
# By number: Kubernetes cannot tell whether a named user is root, and refuses it under runAsNonRoot.
USER 10001:10001
ENTRYPOINT ["chunkmigrate"]
CMD ["run", "--all"]
COPY migrations/ migrations/
