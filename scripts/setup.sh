#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Makes sure that everything a build needs is there: installs what it can without asking for a password, and names
# exactly what is left for you. Does nothing, quickly, when all is there. Needs no sudo when run by root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

missing=()

have() { command -v "$1" >/dev/null 2>&1; }

# Installs Debian packages when that needs no password; fails otherwise.
apt_install() {
    [ "$(id -u)" = 0 ] && have apt-get || return 1
    echo "setup: installing $*"
    local log
    log=$(mktemp)
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

# The toolchain that rust-toolchain.toml names, with its components and targets.
setup_rust() {
    if ! have rustup; then
        missing+=("rustup: see https://rustup.rs; it then brings the toolchain that rust-toolchain.toml names")
        return
    fi
    local name wanted installed item lacking=()
    name=${RUSTUP_TOOLCHAIN:-$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)}
    wanted=$(sed -n 's/^\(components\|targets\) *= *\[\(.*\)\]/\2/p' rust-toolchain.toml | tr -d '",')
    if ! rustup toolchain list | grep -q "^$name\b"; then
        echo "setup: installing Rust $name"
        if ! rustup toolchain install "$name" --profile minimal --no-self-update; then
            missing+=("Rust $name: 'rustup toolchain install $name' failed, see above")
            return
        fi
    fi
    installed=$(rustup component list --installed --toolchain "$name")
    for item in $wanted; do
        grep -Eq "^(rust-std-)?$item(-|\$)" <<<"$installed" || lacking+=("$item")
    done
    for item in "${lacking[@]}"; do
        local kind=component
        [[ $item != wasm32-* ]] || kind=target
        echo "setup: adding the $kind $item to Rust $name"
        rustup "$kind" add "$item" --toolchain "$name" ||
            missing+=("the $kind $item of Rust $name: 'rustup $kind add $item --toolchain $name' failed, see above")
    done
}

setup_cxx() {
    local packages=()
    have cc && have c++ || packages+=(g++)
    have make || packages+=(make)
    [ ${#packages[@]} -gt 0 ] || return 0
    apt_install "${packages[@]}" || missing+=("a C and C++ compiler and make (Debian: apt-get install ${packages[*]})")
}

# RocksDB's bindings are generated at build time, by a library of clang.
setup_libclang() {
    ! fnstream_has_libclang || return 0
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    apt_install libclang-dev && return 0
    if have python3 && python3 -m pip install --quiet --target "$fnstream_tools/libclang" libclang; then
        echo "setup: took libclang from the Python package of that name"
        return 0
    fi
    missing+=("libclang (Debian: apt-get install libclang-dev), or LIBCLANG_PATH naming the folder that holds it")
}

# TLS for Apache Kafka's client, linked statically (see env.sh), so that the program needs no library of the machine it runs on.
setup_openssl() {
    local packages=()
    have pkg-config || packages+=(pkg-config)
    have pkg-config && pkg-config --exists openssl || packages+=(libssl-dev)
    [ ${#packages[@]} -gt 0 ] && [ -z "${OPENSSL_DIR:-}" ] || return 0
    apt_install "${packages[@]}" || missing+=("OpenSSL's headers (Debian: apt-get install ${packages[*]}), or OPENSSL_DIR naming its folder")
}

# The first example is written in Go.
setup_go() {
    local version=none
    if have go; then
        version=$(go env GOVERSION)
        local minor=${version#go1.}
        minor=${minor%%[!0-9]*}
        [ "${minor:-0}" -lt 24 ] || return 0
    fi
    missing+=("Go 1.24 or later (found: $version): see https://go.dev/dl")
}

# What compiles the engine of functions in JavaScript, which is left out without it, except in continuous integration.
setup_wasm_clang() {
    ! fnstream_has_wasm_clang || return 0
    apt_install clang llvm wasi-libc && return 0
    [ -z "${CI:-}" ] || missing+=("clang for WebAssembly (Debian: apt-get install clang llvm wasi-libc)")
}

# The packages are made and tried by tests, which are skipped without these tools, except in continuous integration.
setup_packaging() {
    [ -n "${CI:-}" ] || return 0
    local packages=()
    have python3 || packages+=(python3 python3-venv)
    have npm || packages+=(npm)
    have dpkg-deb || packages+=(dpkg)
    have strip || packages+=(binutils)
    [ ${#packages[@]} -gt 0 ] || return 0
    apt_install "${packages[@]}" || missing+=("what packages are made with (Debian: apt-get install ${packages[*]})")
}

# The same of the real brokers that tests run on, and of what makes their certificates.
setup_brokers() {
    [ -n "${CI:-}" ] || return 0
    local packages=()
    have java || packages+=(openjdk-17-jre-headless)
    have mvn || packages+=(maven)
    have openssl || packages+=(openssl)
    [ ${#packages[@]} -gt 0 ] || return 0
    apt_install "${packages[@]}" || missing+=("what brokers are run with (Debian: apt-get install ${packages[*]})")
}

setup_rust
setup_cxx
setup_libclang
setup_openssl
setup_go
setup_wasm_clang
setup_packaging
setup_brokers
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: still missing, please install:" >&2
    printf '  - %s\n' "${missing[@]}" >&2
    exit 1
fi
