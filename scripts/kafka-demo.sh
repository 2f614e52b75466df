#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Shows a function between two topics of Apache Kafka: starts a broker, a server and the example function on temporary folders, and
# compares what comes out. Everything that it starts is ended.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$(mktemp -d)
server=''

finish() {
    local status=$?
    trap - EXIT
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    scripts/kafka.sh wipe --at "$home/kafka" >/dev/null 2>&1 || true
    [[ $status == 0 || ! -s $home/server.log ]] || tail -n 20 "$home/server.log" >&2
    rm -rf "$home"
    exit "$status"
}
trap finish EXIT

say() {
    echo "\$ $*"
    timeout 120 "$@"
}

broker=$(scripts/kafka.sh start --at "$home/kafka")
echo "a broker of Apache Kafka listens at $broker"

mkfifo "$home/log"
bin/function-stream standalone --data-dir "$home/data" --listen 127.0.0.1:0 --grpc-listen none >"$home/log" 2>&1 &
server=$!
exec {log}<"$home/log"
url=''
while IFS= read -r -t 120 -u "$log" line; do
    echo "$line" >>"$home/server.log"
    if [[ $line =~ listening\ address=([0-9.:]+) ]]; then
        url=http://${BASH_REMATCH[1]}
        break
    fi
done
[[ -n $url ]] || { echo "the server did not come up" >&2 && exit 1; }
cat <&"$log" >>"$home/server.log" &
export FUNCTION_STREAM_URL=$url

client=(bin/function-stream client)
at=kafka://$broker
say "${client[@]}" create -n example -a bin/example_basic.wasm -i "payments@$at?group_id=example" -o "paid@$at"
for money in 2 5; do
    say "${client[@]}" produce -n "payments@$at" -c "{\"name\":\"rbt\",\"money\":$money}"
done
for money in 3 6; do
    echo "\$ ${client[*]} consume -n paid@$at"
    seen=$(timeout 120 "${client[@]}" consume -n "paid@$at")
    echo "$seen"
    wanted='"{\"name\":\"rbt\",\"money\":'$money',\"expected\":0}"'
    [[ $seen == "$wanted" ]] || { echo "expected $wanted" >&2 && exit 1; }
done
say "${client[@]}" group list -n "payments@$at"
echo "kafka-demo: the function read, added and wrote, each event once"
