#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Everything that must hold before a change is merged, the cheap checks first. Stops at the first step that fails and
# names it; tells at the end how long each step took.
set -euo pipefail
cd "$(dirname "$0")/.."

step=start
summary=()
trap '[[ $? == 0 ]] || echo "make test: failed in the step: $step" >&2; end_brokers' EXIT

run() {
    step=$1
    shift
    echo "==> $step"
    local began=$SECONDS
    "$@"
    summary+=("$(printf '%6ds  %s' $((SECONDS - began)) "$step")")
}

licence_headers() { scripts/licence-check.sh; }

formatting() { scripts/each-workspace.sh cargo fmt --all --check; }

lints() { make --no-print-directory lint; }

# The order matters: the plain build comes last and is what the target folder keeps.
failpoints_binary() { scripts/build-failpoints.sh; }

binary() {
    cargo build --release --locked -p fnstream-cli
    install -m 755 "$CARGO_TARGET_DIR/release/function-stream" bin/function-stream
}

examples() { examples/build.sh bin; }

engines() { scripts/engines.sh --all bin/engines; }

# In the folder that examples/build.sh uses, so that nothing is compiled twice.
examples_checks() {
    (cd examples && CARGO_TARGET_DIR="$CARGO_TARGET_DIR/examples" \
        cargo clippy --release --locked --workspace --target wasm32-wasip2 -- -D warnings)
    (cd examples && CARGO_TARGET_DIR="$CARGO_TARGET_DIR/examples" cargo test --release --locked --workspace)
}

# Vetted for both targets: the bindings are compiled for WebAssembly alone, the test kit runs everywhere.
go_modules() {
    local unformatted module
    unformatted=$(gofmt -l benches examples go-sdk go-sdk-advanced tests/sdk)
    [[ -z $unformatted ]] || { echo "not gofmt-ed: $unformatted" >&2 && return 1; }
    for module in $(git ls-files '*go.mod'); do
        (cd "$(dirname "$module")" && go vet ./... && GOOS=wasip1 GOARCH=wasm go vet ./... && go test ./...)
    done
}

# Where the engine itself is built.
engine_lints() {
    (cd engines/javascript && CARGO_TARGET_DIR="$CARGO_TARGET_DIR/engines" cargo clippy --release --locked -- -D warnings)
}

# Real brokers for the tests that need one, each in a folder of its own and in memory where that is possible: what is tested is
# the death of processes, not that of the machine. Without Java these tests are skipped, except in continuous integration.
declare -A broker_folders=()

start_broker() {
    local script=scripts/$1.sh folder status=0 line
    folder=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
    broker_folders[$1]=$folder
    "$script" start --at "$folder" || status=$?
    if [[ $status == 3 && -z ${CI:-} ]]; then
        echo "SKIPPED: the tests on $2, for want of Java" >&2
        return 0
    fi
    [[ $status == 0 ]] || return 1
    while read -r line; do export "${line?}"; done < <("$script" env --at "$folder")
}

kafka_broker() { start_broker kafka Kafka; }

pulsar_broker() { start_broker pulsar Pulsar; }

end_brokers() {
    local broker
    for broker in "${!broker_folders[@]}"; do
        "scripts/$broker.sh" wipe --at "${broker_folders[$broker]}" || true
        rm -rf "${broker_folders[$broker]}"
    done
}

tests() {
    FNSTREAM_EXAMPLES="$PWD/bin" FNSTREAM_BIN="$PWD/bin/function-stream" \
        FNSTREAM_FAILPOINTS_BIN="$PWD/bin/function-stream-failpoints" \
        cargo test --release --locked --workspace --no-fail-fast
}

# The conformance program runs the scenarios in the SDK's test kit.
sdk_tests() {
    local folder
    for folder in sdks/rust tests/sdk/rust-sdk; do
        (cd $folder && export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/sdk" &&
            cargo clippy --release --locked --all-targets -- -D warnings && cargo test --release --locked)
    done
}

sdk_outside() { CARGO_TARGET_DIR="$CARGO_TARGET_DIR/sdk" scripts/rust-sdk-outside.sh; }

# What is generated and committed must be what the code generates now.
generated_files() {
    bin/function-stream openapi | diff -u openapi.yaml - ||
        { echo "openapi.yaml is not what the code says; 'make openapi' writes it anew" >&2 && return 1; }
}

documentation() { make --no-print-directory doc; }

quickstart() {
    scripts/quickstart.sh
    [[ -z ${FNSTREAM_PULSAR:-} ]] || scripts/quickstart.sh --on-pulsar
}

run "tools" scripts/setup.sh
. scripts/env.sh
run "licence headers" licence_headers
run "formatting" formatting
run "binary with fail points" failpoints_binary
run "binary" binary
run "example functions" examples
run "engines" engines
run "broker of Kafka" kafka_broker
run "broker of Pulsar" pulsar_broker
run "tests" tests
run "generated files" generated_files
run "quickstart" quickstart
run "lints" lints
run "lints and tests of the Rust examples" examples_checks
run "lints and tests of the Go modules" go_modules
run "lints of the JavaScript engine" engine_lints
run "lints and tests of the Rust SDK" sdk_tests
run "the Rust SDK outside of the repository" sdk_outside
run "documentation" documentation

echo "==> all of it passed"
printf '%s\n' "${summary[@]}"
