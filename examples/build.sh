#!/bin/sh
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Builds all examples into a folder. Honours CARGO_TARGET_DIR (cargo's output goes to its subfolder `examples`), CARGO and GO.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUT_DIR" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/target}/examples
triple=wasm32-wasip2
cargo=${CARGO:-cargo}
go=${GO:-go}

# Everything that is missing is named before anything is built.
missing=0
if ! command -v "$cargo" >/dev/null; then
    echo "missing: cargo (see https://rustup.rs)" >&2
    missing=1
elif [ ! -d "$(cd "$here" && rustc --print sysroot)/lib/rustlib/$triple" ]; then
    echo "missing: the Rust target $triple (rustup target add $triple)" >&2
    missing=1
fi
if ! command -v "$go" >/dev/null; then
    if [ -x /usr/local/go/bin/go ]; then
        go=/usr/local/go/bin/go
    else
        echo "missing: go 1.24 or later (see https://go.dev/dl; or set GO)" >&2
        missing=1
    fi
fi
[ "$missing" -eq 0 ] || exit 1

# A file is put in place whole, so that a build that is interrupted leaves the last one.
place() {
    cp "$1" "$out/.$2.$$" && mv "$out/.$2.$$" "$out/$2"
}

# Host settings, such as flags for coverage or another linker, are not for guests.
(cd "$here" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$target" \
    "$cargo" build --release --locked --target "$triple" --quiet)
for name in basic word_count pass_through keyed_count window unruly join; do
    place "$target/$triple/release/example_$name.wasm" "example_${name}_rust.wasm"
done

(cd "$here/basic/go" && GOOS=wasip1 GOARCH=wasm GOWORK=off "$go" build -trimpath -buildmode=c-shared -o "$target/example_basic_go.wasm" .)
place "$target/example_basic_go.wasm" example_basic.wasm
