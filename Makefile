# Each command does its own set-up: a virtual environment in .venv, the extras it needs, and this
# checkout again every time, so that another checkout's rooms can never be used by mistake.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PYTEST_ARGS ?=
BENCH_PYTHON ?= $(PY)
BENCH_ARGS ?=
FUZZ_SECONDS ?= 300
COMMITS ?= HEAD~20 HEAD

.NOTPARALLEL:
.PHONY: help demo test examples lint fuzz bench bench-quick bench-commits clean with-tests with-examples with-plots

help:
	@echo "make demo         train a classifier on real handwritten digits"
	@echo "make test         run the tests                     PYTEST_ARGS=..."
	@echo "make examples     run every example"
	@echo "make lint         ruff and mypy"
	@echo "make fuzz         random programs, compared at each stage   FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make bench-quick  some of the benchmarks, in a minute   BENCH_PYTHON=..."
	@echo "make bench        all benchmarks, into benchmarks/RESULTS.md   BENCH_PYTHON=... BENCH_ARGS=..."
	@echo "make bench-commits  how fast adjit was at some commits      COMMITS='$(COMMITS)' BENCH_ARGS=..."
	@echo "                  BENCH_PYTHON is a list, A:B:C: JAX, PyTorch, ... are looked for in each"
	@echo "PYTHON=python3.12 before any of them chooses the interpreter of a new .venv"

demo: with-examples
	$(PY) examples/digits.py

test: with-tests
	$(PY) -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

examples: with-examples
	@for file in examples/*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

lint: with-tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tests/typecheck.py

fuzz: with-tests
	$(PY) tests/fuzz.py --seconds $(FUZZ_SECONDS)
	$(PY) tests/loop_fuzz.py --seconds $(FUZZ_SECONDS)

bench: with-tests with-plots
	$(PY) benchmarks/run.py --python $(BENCH_PYTHON) --markdown benchmarks/RESULTS.md \
		--chart benchmarks/ratios.png $(BENCH_ARGS)
	$(PY) benchmarks/sparse_jacobian.py --python $(BENCH_PYTHON) --markdown benchmarks/RESULTS.md
	$(PY) benchmarks/coldstart.py --python $(BENCH_PYTHON) --markdown benchmarks/RESULTS.md
	$(PY) benchmarks/long_loops.py --python $(BENCH_PYTHON) --markdown benchmarks/RESULTS.md
	$(PY) benchmarks/training.py --python $(BENCH_PYTHON) --markdown benchmarks/RESULTS.md

bench-quick: with-tests
	$(PY) benchmarks/run.py --python $(BENCH_PYTHON) --quick $(BENCH_ARGS)

bench-commits: with-tests with-plots
	$(PY) benchmarks/commits.py $(COMMITS) $(BENCH_ARGS)

with-tests with-examples with-plots: with-%: $(PY)
	@echo "installing this checkout and its extra '$*' into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check --no-build-isolation -e ".[$*]"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "adjit needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check "setuptools>=77" || \
		{ rm -rf $(VENV); exit 1; }

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
