# Each target sets up what it needs: a virtual environment with the pinned packages and this project in it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test test-all bench lint docs clean
.DEFAULT_GOAL := demo

# The pins are the whole closure, so nothing is resolved: no package can bring in another build of torch.
$(READY): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY)  ## Two studies on a laptop, one report (about five minutes)
	rm -rf demo
	$(BIN)/windtunnel run induction-heads toy-models-of-superposition --preset quick --out demo
	@echo "Open demo/report.html in a browser."

test: $(READY)  ## The default tests (at most eight minutes on two cores)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -q

test-all: $(READY)  ## Also the slow ones: quick presets, their null controls, compiled models
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -q -m "not gpu"

bench: $(READY)  ## Speed against peers, as ratios measured in one run
	$(ONE_THREAD) $(BIN)/python benchmarks/toy_models.py --quick
	$(ONE_THREAD) $(BIN)/python benchmarks/training.py --quick
	$(ONE_THREAD) $(BIN)/python benchmarks/fitting.py --quick
	$(ONE_THREAD) $(BIN)/python benchmarks/ladder.py --quick

lint: $(READY)  ## Style, types, layers, documentation
	$(BIN)/ruff check src tests docs benchmarks
	$(BIN)/ruff format --check src tests docs benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: $(READY)  ## The documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html in a browser."

clean:
	rm -rf $(VENV) site demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
