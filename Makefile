# Everything starts from a checkout, Python 3.11 or newer and git; packages come through pip's ordinary configuration.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two is what `make test` is held to; more cores make it faster.
JOBS ?= 2

.PHONY: help demo test check soak bench clean distclean
.DEFAULT_GOAL := help

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

# The environment, made once and made again only when the project's needs change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dxforge needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 -m venv failed: on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[docs,notebook,remote,test]' --constraint constraints.txt
	@touch $@

demo: $(READY) ## Small projects in ./demo: install, edit, upgrade, undo; build a page, watch, kill a tool
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/demo_web.py

test: check ## Everything that a change must pass (under 15 minutes)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --ignore=tests/unit

check: $(READY) ## Lint, types, layers and unit tests (under a minute)
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q tests/unit

soak: $(READY) ## The long proofs: the whole upgrade corpus, crashes, killed workers, rollbacks and syncs
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m soak
	$(BIN)/python tests/soak/pipenv_corpus.py

bench: $(READY) ## The speed and memory figures of the README, against uv, git, copier, supervisord, Turborepo ...
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.snapshots
	$(BIN)/python -m benchmarks.remote
	$(BIN)/python -m benchmarks.enqueue
	$(BIN)/python -m benchmarks.analysis

clean: ## Remove what make made, but for the environment
	rm -rf demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environment too
	rm -rf $(VENV)
