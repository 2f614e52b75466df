#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# LLVM's ar, under whatever name this machine has it.
set -euo pipefail
for ar in llvm-ar $(compgen -c llvm-ar- | sort -rV); do
    ! command -v "$ar" >/dev/null || exec "$ar" "$@"
done
echo "there is no llvm-ar here" >&2
exit 1
