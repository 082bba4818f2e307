# `make help` lists the targets. With PHOTOS=<folder of class folders> the sandbox's marketplace sells your own photos.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PHOTOS ?=
RETRY ?=
N ?=
BASE ?= main
DAYS ?= 30
ID ?=
VERSION ?=
WRITE ?=
SCALE ?= 0.01
# All tests run in a process more than there are cores, as they often wait for servers; faults in two more, as they wait
# longer. The tests that TESTS names run in one process, which starts sooner.
PROCESSES ?= $(if $(TESTS),0,$(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))))
# Existing pins stay, unless a requirement asks for another version.
COMPILE = $(BIN)/uv pip compile --quiet --no-annotate --no-header

export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/pipeline  ## Run the whole pipeline on a sandbox marketplace; PHOTOS=<folder> for your own photos
	$(BIN)/python -m sandbox demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: .venv/pipeline .venv/train  ## Run all tests, on real servers and every core; TESTS=<path> runs some
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(TESTS)

faults: .venv/pipeline .venv/train  ## Inject every fault that imageset has to survive, and write the table of docs/reliability.md
	rm -rf .cache/faults
	$(BIN)/python -m pip install --quiet --upgrade --target .cache/atheris -r requirements-fuzz.txt || echo 'no fuzzing: atheris has no wheel here'
	FAULTS=all $(BIN)/python -m pytest --numprocesses $$(($(PROCESSES) + 1)) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 tests; \
		status=$$?; $(BIN)/python -m tests.faults.table && exit $$status

bench-million: .venv/pipeline  ## Measure each stage at a million photos times SCALE (0.01); the same command continues a run that was killed
	$(BIN)/python -m benchmarks.growth --scale $(SCALE)

coverage: .venv/pipeline .venv/train  ## Run all tests and measure coverage; coverage.md lists the lines that no test runs
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --cov --cov-report=markdown:coverage.md $(TESTS)

platforms: .venv/uv  ## Print the table of docs/platforms.md: the Pythons and systems with wheels for all pins
	$(BIN)/python -m tools.platforms

lint: .venv/pipeline .venv/train  ## Run ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/pipeline .venv/train  ## Build the site from docs/ and the reader's docstrings, in .site
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env -c docs . .site

services: .venv/pipeline  ## Start the sandbox's servers in the background, and write .env
	$(BIN)/python -m sandbox services $(if $(PHOTOS),--photos "$(PHOTOS)")

stop: .venv/pipeline  ## Stop the servers that `make services` started
	$(BIN)/python -m sandbox stop

report: .venv/pipeline  ## Open data/report.html, the page to decide and work with, in the browser
	@$(BIN)/python -m tools.open_page

plan: .venv/pipeline  ## Say what `dvc repro` is about to do, and how long that takes; N=100000 for so many photos
	@$(BIN)/python -m tools.plan $(if $(N),--photos $(N))

check: .venv/pipeline  ## Try database, queries, bucket, a photo, weights, disk and DVC's remote in ten seconds; WRITE=1 writes an object
	@$(BIN)/python -m tools.check $(if $(WRITE),--write)

compare: .venv/pipeline  ## Say what this tree does to the dataset, against the revision BASE (main)
	@$(BIN)/python -m tools.compare "$(BASE)"

refresh: .venv/pipeline  ## Read database, web and bucket again, then rerun what changed; RETRY=<reason> repeats refused downloads
	$(BIN)/dvc repro --force --single-item listings labels
	$(if $(RETRY),$(BIN)/python -m stages.ingest $(addprefix --retry ,$(RETRY)) data/listings.csv data/labels.csv data/classes.csv corrections/takedowns.csv data/ingest.csv)
	$(BIN)/dvc repro --force --single-item ingest inventory
	$(BIN)/dvc repro

cluster: .venv/pipeline  ## Run a Dask cluster on this machine until Ctrl-C; IMAGESET_DASK sends work there
	$(BIN)/python -m sandbox.cluster

release: .venv/pipeline  ## Fix the subsets and labels of this dataset and push it: VERSION=v1.2.0
	$(BIN)/python -m tools.release $(VERSION)

prune: .venv/pipeline  ## Remove masks, embeddings, pixels and photos from the caches that no run has used for DAYS days (30)
	$(BIN)/python -m tools.prune --days $(DAYS)

forget: .venv/pipeline  ## Remove a product's photos for good, after asking: ID=1234567
	$(BIN)/python -m tools.forget $(ID)

environment: .venv/pipeline .venv/train  ## Install everything in .venv

constraints:  ## Renew the pins of what the requirements bring along, and the hashes of all files
	cat requirements-pixels.txt requirements.txt requirements-heif.txt requirements-dev.txt requirements-docs.txt | grep -v '^-' > .constraints.in
	$(COMPILE) --python-version 3.11 .constraints.in -o constraints.txt
	$(COMPILE) --python-version 3.11 --universal --generate-hashes -c constraints.txt .constraints.in -o requirements.lock
	$(COMPILE) --python-version 3.11 --universal --generate-hashes requirements-uv.txt -o requirements-uv.txt
	rm .constraints.in

licences: environment  ## Write the licences of all that is installed into docs/libraries.md
	$(BIN)/python -m tools.licences

sbom: environment  ## Write sbom.json, all that is installed, in CycloneDX's format
	$(BIN)/python -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file sbom.json $(BIN)/python

.venv/uv: requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 15) else "imageset needs Python 3.11 to 3.14; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	touch $@

# Each file is checked against its sha256 in requirements.lock. torch is not in it: its wheel depends on the machine.
.venv/pipeline: .venv/uv requirements.lock
	@echo "Installing the environment into .venv: about half a minute"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	touch $@

.venv/train: .venv/pipeline requirements-train.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-train.txt
	touch $@

.PHONY: help demo test faults bench-million coverage platforms lint docs services stop report plan check compare refresh cluster release prune forget environment constraints licences sbom
.DELETE_ON_ERROR:
