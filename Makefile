# Countersign. `make` alone lists what there is; each target first sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Any Python from 3.11 on; the product's own 3.13 is found or fetched by the installer.
PYTHON ?= python3
VENV := .venv/bin
# For checks that read the portal's settings; apart from what `make serve` keeps.
WITH_SERVERS := $(VENV)/python -m deploy.embedded run --home var/check --
# A file of tests stays in one process; each process has servers of its own (tests/servers.py).
SPREAD := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PORTAL_PORT

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: setup
setup: ## Install what the product needs here; nothing when it is all there
	@$(PYTHON) deploy/install.py

.PHONY: setup-tests
setup-tests:
	@$(PYTHON) deploy/install.py --tests

.PHONY: demo
demo: setup ## The main job once: form, pull request, countersignature, verified evidence pack
	@$(VENV)/python -m deploy.stack demo

.PHONY: serve
serve: setup ## The portal with demonstration data, until Ctrl-C (PORTAL_PORT=8000)
	@$(VENV)/python -m deploy.stack serve

.PHONY: stop
stop: setup ## End the portal and its servers
	@$(VENV)/python -m deploy.stack stop

.PHONY: test
test: setup-tests ## The tests, without the slow ones (ARGS="-k name" for some)
	@$(VENV)/python -m pytest $(SPREAD) -m "not slow" $(ARGS)

.PHONY: test-all
test-all: setup-tests ## All the tests, with the long ones
	@$(VENV)/python -m pytest $(ARGS)

.PHONY: check
check: setup-tests ## What CI runs: format, lint, types, imports, migrations, API, docs, tests
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(WITH_SERVERS) $(VENV)/mypy .
	$(VENV)/lint-imports
	$(WITH_SERVERS) env DATABASE_ROLE=owner $(VENV)/python manage.py makemigrations --check --dry-run
	$(WITH_SERVERS) env DATABASE_ROLE=owner $(VENV)/python manage.py bootstrap
	$(WITH_SERVERS) $(VENV)/python manage.py check_rls
	$(WITH_SERVERS) $(VENV)/python manage.py write_openapi --check
	$(WITH_SERVERS) $(VENV)/python manage.py write_tool_schemas --check
	NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict --quiet --site-dir build/site
	@$(MAKE) test

.PHONY: bench
bench: setup ## Measure what the product promises, with machine and date
	@$(VENV)/python -m tests.bench $(ARGS)

.PHONY: verify
verify: setup ## Check an evidence pack offline: make verify PACK=file.zip KEY=log.vkey
	@test -n "$(PACK)" || { echo "Name the pack: make verify PACK=file.zip KEY=log.vkey" >&2; exit 2; }
	@test -n "$(KEY)" || { echo "Name the log's key, got apart from the pack: KEY=log.vkey" >&2; exit 2; }
	@PYTHONPATH=evidence/verifier $(VENV)/python -m countersign_verify "$(PACK)" --key "$(KEY)"

.PHONY: docs
docs: setup ## Build the documentation into build/site
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict --site-dir build/site
