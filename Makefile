# `make` alone says what there is. Everything below sets up what it needs by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GO_TOOLS := .bench/go
PROMETHEUS := deploy/prometheus
# What the tests run beside the exporter.
TOOLS := sh scripts/packages.sh git:git prometheus:prometheus prometheus:promtool $\
    prometheus-alertmanager:prometheus-alertmanager prometheus-alertmanager:amtool $\
    prometheus-blackbox-exporter:prometheus-blackbox-exporter $\
    bash:bash chromium:chromium curl:curl jq:jq openssl:openssl

# Modules without I/O and without a clock: nothing excuses a branch that no test takes.
PURE := exporter/advice/*,exporter/caching.py,exporter/chain.py,exporter/codings.py,exporter/deadlines.py,$\
    exporter/documents.py,exporter/durations.py,exporter/families.py,exporter/family.py,$\
    exporter/faults.py,exporter/findings.py,exporter/history.py,exporter/judge.py,exporter/keys.py,$\
    exporter/material.py,exporter/metric.py,exporter/model.py,exporter/reasons.py,$\
    exporter/reply.py,exporter/sharding.py,$\
    exporter/samples.py,exporter/state.py,exporter/strict_json.py,exporter/summary.py,$\
    exporter/text.py,exporter/urls.py,exporter/web/overview.py,exporter/web/rows.py,$\
    exporter/web/words.py

# Root on a Debian: a container and a machine, both in folders.
IMAGE := .bench/image
MACHINE := .bench/machine

# Python is started here hundreds of times. Where the environment forbids it to keep what it
# has compiled, each start would compile every library again, and take twice as long.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage check check-extended check-image check-service dist docs \
    bench soak lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run the exporter on local issuers, good and bad, until Ctrl-C
	@exec $(BIN)/oidc-issuer-exporter demo $(ARGS)

test: $(READY) ## Run the whole test suite (ARGS=... for pytest)
	@$(TOOLS)
# More workers than cores, as the longest tests mostly wait for Prometheus; in the order of
# their names, by which the longest come early.
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: override ARGS += --cov --cov-report=term --cov-fail-under=95
coverage: test ## The same, held to 95 % of the package's branches and all of its pure modules
	$(BIN)/coverage report --fail-under=100 --include='$(PURE)'

check: $(READY) ## Lint, formatting, types, rules and their tests, dashboards, packaging
	@$(TOOLS) systemd:systemd-analyze
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python $(PROMETHEUS)/build.py --check
	$(BIN)/python -m grafana.build --check
	$(BIN)/python -m deploy.helm.build --check
	$(BIN)/yamllint --strict --config-file deploy/yamllint.yaml .github deploy grafana config.example.yaml
	promtool check rules --lint=all --lint-fatal $(PROMETHEUS)/rules/*.yaml
	promtool check config $(PROMETHEUS)/prometheus.yaml
	promtool check config $(PROMETHEUS)/prometheus-vantages.yaml
	promtool check config $(PROMETHEUS)/prometheus-probe.yaml
	promtool test rules $(PROMETHEUS)/tests/*.test.yaml
	amtool check-config deploy/alertmanager/alertmanager.yaml
	$(BIN)/shellcheck .ci/run scripts/*.sh
	$(BIN)/hadolint deploy/docker/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	sh scripts/units.sh

check-extended: $(READY) check-image check-service ## Those two; rules, dashboards, manifests and chart by tools built here (needs Go)
	@sh scripts/go-tools.sh $(GO_TOOLS)
	$(GO_TOOLS)/promtool check rules --lint=all --lint-fatal $(PROMETHEUS)/rules/*.yaml
	$(GO_TOOLS)/promtool check config $(PROMETHEUS)/prometheus.yaml
	$(GO_TOOLS)/promtool check config $(PROMETHEUS)/prometheus-vantages.yaml
	$(GO_TOOLS)/promtool check config $(PROMETHEUS)/prometheus-probe.yaml
	$(GO_TOOLS)/promtool check config $(PROMETHEUS)/prometheus-kubernetes.yaml
	$(GO_TOOLS)/promtool test rules $(PROMETHEUS)/tests/*.test.yaml
	$(GO_TOOLS)/pint --offline --config $(PROMETHEUS)/pint.hcl lint --min-severity=warning \
	    --fail-on=warning $(PROMETHEUS)/rules
	for dashboard in grafana/dashboards/*.json; do \
	    $(GO_TOOLS)/dashboard-linter lint --strict "$$dashboard" || exit 1; done
	sh scripts/grafana-schema.sh .bench/grafana-schema
	$(BIN)/pytest tests/extended/chart.py tests/extended/schemas.py

check-image: $(READY) ## Build the container image and run it (root on Debian)
	@sh scripts/packages.sh git:git buildah:buildah mmdebstrap:mmdebstrap
	sh scripts/image.sh $(IMAGE)
	$(BIN)/pytest tests/extended/image.py
	@sh scripts/image.sh $(IMAGE) end

check-service: $(READY) ## Run the service under a systemd of its own (root on Debian)
	@sh scripts/packages.sh git:git mmdebstrap:mmdebstrap systemd-container:systemd-nspawn
	sh scripts/machine.sh $(MACHINE)
	$(BIN)/pytest tests/extended/service.py

dist: $(READY) ## Build the source archive and the wheel into dist/
	@sh scripts/dist.sh $(BIN)/python dist

docs: $(READY) ## Write what is generated anew, dashboards too (the tests hold it to the code)
	$(BIN)/python -m exporter.config docs
	$(BIN)/python -m exporter.web docs/web-config.md
	$(BIN)/python -m exporter.web.api_schema docs/api.schema.json
	$(BIN)/python -m exporter.catalogue docs/metrics.md
	$(BIN)/python -m exporter.advice docs/how-sts-sees-an-issuer.md docs/runbooks/*.md
	$(BIN)/python -m exporter.demo.verdicts docs/real-issuers.md
	$(BIN)/python $(PROMETHEUS)/build.py
	$(BIN)/python -m grafana.build
	$(BIN)/python -m deploy.helm.build

bench: $(READY) ## Measure speed and accuracy beside blackbox_exporter (ARGS=--quick)
	@sh scripts/packages.sh nginx-light:nginx prometheus-blackbox-exporter:prometheus-blackbox-exporter
	@exec $(BIN)/python -m bench $(ARGS)

soak: $(READY) ## Run the exporter for ten minutes under everything at once (ARGS="--minutes 2")
	@sh scripts/packages.sh util-linux:setpriv
	@exec $(BIN)/python -m bench.soak $(ARGS)

lock: ## Pin the dependencies again (ARGS=--upgrade for newer ones)
	@sh scripts/lock.sh $(PYTHON) $(ARGS)

clean: ## Remove what was made here, the virtual environment too
	rm -rf $(VENV) .venv-lock build dist *.egg-info .bench .coverage .coverage.* \
	    .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements-dev.lock scripts/venv.sh
	@sh scripts/venv.sh $(PYTHON) $(VENV)
	@touch $@
