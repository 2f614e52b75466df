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

# The functions through which every expression within an expression is parsed take a frame on the stack that is measured; see stack.h.
with_frames() {
    awk '
        /^static __exception int js_parse_(unary|assign_expr2)\(.*\)$/ { is_head = 1 }
        { print }
        is_head && /^{$/ { print (seen++ ? "    FNSTREAM_FRAME(640);" : "    FNSTREAM_FRAME(96);"); is_head = 0 }
        END { exit seen != 2 }
    ' "$1" || { echo "not both functions are in $1" >&2 && return 1; }
}

arguments=()
for argument in "$@"; do
    if [ "$(basename -- "$argument")" = quickjs.c ]; then
        made=$(mktemp -d)
        trap 'rm -rf "$made"' EXIT
        with_frames "$argument" >"$made/quickjs.c"
        arguments+=(-iquote "$(dirname -- "$argument")")
        argument=$made/quickjs.c
    fi
    arguments+=("$argument")
done
clang --target=wasm32-wasi "${libc[@]}" -include "$here/stack.h" "${arguments[@]}"
