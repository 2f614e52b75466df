# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Fills topics of Apache Pulsar, and compares the outputs of a function with its inputs, by a client that has nothing of ours.

    check.py create ADMIN PARTITIONS TOPIC...    makes partitioned topics, and namespaces that keep what is read and drop repeats
    check.py grow ADMIN PARTITIONS TOPIC...      gives topics more partitions
    check.py delete ADMIN TOPIC...               deletes topics
    check.py unload ADMIN TOPIC...               has the broker give topics up, as when they move; clients find them again
    check.py hold ADMIN TOPIC...                 fills the quota of topics and their namespaces: nobody may write as long as nobody has read
    check.py free ADMIN TOPIC...                 takes the quota away
    check.py fill URL WORK TOPIC COUNT [--first N] [--seed N] [--keys N] [--zipf S] [--size BYTES] [--prefix P] [--bare] [--unbatched]
                                                 appends the records N to N + COUNT of a workload, the same for the same seed
    check.py money URL INPUT OUTPUT              each record's money is one more, once
    check.py keyed-count URL INPUT OUTPUT        each key that came n times has the counts 1 to n, in order
    check.py scatter URL INPUT OUTPUT            each record comes as one to four that say how many they are, once, in order and together
    check.py copy URL INPUT OUTPUT               each record of `money` comes as it is, once

Topics are named TENANT/NAMESPACE/NAME; an INPUT may be several, with commas between them. There is a key for twenty records, unless
--keys says how many there are; --zipf makes some of them frequent, --prefix puts something before each. Records have an event time and a
property, unless --bare leaves them out, and share entries of the broker's log, unless --unbatched gives each its own. A check reads its
topics wholly, and says what it found as one line of JSON. Nothing but zeros in `lost`, `duplicated`, `wrong` and `out_of_order` is right,
where the order is that of a key. `event_times` and `properties` are how many outputs of `money` and `copy` have those of their inputs.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import pulsar
from client import EPOCH, Workload, connect, create, delete, free, grow, hold, messages, records, unload

# At the end: this folder is named like the module of the client.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import outputs


def fill(url, work, topic, count, first, seed, keys, zipf, size, prefix, bare, unbatched):
    workload = Workload(work, seed, keys or max((first + count) // 20, 1), zipf, size)
    workload.skip(first)
    client, refused = connect(url), []

    def answered(result, _):
        if result != pulsar.Result.Ok:
            refused.append(result)

    producer = client.create_producer(
        topic,
        batching_enabled=not unbatched,
        batching_max_publish_delay_ms=5,
        block_if_queue_full=True,
        max_pending_messages=10_000,
        send_timeout_millis=0,
    )
    began = time.monotonic()
    for number in range(first, first + count):
        more = {} if bare else {"event_timestamp": EPOCH + number, "properties": {"number": str(number)}}
        producer.send_async(workload.value(number), answered, partition_key=prefix + workload.key(), **more)
    producer.flush()
    took = time.monotonic() - began
    client.close()
    if refused:
        sys.exit(f"{len(refused)} of {count} records were refused: {refused[0]}")
    return {"records": count, "seconds": round(took, 3)}


class Kept:
    """Counts the outputs that have the event time and the property of the record whose number they carry, and passes them on."""

    def __init__(self):
        self.event_times, self.properties = 0, 0

    def of(self, found):
        for partition, message in found:
            value = message.data()
            number = outputs.number_of(json.loads(value)["name"])
            self.event_times += message.event_timestamp() == EPOCH + number
            self.properties += message.properties().get("number") == str(number)
            yield partition, message.partition_key(), value


def check(work, url, source, target):
    client = connect(url)
    inputs = itertools.chain.from_iterable(records(client, topic) for topic in source.split(","))
    if work in ("keyed-count", "scatter"):
        compare = outputs.scatter if work == "scatter" else outputs.keyed_count
        found = compare(inputs, records(client, target))
    else:
        kept = Kept()
        seen = kept.of(messages(client, target))
        found = outputs.copy(inputs, seen) if work == "copy" else outputs.money(inputs, seen, ordered_by_key=True)
        found |= {"event_times": kept.event_times, "properties": kept.properties}
    client.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    simple = {"create": create, "grow": grow, "delete": delete, "unload": unload, "hold": hold, "free": free}
    for name in simple:
        making = commands.add_parser(name)
        making.add_argument("url")
        if name in ("create", "grow"):
            making.add_argument("partitions", type=int)
        making.add_argument("topics", nargs="+")
    filling = commands.add_parser("fill")
    filling.add_argument("url")
    filling.add_argument("work")
    filling.add_argument("topic")
    filling.add_argument("count", type=int)
    filling.add_argument("--first", type=int, default=0)
    filling.add_argument("--seed", type=int, default=1)
    filling.add_argument("--keys", type=int, default=0)
    filling.add_argument("--zipf", type=float, default=0.0)
    filling.add_argument("--size", type=int, default=0)
    filling.add_argument("--prefix", default="")
    for name in ("bare", "unbatched"):
        filling.add_argument(f"--{name}", action="store_true")
    for work in ("money", "keyed-count", "scatter", "copy"):
        checking = commands.add_parser(work)
        for name in ("url", "source", "target"):
            checking.add_argument(name)
    said = vars(parser.parse_args())
    command = said.pop("command")
    if command in simple:
        for topic in said.pop("topics"):
            simple[command](topic=topic, **said)
    else:
        print(json.dumps(fill(**said) if command == "fill" else check(command, **said)))


if __name__ == "__main__":
    main()
