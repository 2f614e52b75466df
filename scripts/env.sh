# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# shellcheck shell=bash
# The environment that builds and tests run in; to be sourced, from the root of the repository. It installs nothing:
# `scripts/setup.sh` does.

# One target folder for every clone on the machine: the C++ of RocksDB and Cranelift are then built once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/function-stream/target}"

# TLS is linked into the program where the system has it as a static library, as Debian does: it then runs where there is none.
if [ -z "${OPENSSL_STATIC:-}" ] && compgen -G "/usr/lib/*-linux-gnu/libssl.a" >/dev/null; then
    export OPENSSL_STATIC=1
fi

# Where Go's own installer puts it, should the path not have it.
if ! command -v go >/dev/null 2>&1 && [ -x /usr/local/go/bin/go ]; then
    export PATH="$PATH:/usr/local/go/bin"
fi

# Where setup.sh puts what the system's package manager could not give.
fnstream_tools="$HOME/.cache/function-stream/tools"

fnstream_has_libclang() {
    local found folder
    found=$(compgen -G "${LIBCLANG_PATH:-/nonexistent}/libclang*" || true)
    for folder in /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/local/lib /usr/lib; do
        [ -z "$found" ] || break
        found=$(compgen -G "$folder/libclang.so*" || compgen -G "$folder/libclang-[0-9]*.so*" || true)
    done
    # On macOS the command line tools bring it.
    [ -n "$found" ] || [ "$(uname -s)" = Darwin ]
}

if ! fnstream_has_libclang && [ -e "$fnstream_tools/libclang/clang/native/libclang.so" ]; then
    export LIBCLANG_PATH="$fnstream_tools/libclang/clang/native"
    # The wheel has the library alone, without the compiler's own headers (stddef.h and its like): take the C compiler's.
    BINDGEN_EXTRA_CLANG_ARGS="-isystem $(cc -print-file-name=include)"
    export BINDGEN_EXTRA_CLANG_ARGS
fi

# What compiles the C of the JavaScript engine. wasi-libc may be elsewhere than where Debian has it: WASI_SYSROOT.
fnstream_has_wasm_clang() {
    command -v clang >/dev/null 2>&1 && [ -n "$(compgen -c llvm-ar || true)" ] &&
        [ -d "${WASI_SYSROOT:-/usr/include/wasm32-wasi}" ]
}

# The pinned toolchain, should it be installed under another name only (such as `stable`).
fnstream_toolchain() {
    local pinned name
    pinned=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
    ! rustup toolchain list 2>/dev/null | grep -q "^$pinned-" || return 0
    for name in $(rustup toolchain list 2>/dev/null | sed 's/ .*//'); do
        if [[ $(rustc "+$name" --version 2>/dev/null) == "rustc $pinned "* ]]; then
            echo "$name"
            return 0
        fi
    done
}

if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && command -v rustup >/dev/null 2>&1; then
    RUSTUP_TOOLCHAIN=$(fnstream_toolchain)
    if [ -n "$RUSTUP_TOOLCHAIN" ]; then export RUSTUP_TOOLCHAIN; else unset RUSTUP_TOOLCHAIN; fi
fi
