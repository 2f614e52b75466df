#!/bin/sh
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Builds build/processor.wasm beside this script. FUNCTION_STREAM names the program, else bin/function-stream of this
# repository or the one on the path.
set -eu
cd "$(dirname "$0")"
program=${FUNCTION_STREAM:-../../bin/function-stream}
command -v "$program" >/dev/null || program=function-stream
exec "$program" build . -o build/processor.wasm "$@"
