#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Runs a cargo command in each Rust workspace of the repository: guests and fuzz targets have their own.
# usage: scripts/each-workspace.sh COMMAND…
set -euo pipefail
cd "$(dirname "$0")/.."

for folder in . sdks/rust engines/javascript examples fuzz tests/sdk/rust tests/sdk/rust-sdk; do
    [[ -f $folder/Cargo.toml ]] || continue
    (cd "$folder" && "$@")
done
