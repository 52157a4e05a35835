# Everything a developer does here. Needs git, make and Python 3.11 or newer, and brings the rest
# into .venv by itself: its own uv when there is none, and what requirements.lock names, by hash.

PYTHON ?= python3
UV_VERSION := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MUTANTS := .venv-mutants
SOURCES := streams agents schemas benchmarks deploy docs/examples/python tests
# A uv that is on the PATH, else the one that `setup` puts into .venv.
UV = $$(command -v uv || echo $(BIN)/uv)

# Tests run in three processes, since those with real parts mostly wait; tests/conftest.py says which
# stay together.
SHARED_OUT := -n 3
# Where it is set, as in some images, each of the hundreds of processes that tests start would compile all anew.
export PYTHONDONTWRITEBYTECODE :=
# mutmut signals numbers of processes that have ended; apart from all others, nobody else has them.
APART := unshare --user --map-root-user --pid --fork --mount-proc

# Arguments for the verbs that take some, e.g. make demo ARGS="--days-per-second 0"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup format lint types walls schemas test tests test-fast test-long simulation check mutants demo bench dashboards docs \
	dashboards-preview lock clean

help: ## This list
	@$(PYTHON) -c 'import re; [print(f"  make {n:10} {t}") for n, t in re.findall(r"^(\S+):.*?## (.*)$$", open("Makefile").read(), re.M)]'

setup: $(INSTALLED) ## Bring all that is needed into .venv

$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

format: setup ## Format the code and mend what the linter can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint: setup ## Formatting and lint, without changing anything
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: setup ## mypy --strict
	$(BIN)/mypy

walls: setup ## Which package may import which
	$(BIN)/lint-imports

schemas: setup ## Schemas against the released ones, ids and generated documents against the sources
	$(BIN)/headroom schemas check

test: lint walls schemas ## All of it, as CI does; types are checked beside the tests, which mostly wait
	@$(MAKE) --no-print-directory -j2 types tests

tests: setup ## All tests alone, pure ones and those with real parts
	$(BIN)/pytest $(SHARED_OUT)

test-fast: setup ## Only the pure tests: no broker, no engine, seconds
	$(BIN)/pytest $(SHARED_OUT) -m "not connected and not slow and not long"

test-long: setup ## What takes too long for each change: more faults, for longer
	$(BIN)/pytest -s -m long -o faulthandler_timeout=5400

simulation: setup ## Thousands of runs under faults in memory (ARGS="--seed 17 --guarantee exactly_once": one again)
	PYTHONPATH=.:tests PYTHONHASHSEED=0 $(BIN)/python -m simulation.long $(ARGS)

check: test ## What CI runs

mutants: setup $(MUTANTS)/.installed ## Whether tests notice changed credit rules (long; ARGS="agents.credit.alerts.*": a part)
	@rm -rf mutants
	PATH="$(CURDIR)/$(MUTANTS)/bin:$$PATH" PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 \
		nice -n 15 $$($(APART) true 2> /dev/null && echo $(APART)) mutmut run $(ARGS)
	@$(MUTANTS)/bin/python tests/credit/mutants_score.py

$(MUTANTS)/.installed: requirements.lock pyproject.toml
	@test -x $(MUTANTS)/bin/python || $(BIN)/python -m venv $(MUTANTS)
	@$(UV) pip install --quiet --python $(MUTANTS)/bin/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(MUTANTS)/bin/python --group mutants
	@touch $@

demo: setup ## Two years of real receivables through real Kafka into ClickHouse
	$(BIN)/headroom demo $(ARGS)

bench: setup ## Throughput and latency on this machine
	$(BIN)/headroom bench pipeline $(ARGS)

dashboards: setup ## Grafana's dashboards from their sources (ARGS="--console URL --runbooks URL --to DIRECTORY": your own)
	$(BIN)/python -m deploy.grafana.write $(ARGS)

dashboards-preview: setup ## Pictures of them, with what a real run gives (ARGS="--seconds 30 --out DIRECTORY")
	PYTHONPATH=.:tests $(BIN)/python -m deploy.preview $(ARGS)

docs: setup ## Generated documents from their sources, and site/topics.html of the topics (needs node and npm)
	$(BIN)/headroom schemas docs
	@command -v npm >/dev/null || { echo "make docs: site/topics.html needs node and npm, and there is no npm here"; exit 1; }
	cd docs/asyncapi && npm ci --ignore-scripts && node check.mjs ../../schemas/asyncapi.json
	@mkdir -p site
	cd docs/asyncapi && node page.mjs ../../schemas/asyncapi.json ../../site/topics.html

lock: setup ## Resolve the dependencies anew: requirements.lock and the embedded parts' locks
	$(UV) pip compile --quiet --universal --python-version 3.11 --group dev pyproject.toml \
		--generate-hashes --no-emit-index-url -o requirements.lock
	$(BIN)/python -m streams.embedded.maven lock

clean: ## Remove what was made here; downloads in the user's cache stay
	rm -rf $(VENV) $(MUTANTS) mutants site docs/asyncapi/node_modules docs/examples/typescript/node_modules .headroom .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
