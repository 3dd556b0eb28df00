# Needs: Python 3.11 or newer with venv, and make. `make demo` and `make test` set everything up on the first call.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
WHEELHOUSE := .wheelhouse
LOCKS := requirements/build.txt requirements/lock.txt
READY := $(VENV)/.ready
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

# Everything is installed from .wheelhouse, so that a later set-up, build or test needs no network.
# Not compiled on installing: most of it is never imported, and compiling it all takes longer than the rest.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --find-links $(WHEELHOUSE) \
           --no-build-isolation --no-deps --no-compile
DOWNLOAD := $(BIN)/python -m pip download --quiet --disable-pip-version-check --dest $(WHEELHOUSE) \
            --no-build-isolation --no-deps --require-hashes

# peewee, published as source alone, would look for a compiler; nothing here uses it.
export NO_SQLITE := 1
# Where a machine forbids it to keep bytecode, every command would compile 1,500 modules anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports docs tests format bench bench-peers mutants lock clean

help:
	@echo "make demo    run a strategy over real Bitcoin candles"
	@echo "make test    every check, without network once set up"
	@echo "make format  format the code and strip the notebooks"
	@echo "make docs    build the documentation into build/site"
	@echo "make bench   measure speed"
	@echo "make bench-peers   measure other libraries beside this one (network, the first time)"
	@echo "make mutants ROOM=wire   plant faults and list those that no test notices"
	@echo "make setup   install into $(VENV); the others do it when needed"
	@echo "make lock    resolve the dependencies anew (network)"
	@echo "make clean   remove what was made, $(WHEELHOUSE) excepted"

setup: $(READY)

$(READY): pyproject.toml $(LOCKS)
	@test -n "$(PYTHON)" || { echo "no Python found: install Python 3.11, or say make PYTHON=/path/to/python"; exit 3; }
	@echo "installing into $(VENV); the first time takes some minutes, and 320 MB from the network"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The wheelhouse keeps copies of the locks it was filled from: the same locks, nothing to download.
	for lock in $(LOCKS); do \
	    cmp -s $$lock $(WHEELHOUSE)/$$(basename $$lock) || { rm -rf $(WHEELHOUSE); break; }; \
	done
	test -d $(WHEELHOUSE) || $(DOWNLOAD) -r requirements/build.txt
	$(INSTALL) --require-hashes -r requirements/build.txt
	test -f $(WHEELHOUSE)/lock.txt || { $(DOWNLOAD) -r requirements/lock.txt && cp $(LOCKS) $(WHEELHOUSE); }
	$(INSTALL) --require-hashes -r requirements/lock.txt
	$(INSTALL) --editable .
	@# Compile what a first run imports, and the kernel, now rather than then.
	$(BIN)/python -c "import matplotlib.pyplot, numba, pandas, pyarrow.parquet, pydantic, rich, talib, typer"
	if test -f backtest/engine/warm.py; then $(BIN)/python -m backtest.engine.warm; fi
	@touch $@

demo: $(READY)
	$(BIN)/backtest demo

test: lint types imports tests

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --verify $(NOTEBOOKS))

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

# A dead link ends it. test_docs.py builds it the same way, and runs the programs and commands of the pages.
docs: $(READY)
	$(BIN)/python -m tools.docs

# The second run are the examples of the docstrings. The third has numba's compiler off: only then does coverage see the kernel's lines. (5: no test is marked.)
tests: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses $(PYTEST_WORKERS) --dist worksteal
	$(BIN)/coverage run -m pytest --quiet --doctest-modules backtest
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest --numprocesses $(PYTEST_WORKERS) --dist worksteal -m jit_off || test $$? -eq 5
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

format: $(READY)
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	$(if $(NOTEBOOKS),$(BIN)/nbstripout $(NOTEBOOKS))

bench: $(READY)
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit; done

bench-peers: $(READY)
	$(BIN)/python benchmarks/bench_peers.py

# Small faults, planted one at a time: which of them does no test notice? Minutes a room; not part of the checks.
ROOM ?= wire
FAULTS ?= 40
mutants: $(READY)
	$(BIN)/python tools/plant_faults.py $(ROOM) --faults $(FAULTS)

# uv reads the hashes from the index; pip-tools would download every wheel of every platform to compute them.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" $(LOCK_OPTIONS)
lock: $(READY)
	$(LOCK) requirements/build.in --output-file requirements/build.txt
	$(LOCK) pyproject.toml --all-extras --constraint requirements/build.txt --output-file requirements/lock.txt

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
	       .ruff_cache .schemathesis
	find . -name __pycache__ -type d -not -path './$(WHEELHOUSE)/*' -prune -exec rm -rf {} +
