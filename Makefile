# The two main commands are `make demo` and `make test`. Each creates the environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# tests/conftest.py defines which tests run in one process, and which start first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --dist loadgroup --no-loadscope-reorder --maxprocesses 4 --numprocesses

# Those that need no accelerator; benchmarks/gpu.py is for a machine that has one.
BENCHMARKS := startup walk memory text_bank methods scenes tasks tasks_speed presence harness compiled batch page quantised

.PHONY: help demo test test-all lint types tests slow-tests fuzz site notebooks findings bench clean
.DEFAULT_GOAL := help

help:            ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[transformers,evaluation,page,batch,export,supervision,audit]' --group dev --group docs
	touch $@

demo: $(INSTALLED)     ## explain a scene with the bundled model, offline, into out/demo.png
	$(BIN)/clip-surgery demo --out out

test: $(INSTALLED)     ## linter, type checker and the quick tests; about 6 minutes on two cores
	$(MAKE) --jobs 2 lint types tests

test-all: test slow-tests ## the quick tests, then the slow ones: all towers, browser, Ray, exports, clean installation

lint: $(INSTALLED)     ## ruff: rules and format
	$(BIN)/ruff check src tests benchmarks training docs
	$(BIN)/ruff format --check src tests benchmarks training docs

types: $(INSTALLED)    ## mypy, strict
	$(BIN)/mypy

tests: $(INSTALLED)    ## the quick tests, on all cores
	$(PYTEST) auto -m "not slow"

slow-tests: $(INSTALLED) ## the slow tests, on all cores
	$(PYTEST) auto -m slow

fuzz: $(INSTALLED)      ## damaged inputs, ten times as many as in the tests
	CLIP_SURGERY_FUZZ_TIMES=10 CLIP_SURGERY_FUZZ_SEED=$$(date +%j) $(BIN)/pytest tests/fuzz

DEMO_SCENE := src/clip_surgery/apps/cli/commands/demo_scene/scene.png

site: $(INSTALLED)      ## build the documentation into site/, with the demo model on its first page
	$(BIN)/clip-surgery export --model demo --to web --labels docs/demo_words.txt --any-word \
		--no-webgpu --example $(DEMO_SCENE) --overwrite --out build/demo
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

notebooks: $(INSTALLED) ## run the notebooks of the documentation and store their outputs
	$(BIN)/python docs/run_notebooks.py

findings: $(INSTALLED)  ## measure the demo model and write docs/findings.md (about 30 minutes)
	$(BIN)/python docs/make_findings.py

bench: $(INSTALLED)     ## run the benchmarks; they print the rows of benchmarks/RESULTS.md
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:           ## remove the environment and what was built
	rm -rf $(VENV) build dist out site .mypy_cache .ruff_cache .pytest_cache .hypothesis
