# Every command that a developer runs. `make` alone explains them.

PYTHON ?= python3
KAFKA ?=
SEED ?=
SEEDS ?=
MINUTES ?=
SPANS ?=
TRACES ?=
KILL_EVERY_S ?=
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
EXEMPLARS ?=
PERF ?=
SERVICES ?=
SUITE ?=
RENDER ?=
VENV := .venv
BIN := $(VENV)/bin
# PURE=1 neither builds nor runs the compiled core.
PURE ?=
INSTALLED := $(VENV)/.installed$(if $(PURE),-pure)
INSTALLED_DEV := $(INSTALLED)-dev
INSTALLED_BENCH := $(INSTALLED)-bench
INSTALLED_REAL := $(INSTALLED)-real
ifneq ($(PURE),)
export TAILSTREAM_PURE := 1
endif
# What the compiled core is built with is pinned, too; which variable says so depends on pip's age.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip \
	install --quiet --disable-pip-version-check -c constraints.txt
SANITIZED := .cache/sanitized/.built
COMPILED := setup.py $(shell find stream -name '*.pyx' -o -name '*.pxd')
PYTEST := $(BIN)/pytest $(if $(SEED),--randomly-seed=$(SEED))

# The layers that compute and wait for nothing.
COMPUTING := tests/unit tests/contract tests/conformance tests/simulation

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo shop recall test test-pure test-dashboards lag test-real dashboards unit contract sim conformance conformance-record integration test-deploy test-containers test-kubernetes manifests chaos exemplar-run bench profile curves fuzz lint type fmt kafka docs ci clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done

install: $(INSTALLED_DEV) ## make .venv with the tailstream command and the tools; PURE=1: nothing compiled

demo: $(INSTALLED) ## run the main job on an embedded broker; KAFKA=host:port runs it on yours, exactly once
	@$(BIN)/tailstream demo $(if $(KAFKA),--kafka $(KAFKA) --next '. $(BIN)/activate && tailstream init',--next 'make demo KAFKA=host:9092')

shop: $(INSTALLED) ## see trace context on every hop of a small shop; KAFKA=host:port, HEAD_RATE=0.1, BROKEN=payment
	@$(BIN)/tailstream demo shop $(if $(KAFKA),--kafka $(KAFKA)) $(if $(HEAD_RATE),--head-rate $(HEAD_RATE)) \
		$(if $(BROKEN),--broken $(BROKEN))

recall: $(INSTALLED) ## see that a click on a metric lands on a trace; KAFKA=host:port, SEED=7, PROMETHEUS=program
	@$(BIN)/tailstream demo recall $(if $(KAFKA),--kafka $(KAFKA)) $(if $(SEED),--seed $(SEED))

test: install ## run every test (a real Kafka is taken from TAILSTREAM_TEST_BOOTSTRAP, Docker or Maven)
	$(PYTEST) -n 2 $(COMPUTING) tests/deploy tests/test_tidy.py
	$(PYTEST) -n 2 --dist loadfile tests/integration
	$(PYTEST) tests/chaos

test-pure: install ## run unit, contract, conformance, simulation and two minutes of chaos without the compiled core
	TAILSTREAM_PURE=1 $(PYTEST) -n 2 $(COMPUTING)
	TAILSTREAM_PURE=1 $(PYTEST) tests/chaos

test-dashboards: install $(INSTALLED_REAL) ## run every panel's query and the alerts' tests on a real Prometheus, filled by real workers (needs Go; builds it once)
	@$(BIN)/python -m tests.real.prometheus_build
	$(PYTEST) tests/real/test_dashboards.py tests/real/test_alerts.py tests/real/test_grafana_schema.py

lag: install $(INSTALLED_REAL) ## see lag burn down after kill -9, and as workers join: pictures in .cache/lag (needs Go, Java 17, Maven; seven minutes)
	@$(BIN)/python -m tests.real.prometheus_build
	$(PYTEST) tests/real/test_lag_burns_down.py --report .cache/lag
	@echo "The pictures: .cache/lag/lag-after-kill.png, .cache/lag/lag-while-workers-join.png"

test-real: install $(INSTALLED_REAL) ## run everything beside its real counterpart and write tests/real/results (needs Go, Java 17, Maven, Chromium, systemd; builds once)
	@$(BIN)/python -m tests.real
	$(PYTEST) tests/real --report tests/real/results

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

test-deploy: install ## check the image, the compose file, the chart, the manifests and the units, without an engine or a cluster
	$(PYTEST) tests/deploy

test-containers: install ## bring the whole compose demo up in a container engine and check it; SERVICES= some of it, SUITE=1 tests on Kafka's image
	@$(BIN)/python -m tests.containers $(if $(SUITE),--suite,$(SERVICES))

test-kubernetes: install ## judge the chart by helm and by a real API server (needs Go, etcd; a quarter of an hour, once); RENDER=1 renders first
	@$(BIN)/python -m tests.kubernetes $(if $(RENDER),--render)

manifests: install ## render deploy/manifests from the Helm chart (needs helm)
	@$(BIN)/python -m tests.harness.chart

chaos: install ## kill, stop and rebalance workers and the broker, and account for every span; MINUTES=, SEED=
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

exemplar-run: install ## point exemplars at traces that nobody wanted, and find each of them whole; TRACES=, KILL_EVERY_S=20, SEED=
	@$(BIN)/python -m tests.chaos.exemplar_run $(if $(TRACES),--traces $(TRACES)) $(if $(KILL_EVERY_S),--kill-every-s $(KILL_EVERY_S)) $(if $(SEED),--seed $(SEED))

bench: install ## measure what a span costs, on a real Kafka; PEER=1 beside the Collector, RSS=1 both their memory, LATENCY=1 to readable, POLICIES=1 what each policy costs, EXEMPLARS=1 metrics to pins; SPANS=, ROUNDS=, COMPRESSION=lz4, SEED=, CORPUS=
	@$(BIN)/python -m tests.bench $(if $(PEER),--peer) $(if $(RSS),--rss) $(if $(LATENCY),--latency) $(if $(POLICIES),--policies) $(if $(EXEMPLARS),--exemplars) $(if $(SPANS),--spans $(SPANS)) \
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

dashboards: install ## write the Grafana dashboards anew, from deploy/dashboards
	$(BIN)/python -m deploy.dashboards

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

$(INSTALLED_REAL): $(INSTALLED_DEV)
	@$(PIP) grafana-foundation-sdk matplotlib playwright
	@touch $@

$(SANITIZED): $(INSTALLED_DEV) $(shell find stream -name '*.py')
	@rm -rf $(dir $@)
	@SANITIZE=1 TAILSTREAM_PURE= $(PIP) --no-deps --target $(dir $@) .
	@touch $@
