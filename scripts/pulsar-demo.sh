#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Shows `function-stream server` on Apache Pulsar: starts a broker and two processes on temporary folders, runs what the README shows, kills
# the process that runs the function, and goes on with the other. Everything that it starts is ended.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$(mktemp -d)
processes=()

finish() {
    local status=$? number
    trap - EXIT
    for process in "${processes[@]}"; do
        kill -TERM "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    scripts/pulsar.sh wipe --at "$home/pulsar" >/dev/null 2>&1 || true
    if [[ $status != 0 ]]; then
        for number in 1 2; do tail -n 20 "$home/server$number.log" >&2 || true; done
    fi
    rm -rf "$home"
    exit "$status"
}
trap finish EXIT

say() {
    echo "\$ $*"
    timeout 120 "$@"
}

echo "a broker of Apache Pulsar listens at $(scripts/pulsar.sh start --at "$home/pulsar")"
while read -r line; do export "${line?}"; done < <(scripts/pulsar.sh env --at "$home/pulsar")
export PULSAR_URL=$FNSTREAM_PULSAR FUNCTION_STREAM_PULSAR_PROPERTIES=admin_url=$FNSTREAM_PULSAR_ADMIN

# Starts process NUMBER, and sets `url` to where it listens.
start() {
    mkfifo "$home/log$1"
    bin/function-stream server --data-dir "$home/data$1" --listen 127.0.0.1:0 --grpc-listen none >"$home/log$1" 2>&1 &
    processes[$1]=$!
    local log line
    exec {log}<"$home/log$1"
    url=''
    while IFS= read -r -t 120 -u "$log" line; do
        echo "$line" >>"$home/server$1.log"
        if [[ $line =~ listening\ address=([0-9.:]+) ]]; then
            url=http://${BASH_REMATCH[1]}
            break
        fi
    done
    [[ -n $url ]] || { echo "process $1 did not come up" >&2 && exit 1; }
    cat <&"$log" >>"$home/server$1.log" &
    echo "process $1 of the server listens at $url"
}

start 1
first=$url
start 2
second=$url

client=(bin/function-stream client)
# Puts an event in by one process, and takes what comes out by the other.
add() {
    say "${client[@]}" -s "$1" produce -n example-input -c "{\"name\":\"rbt\",\"money\":$3}"
    echo "\$ ${client[*]} -s $2 consume -n example-output"
    local seen wanted='"{\"name\":\"rbt\",\"money\":'$(($3 + 1))',\"expected\":0}"'
    seen=$(timeout 120 "${client[@]}" -s "$2" consume -n example-output)
    echo "$seen"
    [[ $seen == "$wanted" ]] || { echo "expected $wanted" >&2 && exit 1; }
}

say "${client[@]}" -s "$first" create -n example -a bin/example_basic.wasm -i example-input -o example-output -r 1
add "$second" "$first" 2
echo "\$ kill -9 process 1"
kill -9 "${processes[1]}"
add "$second" "$second" 5
say "${client[@]}" -s "$second" describe -n example
echo "pulsar-demo: the function read, added and wrote, each event once, with one process after the other"
