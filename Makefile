# make run    set up and run the bridge on sample telemetry, without any server
# make test   set up and run every check: ruff, mypy, the tests
# make test-real   the tests against real servers (Kafka, OpenSearch, S3, a browser)
# make native   compile the hot loops, which make test-real and make bench do by themselves where there is cargo
# make proof  the long fault tests; make bench  the benchmarks

VENV := .venv
PY := $(VENV)/bin/python
# The first Python that really runs, is new enough and can make environments; a name on the PATH may be an
# empty shim. A distribution's comes first: it is built with profile-guided optimisation, which a version
# manager leaves out unless told, and the bridge runs a tenth to a fifth faster.
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
DEMO := data/demo
CARGO := $(shell command -v cargo 2> /dev/null)
export PYO3_PYTHON := $(CURDIR)/$(PY)

.PHONY: run test test-real test-native lint bench native proof clean

run: $(VENV)/.run
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	@$(PY) examples/generate.py --events 5000 --seed 7 --out $(DEMO)/telemetry.jsonl 2> $(DEMO)/telemetry.json
	@if [ -t 1 ]; then idle=; else idle=--until-idle; fi; \
	exec $(PY) -m bridge --config examples/demo.toml run --import $(DEMO)/telemetry.jsonl $$idle

# A compiled part that has been built is kept up to date, so that no old one is tested.
test: $(VENV)/.test $(wildcard $(VENV)/.native) lint
	$(PY) -m pytest -q -n auto --dist worksteal -m "not real"

test-real: $(VENV)/.test test-native
	$(PY) -m pytest -q -m real tests/real
	BRIDGE_PROOF=1 $(PY) -m pytest -q -s tests/proof

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.test $(if $(CARGO),native)
	$(PY) -m benchmarks.decode
	$(PY) -m benchmarks.flow

native: $(VENV)/.native
	@:

# The compiled part against the Python one; what else there is, is then tested with it.
test-native: $(VENV)/.test
ifeq ($(CARGO),)
	@echo "there is no cargo: the compiled part is neither built nor tested"
else
	@$(MAKE) --no-print-directory native
	@! cargo fmt --version > /dev/null 2>&1 || { cd native && cargo fmt --check; }
	@! cargo clippy --version > /dev/null 2>&1 || { cd native && cargo clippy --quiet -- -D warnings; }
	cd native && cargo test --quiet --no-default-features
	$(PY) -m pytest -q -n auto --dist worksteal -m "not real" tests/bridge/events tests/bridge/engine tests/plugins
endif

proof: $(VENV)/.test
	BRIDGE_PROOF=full $(PY) -m pytest -q -s tests/proof
	BRIDGE_PROOF=1 $(PY) -m pytest -q -s -m "not real" tests/plugins/s3

$(VENV)/.run: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Sunbird Bridge needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	@$(PY) -m pip install --quiet --upgrade "pip>=25.1"
	@$(PY) -m pip install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.native: $(VENV)/.run $(wildcard native/src/*.rs native/src/*/*.rs native/*.toml native/*.pyi)
	@test -n "$(CARGO)" || { echo "make native needs cargo: install Rust, 1.85 or newer" >&2; exit 1; }
	@$(PY) -m pip install --quiet ./native
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(PY) -m pip install --quiet --group dev
	@touch $@

clean:
	rm -rf $(VENV) native/target data dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
