# Every command that a developer runs. `make` alone explains them.

PYTHON ?= python3
KAFKA ?=
SEED ?=
SEEDS ?=
MINUTES ?=
SPANS ?=
ROUNDS ?=
COMPRESSION ?=
BROKEN ?=
HEAD_RATE ?=
PEER ?=
RSS ?=
LATENCY ?=
CORPUS ?=
STORAGE ?=
POLICIES ?=
PERF ?=
VENV := .venv
BIN := $(VENV)/bin
# PURE=1 neither builds nor runs the compiled core.
PURE ?=
INSTALLED := $(VENV)/.installed$(if $(PURE),-pure)
INSTALLED_DEV := $(INSTALLED)-dev
INSTALLED_BENCH := $(INSTALLED)-bench
ifneq ($(PURE),)
export TAILSTREAM_PURE := 1
endif
# What the compiled core is built with is pinned, too; which variable says so depends on pip's age.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip \
	install --quiet --disable-pip-version-check -c constraints.txt
SANITIZED := .cache/sanitized/.built
COMPILED := setup.py $(shell find stream -name '*.pyx' -o -name '*.pxd')
PYTEST := $(BIN)/pytest $(if $(SEED),--randomly-seed=$(SEED))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo shop test test-pure unit contract sim conformance conformance-record integration chaos bench profile curves fuzz lint type fmt kafka docs ci clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done

install: $(INSTALLED_DEV) ## make .venv with the tailstream command and the tools; PURE=1: nothing compiled

demo: $(INSTALLED) ## run the main job on an embedded broker; KAFKA=host:port runs it on yours, exactly once
	@$(BIN)/tailstream demo $(if $(KAFKA),--kafka $(KAFKA) --next '. $(BIN)/activate && tailstream init',--next 'make demo KAFKA=host:9092')

shop: $(INSTALLED) ## see trace context on every hop of a small shop; KAFKA=host:port, HEAD_RATE=0.1, BROKEN=payment
	@$(BIN)/tailstream demo shop $(if $(KAFKA),--kafka $(KAFKA)) $(if $(HEAD_RATE),--head-rate $(HEAD_RATE)) \
		$(if $(BROKEN),--broken $(BROKEN))

test: install ## run every test (a real Kafka is taken from TAILSTREAM_TEST_BOOTSTRAP, Docker or Maven)
	$(PYTEST)

test-pure: install ## run unit, contract, conformance, simulation and two minutes of chaos without the compiled core
	TAILSTREAM_PURE=1 $(PYTEST) tests/unit tests/contract tests/conformance tests/simulation tests/chaos

unit: install ## run the unit tests alone
	$(PYTEST) tests/unit

contract: install ## run the contract suites: one suite, every implementation
	$(PYTEST) tests/contract

sim: install ## run the simulator; SEEDS=2000 says how many seeds, SEED=1 the first
	$(if $(SEED),SEED=$(SEED)) $(if $(SEEDS),SEEDS=$(SEEDS)) $(BIN)/pytest tests/simulation

conformance: install ## decide as the real Collector did, from its recorded verdicts (tests/conformance)
	$(PYTEST) tests/conformance

conformance-record: install ## record the real Collector's verdicts anew (needs Go; some minutes)
	@$(BIN)/python -m tests.conformance

integration: install ## run the tests on a real Kafka alone
	$(PYTEST) tests/integration

chaos: install ## kill, stop and rebalance workers and the broker, and account for every span; MINUTES=, SEED=
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

bench: install ## measure what a span costs, on a real Kafka; PEER=1 beside the Collector, RSS=1 both their memory, LATENCY=1 to readable, POLICIES=1 what each policy costs; SPANS=, ROUNDS=, COMPRESSION=lz4, SEED=, CORPUS=
	@$(BIN)/python -m tests.bench $(if $(PEER),--peer) $(if $(RSS),--rss) $(if $(LATENCY),--latency) $(if $(POLICIES),--policies) $(if $(SPANS),--spans $(SPANS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(COMPRESSION),--compression $(COMPRESSION)) \
		$(if $(SEED),--seed $(SEED)) $(if $(CORPUS),--corpus $(CORPUS))

profile: install $(INSTALLED_BENCH) ## draw a flame graph per stage of the worker, native frames included; SPANS=, ROUNDS=, STORAGE=rocksdb, PERF=0 (where perf is missing)
	@$(BIN)/python -m tests.bench.profile $(if $(SPANS),--spans $(SPANS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(STORAGE),--storage $(STORAGE)) $(if $(filter 0,$(PERF)),--without-perf) $(if $(SEED),--seed $(SEED))

curves: install $(INSTALLED_BENCH) ## draw CPU a span against partitions, window, policies ... (half an hour); SPANS=, ROUNDS= vary it
	@$(BIN)/python -m tests.bench.curves $(if $(SPANS),--spans $(SPANS)) $(if $(ROUNDS),--rounds $(ROUNDS))
	@$(BIN)/python -m tests.bench.plot

fuzz: $(SANITIZED) ## feed the compiled core broken records under sanitizers; MINUTES=, SEED= vary it
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=$(dir $(SANITIZED)):. TAILSTREAM_PURE= \
		$(BIN)/python -P -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

lint: install ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: install ## check types (mypy, strict)
	$(BIN)/mypy

fmt: install ## put the code in format, mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

kafka: install ## run a real Kafka in the foreground and print its address
	$(BIN)/python -m tests.harness.broker

docs: install ## write the generated tables (settings, metrics) anew
	$(BIN)/python -m stream.reference

ci: ## do what CI does: install, lint, type, test
	.ci/run

clean: ## remove what the other targets made
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find stream -name '*.so' -delete

$(INSTALLED): pyproject.toml constraints.txt $(COMPILED)
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Tailstream needs 3.11 or later: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Installing Tailstream and what it needs into $(VENV), once (about half a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@find stream -name '*.so' -delete
	@rm -f $(VENV)/.installed*
	@$(PIP) -e .
	@$(BIN)/tailstream version | grep '^core'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "Installing the development tools into $(VENV), once ..."
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"], sep="\n")' >$(VENV)/tools.txt
	@$(PIP) -r $(VENV)/tools.txt
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED_DEV)
	@$(PIP) matplotlib py-spy
	@touch $@

$(SANITIZED): $(INSTALLED_DEV) $(shell find stream -name '*.py')
	@rm -rf $(dir $@)
	@SANITIZE=1 TAILSTREAM_PURE= $(PIP) --no-deps --target $(dir $@) .
	@touch $@
