#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Builds the engines that run functions given as source, into FOLDER/LANGUAGE.wasm, unless they are there and up to date. What
# cannot be built here is named and left out; that is no failure unless --all is given.
# usage: scripts/engines.sh [--all] FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

all=
[ "${1:-}" != --all ] || { all=1 && shift; }
out=${1:?usage: scripts/engines.sh [--all] FOLDER}
mkdir -p "$out"

left_out() {
    echo "the $1 engine is left out: $2; functions given as $1 source answer FS-1111 then" >&2
    [ -z "$all" ] || exit 1
}

# One for each state of its sources, kept beside the tools, so that every clone and every clean build shares them.
kept() {
    local language=$1 key
    shift
    key=$(find "$@" -type f -not -path '*/__pycache__/*' -not -path '*/target/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
    echo "$HOME/.cache/function-stream/engines/$language-$key.wasm"
}

# The newest few are those that somebody may switch back to.
forget_old() {
    find "$HOME/.cache/function-stream/engines" -maxdepth 1 -name "$1-*.wasm" -printf '%T@ %p\n' | sort -rn | tail -n +6 |
        cut -d' ' -f2- | xargs -r rm -f
}

# Another file, not the same one written over: a server may have it open.
place() {
    cmp -s "$2" "$out/$1.wasm" || { cp "$2" "$out/$1.wasm.new" && mv "$out/$1.wasm.new" "$out/$1.wasm"; }
}

python_engine() {
    local python built made
    built=$(kept python engines/python sdks/python/src wit/packed)
    if [ ! -f "$built" ]; then
        python=$(scripts/python-env.sh engines/python/requirements.txt) || {
            left_out Python "python3 with venv, or a package of engines/python/requirements.txt, is missing"
            return 0
        }
        mkdir -p "$(dirname "$built")"
        made=$(mktemp -d "$built.XXXXXX")
        # Of the packages of its own environment the engine takes the time zones alone.
        mkdir "$made/zones"
        cp -r "$("$python" -c 'import os, tzdata; print(os.path.dirname(tzdata.__file__))')" "$made/zones/"
        echo "building the Python engine" >&2
        # Not by its script, which names the folder that its environment was made in.
        if "$python" -c 'import sys, componentize_py; sys.exit(componentize_py.script())' -d wit/packed -w packed-timers componentize function_stream_engine -p engines/python -p sdks/python/src \
            -p "$made/zones" -o "$made/python.wasm" >"$made/log" 2>&1; then
            mv "$made/python.wasm" "$built"
            rm -rf "$made"
            forget_old python
        else
            cat "$made/log" >&2
            rm -rf "$made"
            echo "the Python engine cannot be built" >&2
            return 1
        fi
    fi
    place python "$built"
}

# QuickJS is C, which is compiled to WebAssembly by clang; the rest is Rust.
javascript_engine() {
    local built log target
    built=$(kept javascript engines/javascript sdks/javascript/src sdks/rust/src/cache.rs sdks/rust/src/known.rs wit/packed crates/frame)
    if [ ! -f "$built" ]; then
        . scripts/env.sh
        fnstream_has_wasm_clang || {
            left_out JavaScript "clang, llvm-ar or wasi-libc is missing (Debian: apt-get install clang llvm wasi-libc)"
            return 0
        }
        target=$CARGO_TARGET_DIR/engines
        mkdir -p "$(dirname "$built")"
        log=$(mktemp)
        echo "building the JavaScript engine" >&2
        # Settings for the host's code are none for this one; and the C is compiled anew when it is to be compiled in another way.
        if (cd engines/javascript && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$target" \
            CFLAGS_wasm32_wasip2="-DFNSTREAM_CLANG=$(cat clang/* | sha256sum | cut -c1-16)" \
            cargo build --release --locked) >"$log" 2>&1; then
            rm -f "$log"
            cp "$target/wasm32-wasip2/release/fnstream_engine_javascript.wasm" "$built.$$"
            mv "$built.$$" "$built"
            forget_old javascript
        else
            cat "$log" >&2
            rm -f "$log"
            echo "the JavaScript engine cannot be built" >&2
            return 1
        fi
    fi
    place javascript "$built"
}

python_engine
javascript_engine
