PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
MINUTES ?= 20
SEED ?= 1
# As the image has them, whatever this machine is.
LOCK = $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --python-platform linux \
  --custom-compile-command 'make lock'

.PHONY: help demo test check docs bench soak lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */make \1|/' | column -t -s '|'

demo: $(READY)  ## a migration from beginning to end, on a MongoDB of its own
	$(BIN)/chunkmigrate demo

test: $(READY)  ## all tests, on a real MongoDB (MONGODB_URI, or else an embedded one)
	$(BIN)/pytest --numprocesses 2 --dist loadfile

check: $(READY)  ## lint, format, types and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/hadolint Dockerfile

docs: $(READY)  ## docs/commands.md and docs/json.md, from what they describe
	$(BIN)/python -m tests.surface > docs/commands.md
	$(BIN)/python -m tests.schemas > docs/json.md

bench: $(READY)  ## documents per second and memory, next to other ways to do it
	$(BIN)/python -m benchmarks.shared
	$(BIN)/python -m benchmarks

soak: $(READY)  ## kills and races, then random faults for MINUTES (20), from SEED (1)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

lock: $(READY)  ## the versions and hashes an image is built with, anew
	$(LOCK) --extra metrics --output-file requirements.lock pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
	  | $(LOCK) --output-file requirements-build.lock -

clean:  ## remove the virtual environment and everything built
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made once, and again when the dependencies change.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "chunkmigrate needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@
