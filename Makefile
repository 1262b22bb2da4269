# The commands of the README. Each can be repeated: what is installed already is not installed again.
VENV    := .venv
CLIENTS := .clients
TOOLS   := .tools
LOCKS   := configs/locks
IMAGES  := fast redis identity encryption otel
BIN     := $(VENV)/bin
PYTHON  ?= python3.11
CONFIG  ?= configs/local.yaml
ARGS    ?=
JOBS    ?= 2
URL     ?= http://127.0.0.1:8787
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install run demo serve test chaos clients lint types bench lock sbom audit fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.dev ## everything for development, into .venv

run: $(VENV)/.proxy ## start the proxy on 127.0.0.1:8787 (more options: make run ARGS="--port 9000")
	@$(BIN)/headroom proxy $(ARGS)

demo: $(VENV)/.proxy ## what compression does to three tool outputs; no key, no network
	@$(BIN)/headroom demo $(ARGS)

serve: $(VENV)/.serve ## start the Ray Serve application (another one: make serve CONFIG=configs/prod.yaml)
	@$(BIN)/headroom serve $(CONFIG) $(ARGS)

test: $(VENV)/.dev ## run every test, in JOBS=2 processes (a part of them, in one: make test ARGS=tests/cli)
	@$(BIN)/python -m pytest $(or $(ARGS),-n $(JOBS))

chaos: $(VENV)/.dev ## break a cluster under load, and tell what came of it: docs/reliability.md
	@$(BIN)/python -m pytest tests/chaos -m chaos $(ARGS)

lint: $(VENV)/.dev ## style, formatting and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(VENV)/.dev ## strict type check
	@$(BIN)/mypy

clients: $(CLIENTS)/.installed ## install the real claude, codex and aider, which tests/clients then runs (needs npm)

bench: $(VENV)/.proxy ## how fast compression is on this machine
	@$(BIN)/python -m benchmarks.compress $(ARGS)

lock: $(TOOLS)/.installed ## what the images install, each file by its hash, from constraints.txt: configs/locks
	@for name in proxy serve; do \
		$(TOOLS)/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
			--constraint constraints.txt --extra $$name $(addprefix --extra ,$(IMAGES)) --custom-compile-command "make lock" \
			--output-file $(LOCKS)/$$name.txt pyproject.toml || exit; \
	done

sbom: $(TOOLS)/.installed ## what is in the images, as CycloneDX: dist/*.cdx.json
	@mkdir -p dist
	@for name in proxy serve; do \
		$(TOOLS)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/$$name.cdx.json $(LOCKS)/$$name.txt || exit; \
	done

fuzz: $(TOOLS)/.installed ## our own routes of a running server against their OpenAPI document: make fuzz URL=http://127.0.0.1:8787
	@$(TOOLS)/bin/schemathesis run $(URL)/openapi.json --checks not_a_server_error --exclude-path /readyz $(ARGS)

audit: $(TOOLS)/.installed ## known vulnerabilities of what the images install
	@for name in proxy serve; do $(TOOLS)/bin/pip-audit --disable-pip --require-hashes --requirement $(LOCKS)/$$name.txt || exit; done

clean: ## remove .venv, caches and build outputs
	@rm -rf $(VENV) $(CLIENTS) $(TOOLS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@if [ ! -x $(BIN)/python ]; then \
		for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13; do \
			if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Headroom needs Python 3.11 or newer, and none was found. Install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
			exit 1; \
		fi; \
		$$found -m venv $(VENV) || { echo "$$found cannot create a virtual environment (on Debian and Ubuntu: apt install python3.11-venv)" >&2; rm -rf $(VENV); exit 1; }; \
	fi
	@touch $@

$(VENV)/.proxy: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing the proxy into $(VENV) (once) ..."
	@$(INSTALL) --editable '.[proxy,fast]'
	@$(BIN)/python -m headroom.cli.vocabulary
	@touch $@

$(VENV)/.serve: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing the proxy and Ray Serve into $(VENV) (once) ..."
	@$(INSTALL) --editable '.[proxy,fast,serve]'
	@touch $@ $(VENV)/.proxy

$(VENV)/.dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing everything that the tests need into $(VENV) (once, some minutes) ..."
	@$(INSTALL) --editable '.[proxy,fast,serve,dev]'
	@touch $@ $(VENV)/.serve $(VENV)/.proxy

$(CLIENTS)/.installed: tests/clients/package.json tests/clients/package-lock.json tests/clients/aider.txt
	@echo "Installing claude, codex and aider into $(CLIENTS) (once) ..."
	@mkdir -p $(CLIENTS)
	@cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	@npm ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error
	@node $(CLIENTS)/node_modules/@anthropic-ai/claude-code/install.cjs
	@$(BIN)/python -m venv $(CLIENTS)/aider
	@$(CLIENTS)/aider/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/clients/aider.txt
	@touch $@

$(TOOLS)/.installed: $(VENV)/.created
	@$(BIN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv cyclonedx-bom pip-audit schemathesis
	@touch $@
