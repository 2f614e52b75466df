#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Gives a folder with a package.json the packages that its tests need, as its package-lock.json has them, unless it has them. Ends with
# 3 when this machine has no Node.js of 20 or later with npm: what needs it can then say so and pass on.
# usage: scripts/node-env.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
cd "${1:?usage: scripts/node-env.sh FOLDER}"

command -v npm >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || {
    echo "there is no Node.js of 20 or later with npm here" >&2
    exit 3
}
# Two tests may ask at once.
exec 9>.node-env.lock
! command -v flock >/dev/null || flock 9
cmp -s package-lock.json node_modules/.from-lock.json && exit 0
npm ci --silent --no-audit --no-fund >&2
cp package-lock.json node_modules/.from-lock.json
