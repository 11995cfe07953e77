# `make up` and `make demo` are the two commands of a newcomer; `make test` is what CI runs.

PYTHON ?= python3
BIN := .venv/bin
COVERAGE_FLOOR := 89
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

CONSOLE := logitrack_service/console
CONSOLE_SOURCES := $(shell find $(CONSOLE)/web -name node_modules -prune -o -type f -print) $(CONSOLE)/build.py \
  logitrack_assets/reference/zones.csv logitrack_assets/reference/zones.topojson

.PHONY: up demo test proof mutants lint format lock wheel sample bench yardstick clean help console client

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

# The API works without the console, so a machine that cannot reach the npm registry still comes up.
up: .venv/ready  ## run everything until Ctrl-C
	-@$(MAKE) --no-print-directory console
	@$(BIN)/logitrack up

demo: .venv/ready  ## run everything once, from trips to a prediction over HTTP
	@$(BIN)/logitrack demo

# Three workers on two cores: many tests wait for a process or for PostgreSQL. Two begin with Spark and an installation.
test: lint console  ## lint, then every test but the long ones, with branch coverage
	$(BIN)/python $(CONSOLE)/build.py --test
	$(BIN)/python -m pytest -m "not long" -n 3 --dist loadscope --no-loadscope-reorder --durations 15 \
	  --cov --cov-report term --cov-fail-under $(COVERAGE_FLOOR)

proof: .venv/ready-dev  ## the tests of minutes: killed processes, hostile requests, whole installations
	$(BIN)/python -m pytest -m long --durations 0

mutants: .venv/ready-dev  ## change the pure modules in one place at a time: a test has to fail for each change
	$(BIN)/python -m logitrack_tests.project.mutants

lint: .venv/ready-dev  ## style, types, import contracts, database tables, OpenAPI document
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m logitrack_assets.database.check
	$(BIN)/python -m logitrack_tests.project.openapi_lint
	$(BIN)/python -m logitrack_tests.project.console_client --check
	$(BIN)/python $(CONSOLE)/build.py --check

format: .venv/ready-dev  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python $(CONSOLE)/build.py --format

bench: .venv/ready-dev  ## measure a month beside DuckDB, and the service under load (needs hey)
	$(BIN)/python -m logitrack_tests.benchmarks.trips_month
	$(BIN)/python -m logitrack_tests.benchmarks.service_load
	$(BIN)/python -m logitrack_tests.benchmarks.spark_in_request

yardstick: .venv/ready-dev  ## score the model beside public recipes on the newest months of .logitrack
	$(BIN)/python -m logitrack_tests.benchmarks.yardstick

sample: .venv/ready  ## rebuild the packaged sample of real trips
	$(BIN)/python -m logitrack_assets.sample.build

lock: .venv/ready-dev  ## lock the dependencies of pyproject.toml and export them for pip
	$(BIN)/python requirements/lock.py

console: $(CONSOLE)/built/index.html  ## build the web console, with the Node.js of the machine or one from a wheel

$(CONSOLE)/built/index.html: $(CONSOLE_SOURCES) | .venv/ready
	@$(BIN)/python $(CONSOLE)/build.py --has-npm 2>/dev/null \
	  || $(PIP) install --no-deps --require-hashes -r requirements/console.txt
	@echo "Building the web console…"
	@$(BIN)/python $(CONSOLE)/build.py

client: .venv/ready-dev  ## write the types of the web console's client from the OpenAPI document
	$(BIN)/python -m logitrack_tests.project.console_client

wheel: console  ## build dist/logitrack-*.whl
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "logitrack needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv .venv \
	  || { echo "This Python cannot make virtual environments (Debian: apt-get install python3-venv)."; exit 1; }

# The exports are complete, so pip resolves nothing: it would refuse `gql[requests]`, which they pin without its extra.
.venv/ready: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing the pinned dependencies into .venv (a few minutes, once)…"
	@$(PIP) install --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/ready-dev: requirements/dev.txt .venv/ready
	@echo "Installing what the tests need…"
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

clean:  ## remove the environment (never the data in .logitrack)
	rm -rf .venv dist $(CONSOLE)/built $(CONSOLE)/web/node_modules
