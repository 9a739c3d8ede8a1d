# Every target sets up .venv in this checkout by itself, with uv where it is installed and pip where it is not.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= auto
# What `make test` runs of generated examples: few (a fifth), or all, as .ci/run does.
EXAMPLES ?= few
# Tests wait for processes, locks and sockets in between, so two workers share a core: `make unit` takes 57 s on two cores.
PAIRED = $(if $(filter auto,$(WORKERS)),$(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))'),$(WORKERS))
# Empty is off: without compiled modules each worker of pytest, and each process of a test, compiles all of its modules again.
export PYTHONDONTWRITEBYTECODE :=

# Tests that share a cluster or a server are one group (xdist_group). The longest group, 150 s of processor time, begins first: in tests/e2e.
PYTEST = $(BIN)/python -m pytest -n $(PAIRED) --dist loadgroup --no-loadscope-reorder

.PHONY: help
help:  ## What can be made
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)$$/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# uv resolves and installs in seconds; where it can neither be found nor had, pip does the same more slowly.
.venv/ready: pyproject.toml requirements/lock.txt
	@command -v uv >/dev/null 2>&1 && uv venv --quiet --allow-existing --python '>=3.11' .venv || $(PYTHON) -m venv .venv
	@uv=$$(command -v uv || true); \
	  if [ -z "$$uv" ]; then $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && uv=$(BIN)/uv || true; fi; \
	  if [ -n "$$uv" ]; then "$$uv" pip install --quiet --python $(BIN)/python -c requirements/lock.txt -e '.[dev]'; \
	  else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/lock.txt -e '.[dev]'; fi
	@touch $@

.PHONY: venv
venv: .venv/ready  ## The virtual environment, nothing more

.PHONY: demo
demo: .venv/ready  ## The main job on real parts: levels, grant, kubectl, revoke
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash demo/demo.sh

.PHONY: control-plane
control-plane: .venv/ready  ## A real kube-apiserver and etcd, built once (3 minutes) into a cache outside the repository
	@tools/control-plane.sh

.PHONY: reference
reference: .venv/ready  ## The reference, aws-iam-authenticator, built once into the same cache
	@tools/reference.sh

.PHONY: oracle
oracle: .venv/ready  ## Another evaluator of IAM policies, to compare ours with, into the same cache (needs npm or PyPI)
	@tools/iam-simulate.sh

.PHONY: browser
browser: .venv/ready  ## Chromium (apt, as root) and axe-core (the same cache) for the tests of the report's page
	@tools/browser.sh

.PHONY: helm
helm: .venv/ready  ## helm (two minutes) and promtool (apt) for the tests of the chart, into the same cache
	@tools/helm.sh
	@tools/promtool.sh

.PHONY: image
image: .venv/ready  ## The container image for amd64 and arm64 without a container engine, as an OCI layout, into the same cache
	@$(BIN)/python tools/image.py

# `check` runs beside the tests, and the tests of test_source_rules: the slowest part of it, mypy without its cache, keeps one core busy for
# 20 s. Its output comes last.
.PHONY: test
test: .venv/ready  ## All but conformance and thorough tests, with a fifth of the generated examples; EXAMPLES=all for all
	@make --no-print-directory check >.venv/check.log 2>&1 & checking=$$!; tested=0; \
	KUBE_IAM_EXAMPLES=$(EXAMPLES) $(PYTEST) --ignore=tests/unit/test_source_rules.py tests/e2e \
	  tests/integration tests/contract tests/unit || tested=$$?; \
	checked=0; wait $$checking || checked=$$?; echo "make check:"; cat .venv/check.log; \
	echo "left to make conformance: both servers side by side"; \
	$(if $(filter few,$(EXAMPLES)),echo "left to make test EXAMPLES=all: tests marked thorough and four of five generated examples and seeded faults";) \
	exit $$((tested + checked))

.PHONY: conformance
conformance: reference control-plane  ## Both servers side by side: what agrees, what differs on purpose, what else differs (nothing)
	KUBE_IAM_REQUIRE_ALL=1 $(PYTEST) -q tests/conformance

.PHONY: unit
unit: .venv/ready  ## The fast tests: those that start no process of ours and are not slow, with a fifth of the generated examples
	KUBE_IAM_EXAMPLES=few $(BIN)/python -m pytest -n $(PAIRED) --dist worksteal -m "not process and not slow" tests/unit tests/contract

.PHONY: check
check: .venv/ready  ## Lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/sentences.py
	$(BIN)/python tools/words.py
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/test_source_rules.py

.PHONY: format
format: .venv/ready  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs-reference
docs-reference: .venv/ready  ## Write docs/reference out of the code
	$(BIN)/python tools/reference.py

.PHONY: lock
lock: .venv/ready  ## Choose new versions of all dependencies (needs uv)
	uv pip compile --quiet --universal --upgrade --extra dev --no-emit-index-url --no-annotate --no-header --python-version 3.11 pyproject.toml -o requirements/lock.txt

.PHONY: story
story: .venv/ready  ## How many files of ours three typical uses enter, and the moves between them
	@$(BIN)/python tools/story.py

.PHONY: bench
bench: .venv/ready control-plane  ## kube-iam and the reference side by side; ROWS=token,… for some rows
	@$(BIN)/python -m bench --rows "$(ROWS)"

.PHONY: clean
clean:  ## Remove the virtual environment and what tools left
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .sandbox
