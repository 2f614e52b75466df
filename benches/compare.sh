#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Compares two builds: runs each workload and variant with both in turns and prints the processor time of a record, the least
# of all rounds, with the ratios between the builds and between the variants. The least is compared because what else runs on
# the machine only ever adds.
#
# usage: benches/compare.sh BEFORE AFTER
#
#   ROUNDS=3            how often each is run
#   RECORDS=1000000     how many records each run has
#   WORKLOADS="pass-through money keyed-count"
#   ARCHIVES_BEFORE, ARCHIVES_AFTER   folders with the example functions [default: the folder of each build, or bin]
set -euo pipefail

if [[ $# -ne 2 || ! -x $1 || ! -x $2 ]]; then
    echo "usage: $0 BEFORE AFTER, two builds of function-stream" >&2
    exit 2
fi
before=$1 after=$2
rounds=${ROUNDS:-3} records=${RECORDS:-1000000}
read -ra workloads <<<"${WORKLOADS:-pass-through money keyed-count}"

declare -A example=(
    [pass-through]=example_pass_through_rust.wasm [money]=example_basic_rust.wasm [keyed-count]=example_keyed_count_rust.wasm
)
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT

variants_of() {
    case $1 in
        keyed-count) echo wasm native put-per-key no-commit ;;
        *) echo wasm native copy ;;
    esac
}

# Where the functions of a build are: they are part of what is compared.
archives_of() {
    local given=$1 binary=$2 workload=$3 folder
    for folder in "$given" "$(dirname "$binary")" "$(dirname "$0")/../bin"; do
        if [[ -n $folder && -f $folder/${example[$workload]} ]]; then
            echo "$folder/${example[$workload]}"
            return
        fi
    done
    echo "$0: there is no ${example[$workload]}; build it with 'make examples'" >&2
    return 1
}

# Prints a build's processor time of a record, in microseconds (seconds for a million are the same).
cpu() {
    local binary=$1 archive=$2 workload=$3 variant=$4
    "$binary" bench --workload "$workload" --variant "$variant" --records "$records" --archive "$archive" --json |
        sed -n 's/^ *"cpu_seconds_per_million": \([0-9.]*\),*$/\1/p'
}

for ((round = 1; round <= rounds; round++)); do
    for workload in "${workloads[@]}"; do
        archive_before=$(archives_of "${ARCHIVES_BEFORE:-}" "$before" "$workload")
        archive_after=$(archives_of "${ARCHIVES_AFTER:-}" "$after" "$workload")
        for variant in $(variants_of "$workload"); do
            echo "round $round of $rounds: $workload $variant" >&2
            echo "$workload $variant before $(cpu "$before" "$archive_before" "$workload" "$variant")" >>"$figures"
            echo "$workload $variant after $(cpu "$after" "$archive_after" "$workload" "$variant")" >>"$figures"
        done
    done
done

awk -v rounds="$rounds" -v records="$records" '
    { at = $1 " " $2; if (!(at in seen)) { seen[at]; order[++count] = at } }
    !((at, $3) in least) || $4 < least[at, $3] { least[at, $3] = $4 }
    END {
        printf "us of processor time for a record; the least of %d rounds, %d records each\n\n", rounds, records
        printf "%-14s %-12s %8s %8s %14s\n", "workload", "variant", "before", "after", "after : before"
        for (i = 1; i <= count; i++) {
            split(order[i], is, " ")
            b = least[order[i], "before"]; a = least[order[i], "after"]
            printf "%-14s %-12s %8.2f %8.2f %14.2f\n", is[1], is[2], b, a, a / b
        }
        printf "\n%-41s %8s %8s %10s\n", "ratio", "before", "after", "demanded"
        ratio("keyed-count wasm", "keyed-count native", "<= 1.30")
        ratio("money wasm", "money native", "<= 1.20")
        ratio("pass-through copy", "pass-through wasm", ">= 0.85")
        ratio("keyed-count put-per-key", "keyed-count wasm", "")
        ratio("keyed-count wasm", "keyed-count no-commit", "")
    }
    function ratio(over, under, demanded) {
        if (!((over, "after") in least) || !((under, "after") in least)) return
        printf "%-41s %8.2f %8.2f %10s\n", over " : " under, least[over, "before"] / least[under, "before"],
            least[over, "after"] / least[under, "after"], demanded
    }' "$figures"
