# make demo: set up and run the main job. make test: set up and run the tests.
PYTHON ?= python3
BIN := .venv/bin
# One thread per process: the tests already run in as many processes as there are cores.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# Options of pytest, such as PYTEST="-m 'not slow'".
PYTEST ?=

.PHONY: demo test fuzz lint types examples check bench docs hooks clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/installed
	$(BIN)/python examples/demo.py

test: .venv/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST)

# make fuzz: 2000 random cases (some are in make test). MINUTES=1 CASES=1000000 SEED=7 runs others
# for a minute; SEED=7 CASE=123 runs one of them alone.
SEED ?= 0
CASES ?= 2000
MINUTES ?= 30
fuzz: .venv/installed
	$(ONE_THREAD) PYTHONPATH=tests $(BIN)/python -m fuzz.run --seed $(SEED) --cases $(CASES) \
		--minutes $(MINUTES) $(if $(CASE),--case $(CASE))

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

examples: .venv/installed
	printf '%s\n' 'examples/demo.py --quick' examples/grid_search.py examples/plot_*.py | \
		SKLEARN_MLLOSS_EXAMPLES_SMALL=1 MPLBACKEND=agg $(ONE_THREAD) xargs -L 1 -P 2 $(BIN)/python

# All that has to pass: `make test` with the coverage of lines and branches, and the rest.
check: PYTEST += --cov=sklearn_mlloss --cov-branch --cov-report=term:skip-covered --cov-fail-under=95
check: lint types test examples

hooks: .venv/installed
	$(BIN)/pre-commit install

# make docs: the pages, in docs/_build/html. GALLERY=0 shows the examples without running them.
GALLERY ?= 1
.venv/docs-installed: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

docs: .venv/docs-installed
	rm -rf docs/api docs/_build
	$(ONE_THREAD) $(BIN)/python -m sphinx -W --keep-going -n -D plot_gallery=$(GALLERY) \
		docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html
	$(BIN)/python docs/check_search.py docs/_build/html

bench: .venv/installed
	$(BIN)/python benchmarks/fit.py --quick --repeats 3
	$(BIN)/python benchmarks/predict.py --repeats 1
	$(BIN)/python benchmarks/latency.py --repeats 20
	$(BIN)/python benchmarks/losses.py --shapes small --repeats 5
	$(BIN)/python benchmarks/decoders.py --repeats 1
	$(BIN)/python benchmarks/memory.py --repeats 1

clean:
	rm -rf .venv build *.egg-info docs/_build docs/api docs/auto_examples
