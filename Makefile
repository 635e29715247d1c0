# Everything runs in one environment, .venv, which holds the versions locked in constraints.txt. It is made once, by whichever
# target needs it first, and made anew when pyproject.toml, constraints.txt or what is compiled changes.

PYTHON ?= python3
STUDY ?= quickstart
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help env study test test-slow test-triton faults lint format types docs wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=python3.12 picks the interpreter of a new environment, ARGS='...' adds arguments to the command."

env: .venv/.installed ## make the environment .venv with the locked versions

.venv/.installed: pyproject.toml constraints.txt $(wildcard margin_core/losses/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "margin-studies needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is `$(PYTHON) --version 2>&1`. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]'
	@touch $@

study: env ## run a study: STUDY=quickstart, or another preset or file
	$(BIN)/margin-studies run $(STUDY) $(ARGS)

test: env ## run the tests and the docstring examples, all but the slow ones and the faults
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadgroup $(ARGS)

test-slow: env ## run the slow tests
	$(BIN)/python -m pytest -m slow $(ARGS)

test-triton: env ## run the tests of the losses with the Triton kernels, in Triton's interpreter where there is no GPU
	TRITON_INTERPRET=1 $(BIN)/python -m pytest tests/margin_core/losses tests/conformance/test_families.py $(ARGS)

faults: env ## run the tests that kill real processes
	$(BIN)/python -m pytest -m faults $(ARGS)

lint: env ## check format, style, types and which way imports go
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: env ## check types only
	$(BIN)/mypy

docs: env ## write the generated pages anew
	$(BIN)/python docs/generate.py

wheel: env ## build the wheel into dist/
	rm -rf build
	$(BIN)/python -m build --wheel

lock: ## resolve the newest allowed versions into constraints.txt
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --disable-pip-version-check --no-input '.[dev]'
	{ grep '^#' constraints.txt; .venv-lock/bin/pip freeze --all --exclude pip --exclude margin-studies; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean: ## remove what builds and checks left; .venv and margin-runs stay
	rm -rf build dist *.egg-info .venv-lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
