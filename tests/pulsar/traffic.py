# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Traffic of Apache Pulsar's own client, for measuring.

    traffic.py copy
        consumes a topic and produces to another, without a function, until SIGTERM. It is told by its environment, as any program that
        benches/pulsar.py measures: see there.
    traffic.py latency URL WORK INPUT OUTPUT --rate R --seconds S --warm-up S [--seed N] [--keys N] [--zipf S] [--size BYTES]
               [--unbatched]
        sends records of a workload at fixed times, and times each from when it was to be sent until its output came; prints
        `count`, `p50_micros`, `p99_micros` and `max_micros` as one line of JSON. The records of the warm-up are not timed.
"""

import argparse
import collections
import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pulsar
from client import EPOCH, PATIENCE, Workload, connect, percentile

# At the end: this folder is named like the module of the client.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import outputs


def copy():
    told = {name: os.environ[f"BENCH_{name}"] for name in ("URL", "INPUT", "OUTPUT", "GROUP")}
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    client = connect(told["URL"])
    producer = client.create_producer(
        told["OUTPUT"], batching_enabled=True, batching_max_publish_delay_ms=1, block_if_queue_full=True, send_timeout_millis=0
    )
    consumer = client.subscribe(
        told["INPUT"], told["GROUP"], pulsar.ConsumerType.Failover, initial_position=pulsar.InitialPosition.Earliest
    )
    print("ready", flush=True)
    while True:
        message = consumer.receive()

        def answered(result, _, of=message):
            if result != pulsar.Result.Ok:
                print(f"an output was refused: {result}", file=sys.stderr)
                os._exit(1)
            consumer.acknowledge(of)

        producer.send_async(
            message.data(),
            answered,
            partition_key=message.partition_key(),
            properties=message.properties(),
            event_timestamp=message.event_timestamp() or None,
        )


class Numbers:
    """Finds the number of the record that an output is of. That of a count is the so manieth record of its key."""

    def __init__(self, work):
        self.counted, self.of_key = work == "keyed-count", collections.defaultdict(list)

    def sent(self, number, key):
        if self.counted:
            self.of_key[key].append(number)

    def of(self, message):
        value = message.data()
        if self.counted:
            return self.of_key[message.partition_key()][int.from_bytes(value, "little") - 1]
        return outputs.number_of(json.loads(value)["name"])


def latency(url, work, source, target, rate, seconds, warm_up, seed, keys, zipf, size, unbatched):
    workload, numbers = Workload(work, seed, keys, zipf, size), Numbers(work)
    untimed, count = int(rate * warm_up), int(rate * (warm_up + seconds))
    client = connect(url)
    producer = client.create_producer(
        source, batching_enabled=not unbatched, batching_max_publish_delay_ms=1, block_if_queue_full=True
    )
    consumer = client.subscribe(target, "latency", pulsar.ConsumerType.Exclusive, initial_position=pulsar.InitialPosition.Latest)
    times, failed = [None] * count, []
    gc.disable()
    began = time.perf_counter() + 1

    def read():
        try:
            for _ in range(count):
                message = consumer.receive(PATIENCE * 1_000)
                now, number = time.perf_counter(), numbers.of(message)
                consumer.acknowledge(message)
                assert times[number] is None, f"record {number} has a second output"
                times[number] = now - (began + number / rate)
        except Exception as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(count):
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        key = workload.key()
        numbers.sent(number, key)
        producer.send_async(workload.value(number), lambda *_: None, partition_key=key, event_timestamp=EPOCH + number)
    producer.flush()
    reader.join()
    client.close()
    if failed:
        sys.exit(f"not all outputs came: {failed[0]!r}")
    timed = sorted(times[untimed:])
    micros = lambda seconds: round(seconds * 1e6)
    return {
        "count": len(timed),
        "p50_micros": micros(percentile(timed, 0.5)),
        "p99_micros": micros(percentile(timed, 0.99)),
        "max_micros": micros(timed[-1]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("copy")
    timing = commands.add_parser("latency")
    for name in ("url", "work", "source", "target"):
        timing.add_argument(name)
    for name in ("rate", "seconds", "warm-up"):
        timing.add_argument(f"--{name}", type=float, required=True)
    timing.add_argument("--seed", type=int, default=1)
    timing.add_argument("--keys", type=int, default=1_000)
    timing.add_argument("--zipf", type=float, default=0.0)
    timing.add_argument("--size", type=int, default=0)
    timing.add_argument("--unbatched", action="store_true")
    said = vars(parser.parse_args())
    if said.pop("command") == "copy":
        copy()
    else:
        print(json.dumps(latency(**said)))


if __name__ == "__main__":
    main()
