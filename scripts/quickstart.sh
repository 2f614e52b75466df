#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Runs the transcript of README.md against a server on a temporary data folder and compares what it prints. The README is
# the only source: a comment `<!-- quickstart: KIND -->` before a code block says what the block is.
#
#   server              a command that runs until the end; the next step waits until it listens
#   pulsar server       the same on Apache Pulsar: it takes the place of `server` with --on-pulsar
#   run                 a command that must succeed
#   background          a command that is started and waited for later
#   prints              what the last `run` printed
#   background prints   what the background command prints before it ends
#
# usage: scripts/quickstart.sh [--list | --on-pulsar]
#   --list        prints the steps as KIND<tab>TEXT and runs nothing
#   --on-pulsar   runs them against `function-stream server` on the broker that FNSTREAM_PULSAR and FNSTREAM_PULSAR_ADMIN name
set -euo pipefail
cd "$(dirname "$0")/.."

# Longer than any of it takes; only so that a fault ends the run.
patience=120

# KIND<tab>TEXT for each marked block; each has one line.
steps() {
    awk '
        /^<!-- quickstart: .* -->$/ { kind = $0; sub(/^<!-- quickstart: /, "", kind); sub(/ -->$/, "", kind); next }
        /^```/ { inside = !inside; if (!inside) kind = ""; next }
        inside && kind != "" { print kind "\t" $0 }
    ' README.md
}

if [[ ${1:-} == --list ]]; then
    steps
    exit
fi

leaves_out='pulsar server'
if [[ ${1:-} == --on-pulsar ]]; then
    leaves_out=server
    export PULSAR_URL=${FNSTREAM_PULSAR:?scripts/pulsar.sh env tells it}
    export FUNCTION_STREAM_PULSAR_PROPERTIES=admin_url=${FNSTREAM_PULSAR_ADMIN:?scripts/pulsar.sh env tells it}
    # Of a broker that others use, too.
    export FUNCTION_STREAM_PULSAR_GROUP=quickstart-$$ FUNCTION_STREAM_PULSAR_NAMESPACE=public/quickstart-$$
    curl -fsS -X PUT "$FNSTREAM_PULSAR_ADMIN/admin/v2/namespaces/$FUNCTION_STREAM_PULSAR_NAMESPACE"
fi

home=$(mktemp -d)
server='' background='' words=()

finish() {
    local status=$?
    trap - EXIT
    [[ -z $background ]] || kill "$background" 2>/dev/null || true
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [[ $status != 0 && -s $home/server.log ]]; then
        echo "the server's log ends so:" >&2
        tail -n 20 "$home/server.log" >&2
    fi
    rm -rf "$home"
    exit "$status"
}
trap finish EXIT

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

# A command of the README as words; it has quotes, but nothing that a shell would expand.
words_of() {
    [[ $1 != *[\$\`\;\|\&\<\>\*]* ]] || fail "not a plain command: $1"
    eval "words=($1)"
}

start_server() {
    local line
    mkfifo "$home/server.pipe"
    FUNCTION_STREAM_HOME="$home" "${words[@]}" >"$home/server.pipe" 2>&1 &
    server=$!
    exec {log}<"$home/server.pipe"
    while IFS= read -r -t "$patience" -u "$log" line; do
        echo "$line" >>"$home/server.log"
        if [[ $line == *listening* ]]; then
            # What it says from now on is kept too, and the pipe never fills.
            cat <&"$log" >>"$home/server.log" &
            return
        fi
    done
    fail "the server did not come up"
}

expect() {
    [[ $1 == "$2" ]] || fail "expected '$2', got '$1'"
    echo "$1"
}

count=0 output=''
while IFS=$'\t' read -r kind text <&3; do
    [[ $kind != "$leaves_out" ]] || continue
    [[ $kind != 'pulsar server' ]] || kind=server
    count=$((count + 1))
    case $kind in
    server | run | background)
        echo "\$ $text"
        words_of "$text"
        ;;
    esac
    case $kind in
    server) start_server ;;
    run) output=$(timeout "$patience" "${words[@]}") || fail "failed: $text" ;;
    background)
        timeout "$patience" "${words[@]}" >"$home/background" &
        background=$!
        ;;
    prints) expect "$output" "$text" ;;
    'background prints')
        wait "$background" || fail "the command in the background failed"
        background=''
        expect "$(<"$home/background")" "$text"
        ;;
    *) fail "README.md has a step of an unknown kind: $kind" ;;
    esac
done 3< <(steps)

[[ $count -ge 7 ]] || fail "README.md has only $count steps"
kill -TERM "$server"
wait "$server" || fail "the server did not stop cleanly"
server=''
echo "quickstart: $count steps of README.md behave as it says"
