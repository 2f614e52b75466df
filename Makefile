# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# `make build_all` builds, `make quickstart` shows it working, `make test` checks everything. `make help` lists the rest.
# Every recipe takes its environment from scripts/env.sh; CARGO_TARGET_DIR is honoured.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build_all
.ONESHELL:

ENV := source scripts/env.sh
# One profile for everything, so that RocksDB and Cranelift are compiled once; never another lock than the committed one.
CARGO_FLAGS := --release --locked

.PHONY: help setup build_all build examples engines quickstart kafka-demo pulsar-demo pulsar-group-long kafka-kills kafka-kill-long kafka-group-long kafka-restore kafka-poison test bench bench-kafka bench-pulsar bench-languages dist poison crash-long storm producer rates backup-long groups soak scale \
	many neighbours crowd browser fuzz fmt \
	lint doc licence-check licence-fix openapi clean

help: ## lists the targets
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: ## installs what a build needs, or names what is missing
	@scripts/setup.sh

build_all: build examples engines ## builds bin/function-stream and the example functions bin/example_*.wasm

build: setup
	@$(ENV)
	cargo build $(CARGO_FLAGS) -p fnstream-cli
	mkdir -p bin
	install -m 755 "$$CARGO_TARGET_DIR/release/function-stream" bin/function-stream

examples: setup
	@$(ENV)
	mkdir -p bin
	examples/build.sh bin

engines: ## builds the engines of functions given as source, bin/engines/*.wasm, or says what is missing
	@$(ENV)
	scripts/engines.sh bin/engines

quickstart: build_all ## builds, runs the README's transcript in a temporary folder and compares what it prints
	@scripts/quickstart.sh

kafka-demo: build_all ## a broker of Apache Kafka, a function between two of its topics, and what comes out (needs Java 17 and Maven)
	@scripts/kafka-demo.sh

pulsar-demo: build_all ## a broker of Apache Pulsar, two processes of a server on it, and the README's transcript (needs Java 17 and Maven)
	@scripts/pulsar-demo.sh

kafka-kills: setup ## kill -9 at each step of a commit to a real broker of Kafka, and at random (needs Java 17 and Maven)
	@$(ENV)
	while read -r line; do export "$${line?}"; done < <(scripts/kafka.sh start >/dev/null && scripts/kafka.sh env)
	cargo test $(CARGO_FLAGS) -p fnstream-kafka --features failpoints --test kafka -- --nocapture killed
	scripts/kafka.sh stop

kafka-kill-long: build_all ## two functions on a broker of their own, a million records each, the server killed 20 times, the broker restarted three times (needs Java 17 and Maven)
	@$(ENV)
	# The broker's own folder, in memory where that is possible: what is tested is the death of processes.
	export FNSTREAM_KAFKA_FOLDER=$$(mktemp -d -p "$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
	trap 'scripts/kafka.sh wipe --at "$$FNSTREAM_KAFKA_FOLDER"; rm -rf "$$FNSTREAM_KAFKA_FOLDER"' EXIT
	export FNSTREAM_KAFKA=$$(scripts/kafka.sh start --at "$$FNSTREAM_KAFKA_FOLDER")
	FNSTREAM_BIN=$(or $(KAFKA_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin FNSTREAM_KAFKA_RESTARTS=3 \
		FNSTREAM_KAFKA_RECORDS=$(or $(KAFKA_RECORDS),1000000) FNSTREAM_KAFKA_KILLS=$(or $(KAFKA_KILLS),20) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test kafka -- --nocapture

kafka-group-long: build_all ## the same in two processes of a server group, each killed 20 times (needs Java 17 and Maven)
	@$(ENV)
	# The broker's own folder, in memory where that is possible: what is tested is the death of processes.
	export FNSTREAM_KAFKA_FOLDER=$$(mktemp -d -p "$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
	trap 'scripts/kafka.sh wipe --at "$$FNSTREAM_KAFKA_FOLDER"; rm -rf "$$FNSTREAM_KAFKA_FOLDER"' EXIT
	export FNSTREAM_KAFKA=$$(scripts/kafka.sh start --at "$$FNSTREAM_KAFKA_FOLDER")
	FNSTREAM_BIN=$(or $(KAFKA_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin FNSTREAM_KAFKA_RESTARTS=3 \
		FNSTREAM_KAFKA_RECORDS=$(or $(KAFKA_RECORDS),1000000) FNSTREAM_KAFKA_KILLS=$(or $(KAFKA_KILLS),20) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test server_group -- --nocapture kafka::processes_that_are_killed

pulsar-group-long: build_all ## two processes of a server on Apache Pulsar, each killed 20 times (PULSAR_RECORDS=1000000; needs Java 17 and Maven)
	@$(ENV)
	export FNSTREAM_PULSAR_FOLDER=$$(mktemp -d -p "$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
	trap 'scripts/pulsar.sh wipe --at "$$FNSTREAM_PULSAR_FOLDER"; rm -rf "$$FNSTREAM_PULSAR_FOLDER"' EXIT
	scripts/pulsar.sh start --at "$$FNSTREAM_PULSAR_FOLDER"
	while read -r line; do export "$${line?}"; done < <(scripts/pulsar.sh env --at "$$FNSTREAM_PULSAR_FOLDER")
	FNSTREAM_BIN=$(or $(PULSAR_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin FNSTREAM_PULSAR_RESTARTS=3 \
		FNSTREAM_PULSAR_RECORDS=$(or $(PULSAR_RECORDS),1000000) FNSTREAM_PULSAR_KILLS=$(or $(PULSAR_KILLS),20) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test server_group -- --nocapture pulsar::processes_that_are_killed

kafka-restore: build_all ## a GiB of state whose disk was lost, from a broker of its own (STATE_MIB=1024; needs Java 17 and Maven)
	@$(ENV)
	folder=$$(mktemp -d)
	trap 'scripts/kafka.sh wipe --at "$$folder"; rm -rf "$$folder"' EXIT
	export FNSTREAM_KAFKA=$$(scripts/kafka.sh start --long --at "$$folder")
	FNSTREAM_BIN=$(or $(KAFKA_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin \
		FNSTREAM_STATE_MIB=$(or $(STATE_MIB),1024) cargo test $(CARGO_FLAGS) -p fnstream-tests --test kafka_restore -- --nocapture

kafka-poison: build_all ## one bad record in a thousand on a broker of its own, beside none (POISON_RECORDS=1000000; needs Java 17 and Maven)
	@$(ENV)
	folder=$$(mktemp -d -p "$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
	trap 'scripts/kafka.sh wipe --at "$$folder"; rm -rf "$$folder"' EXIT
	export FNSTREAM_KAFKA=$$(scripts/kafka.sh start --long --at "$$folder")
	RUST_BACKTRACE=0 FNSTREAM_BIN=$(or $(KAFKA_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test poison -- --ignored --nocapture one_bad_record_in_a_thousand

test: ## everything that must hold before a change is merged
	@scripts/test.sh

bench: build_all ## measures throughput and latency, beside the yardsticks of the same run
	@for workload in pass-through money keyed-count; do
		bin/function-stream bench --workload $$workload --compare
	done
	bin/function-stream bench --workload pass-through --rate 1000

bench-kafka: ## beside Kafka Streams and a plain copy on one broker (FNSTREAM_BIN=BUILD, ROUNDS=3, RECORDS=2000000; needs Java 17 and Maven)
	@[ -n "$${FNSTREAM_BIN:-}" ] || $(MAKE) --no-print-directory build_all
	benches/kafka.py

bench-pulsar: ## beside Pulsar Functions and plain copies on one broker (FNSTREAM_BIN=BUILD, ROUNDS=3, RECORDS=500000; needs Java 17 with javac, Maven and Python)
	@[ -n "$${FNSTREAM_BIN:-}" ] || $(MAKE) --no-print-directory build_all
	benches/pulsar.py

bench-languages: ## money and keyed-count in Go, Rust, Python and JavaScript, beside their own interpreters (ROUNDS=3, RECORDS=300000; Python 3, Node.js)
	@[ -n "$${FNSTREAM_BIN:-}" ] || $(MAKE) --no-print-directory build_all
	$(ENV)
	benches/languages.py

dist: setup ## packages of a small, stripped program in bin/dist: archive, .deb, wheel, npm, bill of materials, sums
	@$(ENV)
	cargo build --profile dist --locked -p fnstream-cli
	rm -rf bin/dist
	scripts/engines.sh --all bin/engines
	scripts/package.py "$$CARGO_TARGET_DIR/dist/function-stream" bin/dist

poison: build_all ## bad records in a backlog: records per second of processor time (POISON_BIN=another build, POISON_SHARE=10, POISON_ONLY=traps)
	@$(ENV)
	# With RUST_BACKTRACE=1 the server's libraries walk the native stack at each error, which costs more than the trap.
	RUST_BACKTRACE=0 FNSTREAM_BIN=$(or $(POISON_BIN),$(CURDIR)/bin/function-stream) FNSTREAM_EXAMPLES=$(CURDIR)/bin \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test poison -- --ignored --nocapture backlogs

crash-long: build_all ## the crash tests with many more kills (CRASH_KILLS=2000)
	@$(ENV)
	scripts/build-failpoints.sh
	FNSTREAM_CRASH_KILLS=$(or $(CRASH_KILLS),2000) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test crash --test failpoints -- --include-ignored --nocapture

storm: build_all ## errors of the disk and kill -9 together, in two sorts (STORM_ROUNDS=200)
	@$(ENV)
	FNSTREAM_STORM_ROUNDS=$(or $(STORM_ROUNDS),200) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test faults storm -- --nocapture --test-threads 1

producer: build_all ## a producer that is killed 200 times and goes on, 100,000 events (PRODUCER_KILLS=200, PRODUCER_EVENTS=100000)
	@$(ENV)
	FNSTREAM_PRODUCER_KILLS=$(or $(PRODUCER_KILLS),200) FNSTREAM_PRODUCER_EVENTS=$(or $(PRODUCER_EVENTS),100000) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test producer -- --nocapture

rates: build_all ## events per second of 'client produce -f' and 'client consume', beside a raw HTTP client (RATES_EVENTS=2000000)
	@$(ENV)
	FNSTREAM_RATES_EVENTS=$(or $(RATES_EVENTS),2000000) FNSTREAM_BIN=$(CURDIR)/bin/function-stream \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test rates -- --ignored --nocapture

backup-long: build_all ## backups under load, each restored elsewhere and gone on from (BACKUPS=50)
	@$(ENV)
	FNSTREAM_BACKUPS=$(or $(BACKUPS),50) FNSTREAM_BIN=$(CURDIR)/bin/function-stream FNSTREAM_EXAMPLES=$(CURDIR)/bin \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test backup -- --nocapture --test-threads 1

soak: build_all ## the crash tests again and again, each time with another seed (SOAK_MINUTES=60)
	@scripts/soak.sh $(or $(SOAK_MINUTES),60)

scale: build_all ## millions of records and a thousand functions in one process; needs minutes and some GB of disk
	@$(ENV)
	cargo test $(CARGO_FLAGS) -p fnstream-tests --test scale --test idle -- --include-ignored --nocapture

many: build_all ## 200 idle partitions of a Go function, and a start with many functions after kill -9 (MANY=1000)
	@$(ENV)
	FNSTREAM_MANY=$(or $(MANY),1000) FNSTREAM_IDLE_MIB=64 \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test many -- --nocapture --test-threads 1

neighbours: build_all ## one good function beside four bad ones for minutes (NEIGHBOURS_SECONDS=600)
	@$(ENV)
	FNSTREAM_SECONDS=$(or $(NEIGHBOURS_SECONDS),600) FNSTREAM_P99_TIMES=3 \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test neighbours -- --nocapture --test-threads 1

crowd: build_all ## one good function among greedy functions and clients that hold back what they owe (CROWD_SECONDS=600, CROWD=20000, HOGS=50)
	@$(ENV)
	FNSTREAM_SECONDS=$(or $(CROWD_SECONDS),600) FNSTREAM_CROWD=$(or $(CROWD),20000) FNSTREAM_HOGS=$(or $(HOGS),50) \
		FNSTREAM_P99_TIMES=5 cargo test $(CARGO_FLAGS) -p fnstream-tests --test crowd -- --nocapture --test-threads 1

browser: build_all ## a real browser (Chromium) with pages of other sites, which neither read nor change anything
	@$(ENV)
	FNSTREAM_BIN=$(CURDIR)/bin/function-stream FNSTREAM_EXAMPLES=$(CURDIR)/bin \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test browser -- --ignored --test-threads 1

groups: build_all ## consumers with acknowledgement that take, hang and die (GROUP_EVENTS=100000, SEED=1)
	@$(ENV)
	FNSTREAM_BIN=$(CURDIR)/bin/function-stream FNSTREAM_GROUP_EVENTS=$(or $(GROUP_EVENTS),100000) FNSTREAM_SEED=$(or $(SEED),1) \
		cargo test $(CARGO_FLAGS) -p fnstream-tests --test groups -- --nocapture --test-threads 1

fuzz: ## fuzzes each parser of guests' bytes for a while (FUZZ_SECONDS=60); needs nightly Rust and cargo-fuzz
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 1; }
	for target in $$(cargo +nightly fuzz list --fuzz-dir fuzz); do
		cargo +nightly fuzz run --fuzz-dir fuzz $$target -- -max_total_time=$(or $(FUZZ_SECONDS),60)
	done

fmt: ## formats all Rust code
	@$(ENV)
	scripts/each-workspace.sh cargo fmt --all

lint: setup ## clippy over the workspace, warnings are errors
	@$(ENV)
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings

doc: setup ## builds the API documentation
	@$(ENV)
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --workspace --no-deps --features fnstream-core/test-util

licence-check: ## the licence header of every file, and the licence of every dependency
	@$(ENV)
	scripts/licence-check.sh
	cargo test $(CARGO_FLAGS) -p fnstream-tests --test repo_rules licences

licence-fix: ## puts the licence header where it lacks
	@scripts/licence-check.sh --fix

openapi: build ## writes openapi.yaml from the code
	@bin/function-stream openapi > openapi.yaml.new
	mv openapi.yaml.new openapi.yaml

clean: ## removes what was built here; the shared target folder of CARGO_TARGET_DIR stays
	@rm -rf bin
