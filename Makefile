# Everything a developer or user does here, one word each. Needs make, git and Python 3.11 or 3.12; no Node.js, no root.
# Python packages go to .venv, Node.js packages to node_modules; stamp files there make a second call do nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.NOTPARALLEL:

# The first interpreter of a supported version that really starts (a version manager's shim may not).
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo "$$p" && break; done)
# Test processes at once; "make test JOBS=1" runs in one. ARGS goes to the command a target runs.
JOBS ?= auto
ARGS ?=

BIN := .venv/bin
RUNTIME := .venv/.medweave-runtime
DEV := .venv/.medweave-dev
NODE := node_modules/.medweave
IPFS := .cache/ipfs/.medweave
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# Scripts that begin with "#!/usr/bin/env node" find the packaged Node.js there (tools/node_env.py).
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help:  ## list what make can do here
	@sed -n 's/^\([a-z-]*\):[^#]*##  *\(.*\)/  make \1 | \2/p' Makefile | \
		while IFS='|' read -r name text; do printf '%-18s%s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(RUNTIME) $(NODE)  ## a whole consortium on this machine: four hospitals, a chain, three rounds, an audit
	$(BIN)/medweave demo $(ARGS)

.PHONY: install
install: $(RUNTIME) $(NODE)  ## what running a node needs: .venv/bin/medweave and the chain's binaries

.PHONY: dev
dev: $(DEV) $(NODE)  ## what developing needs besides: test, lint and type tools

.PHONY: test
test: $(DEV) $(NODE)  ## all tests; make test ARGS="tests/storage -k cid" runs some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

.PHONY: test-slow
test-slow: $(DEV) $(NODE)  ## the tests that take minutes: exactness over a thousand ceremonies, memory at 50 million parameters
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --timeout 3600 -n $(JOBS) --dist loadfile $(ARGS)

.PHONY: ipfs
ipfs: $(IPFS)  ## js-ipfs in .cache/ipfs, for the tests that need an IPFS node; without it they are skipped

.PHONY: reference
reference: $(DEV)  ## docs/reference written anew from the code: commands, settings, errors, log lines, the contracts' events
	$(BIN)/python -m tools.reference

.PHONY: chromium
chromium:  ## Debian's Chromium (as root, with apt-get), for the tests of the dashboard; without it they are skipped
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

.PHONY: screenshots
screenshots: $(DEV) $(NODE)  ## the pictures in docs/pictures/dashboard-*.png, of a network that is run for them; takes minutes
	$(BIN)/python tools/screenshots.py $(ARGS)

.PHONY: check
check: $(DEV) $(NODE)  ## what must hold before a commit: lint, format, types, import directions, contract artefacts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m chain.compile --check

.PHONY: format
format: $(DEV)  ## rewrite the Python files in the house's form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: contracts
contracts: $(DEV) $(NODE)  ## compile contracts/ into chain/artifacts
	$(BIN)/python -m chain.compile

.PHONY: bench
bench: $(DEV) $(NODE)  ## every benchmark: prints its table, writes JSON to benchmarks/out; ARGS="round --repeats 1" runs one
	$(BIN)/python -m benchmarks --out benchmarks/out $(ARGS)

.PHONY: walkthrough
walkthrough: $(RUNTIME) $(NODE)  ## record docs/walkthrough.md anew: three hospitals onboard on real processes, one leaves; minutes
	$(BIN)/python -m tools.walkthrough --out docs/walkthrough.md

.PHONY: lock
lock: | $(BIN)/python  ## rewrite constraints.txt from a clean install of pyproject.toml
	rm -rf .cache/lock
	$(BIN)/python -m venv .cache/lock
	.cache/lock/bin/python -m pip install --disable-pip-version-check '.[dev,nodejs]'
	head -n 2 constraints.txt > .cache/constraints.txt
	.cache/lock/bin/python -m pip list --disable-pip-version-check --format=freeze --exclude pip --exclude medweave \
		| sed 's/+cpu$$//' | LC_ALL=C sort -f >> .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt
	rm -rf .cache/lock

.PHONY: clean
clean:  ## remove caches and what the tools build; keeps .venv, node_modules and runs
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis contracts/out contracts/cache benchmarks/out
	find $(wildcard node dag crypto chain tests benchmarks tools) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## clean, and remove .venv and node_modules as well
	rm -rf .venv node_modules

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found; install one, or say make PYTHON=/path/to/python" >&2; exit 4; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; \
		echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu install its -venv package" >&2; exit 4; }

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Python packages into .venv; the first time takes minutes."
	$(PIP_INSTALL) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Python packages into .venv; the first time takes minutes."
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(RUNTIME) $@

$(NODE): package.json package-lock.json tools/node_env.py | $(BIN)/python
	$(BIN)/python tools/node_env.py
	@touch $@

$(IPFS): tools/ipfs_env.py tools/node_env.py | $(BIN)/python
	$(BIN)/python tools/ipfs_env.py
	@touch $@
