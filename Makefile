# Everything starts from a checkout, Python 3.11 or newer and git; packages come through pip's ordinary configuration.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRONTEND := dxforge_nb/frontend
PANELS := dxforge_nb/static/panel.js
MODULES := $(FRONTEND)/node_modules/.with-tests
# Two is what `make test` is held to; more cores make it faster.
JOBS ?= 2

.PHONY: help demo test check panels browser docs notebooks typed soak bench clean distclean
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

# The notebook's panels are bundled when dxforge is installed; here, again when their sources change.
$(MODULES): $(FRONTEND)/package-lock.json | $(READY)
	cd $(FRONTEND) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(PANELS): $(MODULES) $(FRONTEND)/build.mjs $(shell find $(FRONTEND)/src -type f)
	cd $(FRONTEND) && npm run --silent build
	@touch $@

demo: $(READY) ## Small projects in ./demo: install, edit, upgrade, undo; build a page, watch, kill a tool
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/demo_web.py

test: check browser ## Everything that a change must pass (under 15 minutes)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --ignore=tests/unit

check: $(READY) panels ## Lint, types, layers and unit tests (under a minute)
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q tests/unit

ifeq ($(shell command -v npm),)
panels browser:
	@echo "Node.js and npm are not on the PATH: the notebook's panels are neither built nor tested" >&2
else
panels: $(PANELS) ## The notebook's panels: bundled, type-checked, unit-tested (needs Node.js)
	cd $(FRONTEND) && npm run --silent check && npm test --silent

browser: $(READY) ## A Chromium for the browser tests; with apt and as root, it is installed
	@$(BIN)/python -m scripts.browser
endif

docs: $(READY) ## The documentation as a site, in ./docs/_build
	$(BIN)/python -m sphinx -W --keep-going -n -q docs docs/_build

notebooks: $(READY) ## Run the notebooks, and store the outputs that the tests compare
	$(BIN)/python scripts/notebooks.py

typed: $(READY) ## Type the commands that the documentation shows, and store what they print
	DXFORGE_BACKGROUND=0 $(BIN)/python scripts/typed.py docs/tutorial.md docs/howto/*.md

soak: $(READY) ## The long proofs: the whole upgrade corpus, crashes, killed workers, rollbacks and syncs
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m soak
	$(BIN)/python tests/soak/pipenv_corpus.py

bench: $(READY) ## The speed and memory figures of the README, against uv, git, copier, supervisord, Turborepo ...
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.snapshots
	$(BIN)/python -m benchmarks.remote
	$(BIN)/python -m benchmarks.enqueue
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.panels

clean: ## Remove what make made, but for the environment
	rm -rf demo dist build docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environment and the panels too
	rm -rf $(VENV) .cache $(FRONTEND)/node_modules dxforge_nb/static
