#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Uses the Rust SDK as a user does: packs it as it would be published, and builds and tests the project of docs/rust-sdk.md in
# a folder outside of the repository, by the packages and by a path. Honours CARGO_TARGET_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
target=${CARGO_TARGET_DIR:-$PWD/target}/outside

# Neither the repository's own settings nor those of the host are the user's.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET

for package in crates/frame sdks/rust; do
    # The lock file of a library is nobody's, and would need the first package to be published before the second is packed.
    (cd $package && cargo package --quiet --allow-dirty --no-verify --exclude-lockfile --target-dir "$folder/packages")
done
for package in "$folder"/packages/package/*.crate; do tar -xzf "$package" -C "$folder"; done

# The code block of the page that follows a comment with the file's name.
block() {
    awk -v mark="<!-- outside: $1 -->" '$0 == mark { found = 1 } found && /^```/ { if (inside) exit; inside = 1; next } inside' \
        docs/rust-sdk.md
}

mkdir -p "$folder/clicks/src"
block Cargo.toml >"$folder/clicks/Cargo.toml"
block src/lib.rs >"$folder/clicks/src/lib.rs"
grep -q '^fnstream-sdk = "0.1"$' "$folder/clicks/Cargo.toml" || { echo "docs/rust-sdk.md has no project" >&2 && exit 1; }

build() {
    echo "the Rust SDK outside of the repository, $1"
    (cd "$folder/clicks" && CARGO_TARGET_DIR=$target cargo test --quiet && CARGO_TARGET_DIR=$target \
        cargo build --quiet --release --target wasm32-wasip2)
    [[ -s $target/wasm32-wasip2/release/clicks.wasm ]]
}

cat >>"$folder/clicks/Cargo.toml" <<END

[patch.crates-io]
fnstream-frame = { path = "$(echo "$folder"/fnstream-frame-*)" }
fnstream-sdk = { path = "$(echo "$folder"/fnstream-sdk-*)" }
END
build "by its packages"

block Cargo.toml | sed "s|^fnstream-sdk = .*|fnstream-sdk = { path = \"$PWD/sdks/rust\" }|" >"$folder/clicks/Cargo.toml"
build "by a path"
