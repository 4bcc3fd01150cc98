# Each target sets up what it needs. `make demo` and `make test` are the two that a newcomer wants.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.groundwork-ready
export DVC_NO_ANALYTICS := 1
# Where the environment forbids Python to keep what it compiled, every start compiles all libraries again.
export PYTHONDONTWRITEBYTECODE :=
# The certificates of the machine, as behind a company proxy; uv brings its own otherwise.
export UV_SYSTEM_CERTS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-slow lint format bench docs lock clean setup

demo: $(READY)  ## From boxes to a promoted model, on the real sample
	@$(BIN)/groundwork run --first

test: $(READY)  ## All tests but the slow proofs
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadgroup -m "not slow and not gpu"

test-slow: $(READY)  ## The proofs that take longer than the suite may
	@$(BIN)/pytest -q -m slow --timeout 3600

lint: $(READY)  ## Style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)  ## Rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(READY)  ## Quality of the segmenter beside its baselines, over seeds; speed of the propagation
	@OMP_WAIT_POLICY=passive $(BIN)/python -m benchmarks.segmenter
	@$(BIN)/groundwork bench affinity
	@OMP_WAIT_POLICY=passive $(BIN)/python -m benchmarks.projectors
	@$(BIN)/python -m benchmarks.region_mllm --jobs 2

docs: $(READY)  ## The picture of the pipeline, from DVC's own graph
	@{ echo "# The pipeline"; echo; echo "Made by \`make docs\` from \`dvc.yaml\`."; echo; echo '```mermaid'; \
		$(BIN)/dvc dag --mermaid; echo '```'; } > docs/pipeline.md

lock: $(READY)  ## Resolve the dependencies anew
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --upgrade --quiet -o requirements.lock

setup: $(READY)  ## Only the environment

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: run make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing the locked environment (about 7 GB) ..."
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## Remove caches and what can be made again; champions, ledger and the copy of the data stay
	@rm -rf artifacts .dvc/tmp .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
