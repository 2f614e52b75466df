#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Makes the Python environment of the tests that need one, unless it is there, and prints its interpreter. Ends with 3 when
# this machine has no Python with venv: what needs it can then say so and pass on.
# usage: scripts/python-env.sh [REQUIREMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=${1:-tests/grpc/requirements.txt}
command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "there is no python3 with venv here" >&2
    exit 3
}

# One for each set of requirements and interpreter; a half-made one has another name.
key=$( (cat "$requirements" && python3 --version) | sha256sum | cut -c1-16)
folder="$HOME/.cache/function-stream/tools/python-$key"
if [ ! -x "$folder/bin/python" ]; then
    mkdir -p "$(dirname "$folder")"
    made=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made" >&2
    "$made/bin/python" -m pip install --quiet --only-binary :all: --requirement "$requirements" >&2
    # Whoever comes second takes what the first has made.
    mv -T "$made" "$folder" 2>/dev/null || [ -x "$folder/bin/python" ]
fi
echo "$folder/bin/python"
