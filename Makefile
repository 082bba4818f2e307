# `make help` lists the targets. PHOTOS=<folder of class folders> makes a marketplace of your own photos.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PHOTOS ?=
RETRY ?=
DAYS ?= 30
VERSION ?=
# All tests take every core. The tests that TESTS names take one process, which starts sooner.
PROCESSES ?= $(if $(TESTS),0,logical)

export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## Say what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/pipeline  ## Servers, a marketplace, the whole pipeline and a push; then says where the results are
	$(BIN)/python -m sandbox demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: .venv/pipeline .venv/train .venv/docs  ## Every test, on real servers and every core; TESTS=<path> for some
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(TESTS)

coverage: .venv/pipeline .venv/train .venv/docs  ## Every test, measured: coverage.md says what no test runs
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal --cov --cov-report=markdown:coverage.md $(TESTS)

platforms: .venv/uv  ## The table of docs/platforms.md: for which Pythons and systems the pins have wheels
	$(BIN)/python -m tools.platforms

lint: .venv/pipeline  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/pipeline .venv/train .venv/docs  ## The site, from docs/ and the reader's docstrings, in .site
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env -c docs . .site

services: .venv/pipeline  ## The sandbox's servers in the background; writes .env
	$(BIN)/python -m sandbox services $(if $(PHOTOS),--photos "$(PHOTOS)")

stop: .venv/pipeline  ## End the servers that `make services` started
	$(BIN)/python -m sandbox stop

refresh: .venv/pipeline  ## Read database, web and bucket anew, then rerun what that affects; RETRY=<reason> asks again
	$(BIN)/dvc repro --force --single-item listings labels
	$(if $(RETRY),$(BIN)/python -m stages.ingest $(addprefix --retry ,$(RETRY)) data/listings.csv data/ingest.csv)
	$(BIN)/dvc repro --force --single-item ingest inventory
	$(BIN)/dvc repro

cluster: .venv/pipeline  ## A Dask cluster on this machine, until Ctrl-C; IMAGESET_DASK sends preprocess there
	$(BIN)/python -m sandbox.cluster

release: .venv/pipeline  ## Fix the sides and numbers of this dataset and push it: VERSION=v1.2.0
	$(BIN)/python -m tools.release $(VERSION)

prune: .venv/pipeline  ## Remove from the cache what no run has used for DAYS days
	$(BIN)/python -m tools.prune --days $(DAYS)

environment: .venv/pipeline .venv/train .venv/docs  ## All that is installed, in .venv

constraints:  ## Pin anew what the requirements bring along
	cat requirements-pixels.txt requirements.txt requirements-export.txt requirements-dev.txt requirements-docs.txt | grep -v '^-' > .constraints.in
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header .constraints.in -o constraints.txt
	rm .constraints.in

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "imageset needs Python 3.11 or later; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	touch $@

.venv/pipeline: .venv/uv requirements-pixels.txt requirements.txt requirements-export.txt requirements-dev.txt constraints.txt
	@echo "Installing the environment into .venv: about half a minute"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-dev.txt
	touch $@

.venv/train: .venv/pipeline requirements-train.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-train.txt
	touch $@

.venv/docs: .venv/pipeline requirements-docs.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-docs.txt
	touch $@

.PHONY: help demo test coverage platforms lint docs services stop refresh cluster release prune environment constraints
.DELETE_ON_ERROR:
