# `make` alone says what there is. Everything below sets up what it needs by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run the exporter on local issuers, good and bad, until Ctrl-C
	@exec $(BIN)/oidc-issuer-exporter demo

test: $(READY) ## Run the whole test suite (ARGS=... for pytest)
	@sh scripts/packages.sh prometheus:prometheus prometheus:promtool curl:curl openssl:openssl
	$(BIN)/pytest -n 2 $(ARGS)

check: $(READY) ## Lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock: ## Pin the dependencies again (ARGS=--upgrade for newer ones)
	@sh scripts/lock.sh $(PYTHON) $(ARGS)

clean: ## Remove what was made here, the virtual environment too
	rm -rf $(VENV) .venv-lock build dist *.egg-info .bench .coverage .coverage.* \
	    .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements-dev.lock scripts/venv.sh
	@sh scripts/venv.sh $(PYTHON) $(VENV)
	@touch $@
