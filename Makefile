# Every target sets up what is missing first (scripts/setup): one command on a fresh machine is enough.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Else every program of a test, and each worker, compiles what it imports anew.
unexport PYTHONDONTWRITEBYTECODE
PLUGINS := $(patsubst %/__init__.py,%,$(wildcard plugins/*/mnp_*/__init__.py))

.PHONY: cnigate ebpf fuzz-cnigate help setup demo test test-full test-rules test-attacks test-faults test-gates test-long test-soak test-backends test-vm test-vm-full test-vm-old test-guest test-guest-bridge test-pages test-cluster testbed-up testbed-down testbed-status image lint types layers docs dist wheels bench bench-compare clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages, and .venv with core, plugins and tools
	@scripts/setup

demo: setup ## Three pods and two policies, without a cluster: real packets tell who reaches whom
	@echo 'Three pods on one network. One policy closes web, another lets client in on TCP port 80.'
	@echo
	@$(BIN)/mnp lab run examples/quickstart
	@echo
	@echo 'Why? $(BIN)/mnp explain examples/quickstart --from demo/stranger --to demo/web'

# Tests wait for silence and for the kernel longer than they compute: three workers for a processor, up to 16, of 350 MB each.
# Each has network and mount namespaces of its own (conftest.py). PYTEST_ARGS=-n0 runs all in one process.
PARALLEL = -n $$(n=$$((3 * $$(nproc))); echo $$((n < 16 ? n : 16))) --dist loadscope --no-loadscope-reorder
# Of random cases, `make test` asks two fifths.
test: export MNP_CASES ?= 80
test: setup ## Run everything fast, and one test of each kind that sends packets (as root)
	@$(BIN)/pytest -m "not long and not full" $(PARALLEL) $(PYTEST_ARGS)

test-full: setup ## Run these and the rest of what CI runs: each backend, each family, many more cases
	@for shell in zsh fish; do command -v $$shell >/dev/null || apt-get -qq -y --no-install-recommends install $$shell >/dev/null || \
		echo "no $$shell: its completion is not tested"; done
	@$(BIN)/pytest -m "not long" $(PARALLEL) $(PYTEST_ARGS)

test-rules: ## Try the alerts of deploy/prometheus on made series, with Prometheus' promtool
	@scripts/promtool check rules deploy/prometheus/mnp.rules.yml
	@scripts/promtool test rules tests/deploy/prometheus/mnp.test.yml

test-long: setup ## Run the tests that take minutes
	@$(BIN)/pytest -m long $(PYTEST_ARGS)

test-soak: setup ## 10,000 applies in one process, 50,000 events with junk: memory and descriptors stay flat
	@$(BIN)/pytest plugins -m long -k ten_thousand_applies -s $(PYTEST_ARGS)
	@$(BIN)/pytest tests/security/test_attacks.py -m long -k soak -s $(PYTEST_ARGS)

test-attacks: setup ## What a tenant does to the agent, beside a quiet one: attack, effect and bound as a table
	@$(BIN)/pytest tests/security/test_attacks.py -k "not soak" -s $(PYTEST_ARGS)
	@$(BIN)/pytest tests/security tests/node/test_rules_changed_inside.py tests/node/test_custom_rules.py \
		--deselect tests/security/test_attacks.py $(PYTEST_ARGS)

test-faults: setup ## What happens to the agent, its kernel and its cluster while packets go: fault and promises as a table
	@$(BIN)/pytest tests/faults -s $(PYTEST_ARGS)

test-gates: setup ## 1,000 pod starts on the real cluster with each gate, and without: no packet of a denied flow passes
	@MNP_STARTS=$${MNP_STARTS:-1000} $(BIN)/pytest tests/cluster/test_never_open.py -s $(PYTEST_ARGS)

test-backends: setup ## Truth table, random cases and examples with every backend that works here
	@$(BIN)/pytest mnp_core/testing/suites/truthtable mnp_core/testing/suites/differential tests/examples -m "not long" --backend all $(PYTEST_ARGS)

VM_BACKENDS := nftables iptables-nft iptables-legacy
# Python is some fifteen times slower in the machine, and plugins of pytest that nobody needs there cost half a minute.
VM_PYTEST = env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(CURDIR)/$(BIN)/pytest -p pytest_timeout -p no:cacheprovider
SUITES = mnp_core/testing/suites
VM_SUITES = $(SUITES)/differential/test_packets.py::test_packets_agree_with_both_evaluations \
	$(SUITES)/atomicity/test_no_open_moment.py::test_an_agent_that_clears_before_it_writes_is_found_out \
	"$(SUITES)/atomicity/test_moving.py::test_moving_between_backends_opens_nothing_and_leaves_nothing[nftables]"
test-vm: setup ## Run the tests of devices that few kernels have, in a virtual machine
	@scripts/vm/run env MNP_CASES=4 $(VM_PYTEST) tests/vm plugins/ebpf/tests/test_reach.py $(VM_SUITES) -m "not long" --wiring bridged \
		$(VM_BACKENDS:%=--backend %) $(PYTEST_ARGS)

# The verifier of User Mode Linux refuses the eBPF program, so nothing there enforces on redirected packets; QEMU's kernel does.
test-vm-full: setup ## Run the suites for backends with bridged pods in User Mode Linux (ten minutes; PYTEST_ARGS=-k ...)
	@MNP_VM_KIND=uml MNP_VM_LIMIT=$${MNP_VM_LIMIT:-7200} scripts/vm/run $(VM_PYTEST) $(SUITES)/truthtable $(SUITES)/differential \
		$(SUITES)/atomicity/test_no_open_moment.py::test_an_agent_that_clears_before_it_writes_is_found_out \
		tests/node/test_bridged_pods.py tests/vm/test_refused_program.py -m "not long" --wiring bridged --backend nftables \
		--deselect tests/node/test_bridged_pods.py::test_a_guest_behind_redirections_stays_enforced_past_sigkill $(PYTEST_ARGS)

test-vm-old: setup ## Run the tests of eBPF without TCX there, on Linux 6.1 (half an hour on an idle machine)
	@MNP_VM_LIMIT=$${MNP_VM_LIMIT:-7200} MNP_VM_KERNEL=6.1 scripts/vm/run $(VM_PYTEST) -rs plugins/ebpf/tests -m "not long" \
		-k "not thousand" $(PYTEST_ARGS)

test-guest: setup ## Run a virtual machine with Debian's kernel behind a pod's interface, under QEMU (a minute; as root)
	@$(BIN)/pytest tests/vm/test_guest_kernel.py -m long $(PYTEST_ARGS)

# QEMU inside runs from the same cache: nothing can be installed there.
test-guest-bridge: setup ## The same in User Mode Linux, where nftables enforces in family bridge (some minutes)
	@scripts/vm/build >/dev/null
	@MNP_VM_KIND=uml scripts/vm/run $(VM_PYTEST) tests/vm/test_guest_kernel.py -m long $(PYTEST_ARGS)

test-pages: setup ## Open the page of `mnp matrix` in Chromium: filters, keyboard, graph, accessibility (as root)
	@command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium npm >/dev/null
	@$(BIN)/python -m pip install --quiet --group pages
	@[ -d build/pages/node_modules/axe-core ] || npm install --silent --no-save --prefix build/pages axe-core@4
	@$(BIN)/pytest tests/pages $(PYTEST_ARGS)

# BED=1.20 or BED=crio: another bed than the current one (docs/testbed.md).
testbed-up: setup ## Bring up a real cluster of one node on this machine (as root)
	@$(BIN)/python -m scripts.testbed up

testbed-down: setup ## End and remove that cluster
	@$(BIN)/python -m scripts.testbed down

testbed-status: setup ## Say which of its processes run
	@$(BIN)/python -m scripts.testbed status

cnigate: setup ## Compile the CNI plugin for this checkout: all machines with ziglang, else this one
	@$(BIN)/python plugins/cnigate/hatch_build.py plugins/cnigate/mnp_cnigate/bin

ebpf: setup ## Compile the BPF programs anew (needs clang); the result is part of the checkout
	@$(BIN)/python plugins/ebpf/c/build.py

FUZZ_SECONDS := 60
fuzz-cnigate: ## Fuzz the CNI plugin's reader with libFuzzer (needs clang): FUZZ_SECONDS=60
	@mkdir -p build/fuzz
	@cd plugins/cnigate/c && clang -g -O1 -DLIBFUZZER -fsanitize=fuzzer,address,undefined -o $(CURDIR)/build/fuzz/cnigate json.c config.c fuzz.c
	@build/fuzz/cnigate -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=5 build/fuzz

image: setup ## Build the node agent's image without any registry, and give it to the cluster if that is up
	@scripts/testbed/image

# What takes long when it is done for the first time is done before, as tests have their limits; and packages, as tests skip
# what is missing.
test-cluster: setup ## Run the tests on that cluster, which is brought up for it unless it is
	@[ -n "$$KUBECONFIG" ] || [ -n "$$KUBEBUILDER_ASSETS" ] || { scripts/testbed/build >/dev/null && scripts/testbed/packages bed "$${BED:-current}"; }
	@$(BIN)/pytest tests/cluster -m "not long" $(PYTEST_ARGS)

lint: setup ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## Check types, the core and each plugin by itself
	@$(BIN)/mypy mnp_core
	@set -e; for plugin in $(PLUGINS); do $(BIN)/mypy $$plugin; done

layers: setup ## Check that no layer imports one above it
	@$(BIN)/lint-imports --no-logo

docs: setup ## Build the documentation into build/site; what is wrong with it is an error
	@$(BIN)/python -m pip install --quiet --group docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # not --quiet: that hides warnings from --strict, too
	@! grep -rE '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//' build/site --include='*.html' # nothing from elsewhere

dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
dist: setup ## Build and check the distributions of the core and of each plugin, into dist
	@$(BIN)/python -m pip install --quiet --group dist
	@rm -rf dist
	@$(BIN)/python scripts/dist
	@$(BIN)/twine --no-color check --strict dist/*

wheels: setup ## Gather what the node agent's image is built from, into build/image
	@scripts/wheels

bench: setup ## Measure: one table, and build/bench.json; BENCH_ARGS="compile --quick" (as root)
	@mkdir -p build
	@$(BIN)/python -m benchmarks.bench --json build/bench.json $(BENCH_ARGS)

bench-compare: setup ## Say which figures of two reports differ beyond their noise: OLD=a.json NEW=b.json
	@$(BIN)/python -m benchmarks.bench.compare $(OLD) $(NEW)

clean: ## Remove .venv and what tools left behind; not the system packages
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
