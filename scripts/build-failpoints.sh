#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Builds the binary that can be told to die at a named step, for the crash tests: bin/function-stream-failpoints.
# The plain binary of the target folder is put back afterwards by the next plain build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

cargo build --release --locked -p fnstream-cli --features failpoints
mkdir -p bin
install -m 755 "$CARGO_TARGET_DIR/release/function-stream" bin/function-stream-failpoints
