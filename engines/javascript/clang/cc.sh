#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Compiles the C of QuickJS to WebAssembly. WASI_SYSROOT is the root of wasi-libc, where it is not Debian's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${WASI_SYSROOT:-}" ]; then
    libc=("--sysroot=$WASI_SYSROOT")
else
    libc=(-isystem /usr/include/wasm32-wasi)
fi
exec clang --target=wasm32-wasi "${libc[@]}" -include "$here/stack.h" "$@"
