# `make demo` shows the main job from nothing to a running image; `make test` runs every test.
# Both set up what they need. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.requirements

LANES ?=

.PHONY: help demo test unit fuzz nightly seen lint docs tour site tekton format requirements engine clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.txt pyproject.toml scripts/venv.sh
	scripts/venv.sh $(VENV)
	touch $@

engine: ## Install podman and what the stand-in base image needs (as root), or say what is missing
	scripts/engine.sh

demo: $(STAMP) engine ## The main job: new-flavor, lock, check, strip, prefetch, hermetic build, both modes
	source scripts/engine-settings.sh && $(BIN)/python scripts/demo.py

test: $(STAMP) engine ## Lint and every test; LANES="unit security" runs some of the lanes, PYTEST_OPTIONS go to pytest
	source scripts/engine-settings.sh && $(BIN)/python scripts/run_tests.py $(LANES) -- $(PYTEST_OPTIONS)

unit: $(STAMP) ## The fast tests alone
	$(BIN)/python -m pytest tests/unit

# For each of the searches.
FUZZ_SECONDS ?= 120
fuzz: $(STAMP) engine ## Search for inputs that break strip, readers and parsers; FUZZ_SECONDS=120 for each of them
	source scripts/engine-settings.sh && FACTORY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz --timeout 0 -s $(PYTEST_OPTIONS)

# Of each command.
KILLS ?= 50
nightly: $(STAMP) engine ## Kill each command at random moments (KILLS=50 of each); compare commands with a model
	source scripts/engine-settings.sh && FACTORY_KILLS=$(KILLS) $(BIN)/python -m pytest --timeout 0 -s -k kill \
	    tests/integration/test_killed.py tests/container/test_build_plan.py $(PYTEST_OPTIONS)
	FACTORY_TRUTH_RUNS=300 $(BIN)/python -m pytest --timeout 0 tests/integration/test_one_truth.py

lint: $(STAMP) ## ruff, mypy, shellcheck, yamllint, and the rules on the shipped flavors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z --cached --others --exclude-standard '*.sh' .ci/run scripts/standin/dnf scripts/standin/fix-permissions | xargs -0 $(BIN)/shellcheck
	git ls-files -z --cached --others --exclude-standard '*.yaml' '*.yml' | xargs -0 $(BIN)/yamllint --strict
	$(BIN)/factory check --all

docs: $(STAMP) ## Write into docs/ what the commands shown there print now; read it before you commit
	FACTORY_REFRESH_DOCS=1 $(BIN)/python -m pytest tests/integration/test_docs.py || git diff --stat docs

tour: $(STAMP) engine ## Take the README's tour, and write into it what its commands print now; read it before you commit
	source scripts/engine-settings.sh && FACTORY_REFRESH_DOCS=1 $(BIN)/python -m pytest tests/image/test_tour.py || git diff --stat README.md

site: $(STAMP) ## Make the pages a site in .work/site/html, with the reference of every command; a dead link fails
	$(BIN)/python scripts/site.py

seen: $(STAMP) ## Write down what users see (help, JSON, exit codes, generated files); read it before you commit
	rm -rf tests/seen/written
	FACTORY_REFRESH_SEEN=1 $(BIN)/python -m pytest tests/seen || git diff --stat tests/seen

tekton: $(STAMP) ## Make the trusted-artifact shape of the Tekton tasks from their workspace shape
	$(BIN)/python scripts/trusted_artifacts.py

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: $(STAMP) ## Pin the development dependencies again, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command "make requirements" --extra dev --upgrade \
	    --output-file requirements-dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command "make requirements" --extra spdx --upgrade \
	    --output-file tekton/image/requirements.txt pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command "make requirements" --upgrade \
	    --output-file tekton/image/requirements-build.txt -

clean: ## Remove what set-up, tests and the demonstration made here (images stay)
	rm -rf $(VENV) .work .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
