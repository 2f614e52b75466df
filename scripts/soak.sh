#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Runs the crash tests again and again, each round with a seed of its own, until the time is over. A round that fails ends
# it and prints how to repeat it.
# usage: scripts/soak.sh MINUTES
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "usage: $0 MINUTES" >&2 && exit 2; }
until=$((SECONDS + $1 * 60))
round=0
while ((round == 0 || SECONDS < until)); do
    round=$((round + 1))
    seed=$((RANDOM << 15 | RANDOM))
    echo "==> round $round, seed $seed"
    FNSTREAM_SEED=$seed cargo test --release --locked -p fnstream-tests --test crash -- --nocapture || {
        echo "soak: round $round failed; repeat it with" >&2
        echo "  FNSTREAM_SEED=$seed cargo test --release -p fnstream-tests --test crash -- --nocapture" >&2
        exit 1
    }
done
echo "soak: $round rounds passed in $((SECONDS / 60)) minutes"
