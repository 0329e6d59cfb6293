# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11, make and a package index; the environment is made in .venv from the pinned constraints.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
JOBS ?= 2

.PHONY: demo test test-slow lint types format tables setup wheel clean
.DEFAULT_GOAL := test

setup: $(STAMP)

$(STAMP): pyproject.toml requirements/constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed (or set PYTHON=...)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=24'
	$(PIP) --constraint requirements/constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/mindport demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m 'not slow'

test-slow: setup
	$(BIN)/python -m pytest -m slow

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# what the documentation takes from the program: operator tables and help texts
tables: setup
	$(BIN)/python tools/support_matrix.py
	$(BIN)/python tools/help_texts.py

wheel: setup
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
