# Every target works on a fresh machine with Python 3.11 and make; CI calls only these.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := pipeline stages attestations registries
UNIT := tests/unit tests/contracts tests/properties tests/attacks tests/conformance
PYTEST := $(BIN)/python -m pytest -q -p no:cacheprovider

.PHONY: help dev format lint unit test sweeps offline coverage sizes transcript generate generated check peers sigstore-up sigstore-down fuzz bench demo lock package clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "samebits needs Python 3.11 or later"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked requirements"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

dev: $(STAMP) ## Make the environment from the lock file

format: $(STAMP) ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP) ## Format check, ruff, mypy --strict, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP) ## The tests that need nothing: seconds
	$(PYTEST) -n auto $(UNIT)

test: $(STAMP) ## Everything: unit, end to end, and every peer program that is found (SAMEBITS_REQUIRE=all: must be)
	$(PYTEST) -n auto tests

sweeps: $(STAMP) ## Kills, faults, signals and races at every request of a promotion, and how many points there were
	SAMEBITS_SWEEP=all $(PYTEST) -n auto -rP tests/sweeps

offline: $(STAMP) ## The unit tests in a network namespace of their own: only loopback is there
	@for how in "unshare --net" "unshare --map-root-user --net"; do \
	  if $$how true 2>/dev/null; then \
	    exec $$how sh -c '$(BIN)/python scripts/loopback_up.py && exec $(PYTEST) -n auto $(UNIT)'; \
	  fi; \
	done; echo "offline: no permission to make a network namespace here"; exit 1

coverage: $(STAMP) ## Branch coverage of the unit tests
	$(BIN)/coverage run -m pytest -q -p no:cacheprovider $(UNIT)
	$(BIN)/coverage report --skip-covered --show-missing

sizes: ## Lines of code by module
	@find $(CODE) -name '*.py' | xargs wc -l | sort -n

transcript: $(STAMP) ## Run the demonstration and put its transcript into the README
	$(BIN)/python scripts/transcript.py

generate: $(STAMP) ## Regenerate the reference pages and the schema
	$(BIN)/python scripts/generate.py

generated: $(STAMP) ## Fail when a generated file is not what the code says
	$(BIN)/python scripts/generate.py --check

check: lint offline generated ## What must hold before a commit

peers: ## Install or build the programs that others wrote, pinned, into .cache/peers
	scripts/peers.sh

sigstore-up: $(STAMP) ## Start a private Sigstore on loopback (after make peers); its trust files are in .cache/sigstore
	@$(BIN)/python -m scripts.private_sigstore up .cache/sigstore

sigstore-down: $(STAMP) ## End the private Sigstore, and remove its keys and log
	@$(BIN)/python -m scripts.private_sigstore down .cache/sigstore

# With ONLY=bd a part is measured and shown, nothing written. Also ROUNDS=5, REGISTRIES=ggcr,samebits and WATERFALL=1.
fuzz: $(STAMP) ## Fuzz what reads bundles for a bounded time (EACH=10 seconds a target, SEED, ONLY=bundle,…)
	@$(BIN)/python -m tests.fuzz --seconds $(or $(EACH),10) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

bench: $(STAMP) ## Measure samebits beside other tools, and write docs/benchmarks.md
	@scripts/peers.sh --if-possible
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY),--write) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(REGISTRIES),--registries $(REGISTRIES)) $(if $(WATERFALL),--waterfall)

demo: $(STAMP) ## The whole thing on a laptop: build, test, prod, then five forgeries (KEEP=DIR keeps its folder)
	@$(BIN)/samebits demo $(if $(KEEP),--keep $(KEEP))

lock: $(STAMP) ## Resolve the requirements again, with hashes and a cool-down of seven days
	scripts/lock.sh

package: $(STAMP) ## The wheel, reproducible
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -t wheel

clean: ## Remove what was built (not the cache of peers)
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .hypothesis .pytest_cache .import_linter_cache
