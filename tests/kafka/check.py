# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Compares the outputs of a function with its inputs, by a client of Kafka that has nothing of ours.

    check.py money BOOTSTRAP INPUT OUTPUT        each record's money is one more, once
    check.py keyed-count BOOTSTRAP INPUT OUTPUT  each key that came n times has the counts 1 to n, in order
    check.py read BOOTSTRAP FUNCTION             reads what the server keeps of a function, and says how long that took

It reads what is committed (`read_committed`), both topics wholly, and says what it found as one line of JSON. Nothing but zeros in
`lost`, `duplicated`, `wrong` and `out_of_order` is right.
"""

import json
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

# At the end: the folders there are named like modules of others.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import outputs

PATIENCE = 60


def records(bootstrap, topic):
    """The partition, key and value of each record, in the order of its partition."""
    errors = []
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-check",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "error_cb": errors.append,
        }
    )
    partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    assert partitions, f"there is no topic {topic}"
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    ended, came = set(), time.monotonic()
    while len(ended) < len(partitions):
        # It waits until there are so many, or for so long.
        batch = consumer.consume(1_000, timeout=0.05)
        came = time.monotonic() if batch else came
        assert time.monotonic() < came + PATIENCE, f"{topic}: nothing came for {PATIENCE} s: {errors}"
        for message in batch:
            if message.error() is None:
                yield message.partition(), message.key(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise RuntimeError(message.error())
    consumer.close()


def read(bootstrap, function):
    topics = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=PATIENCE).topics
    for topic in sorted(topic for topic in topics if topic.endswith((f".{function}.state", f".{function}.log"))):
        began, count, size = time.monotonic(), 0, 0
        for _, key, value in records(bootstrap, topic):
            count += 1
            size += len(key or b"") + len(value or b"")
        took = time.monotonic() - began
        print(json.dumps({"topic": topic, "records": count, "bytes": size, "seconds": round(took, 2),
                          "mb_per_second": round(size / 1e6 / took, 1)}))


def main(work, bootstrap, source, target=None):
    if work == "read":
        return read(bootstrap, source)
    check = {"money": outputs.money, "keyed-count": outputs.keyed_count, "scatter": outputs.scatter}[work]
    print(json.dumps(check(records(bootstrap, source), records(bootstrap, target))))


if __name__ == "__main__":
    main(*sys.argv[1:])
