# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What WordCount of counting.py reads and writes, by a client of Kafka that has nothing of ours.

    kafka_words.py fill BOOTSTRAP INPUT OUTPUT   makes both topics, and puts words into partition 0 and others into partition 1
    kafka_words.py check BOOTSTRAP INPUT OUTPUT  the output has each word's counts, in the order of the input's partition 0, and no more
"""

import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

MESSAGES = 500
PATIENCE = 60


def messages():
    """Words of a few, an empty message now and then, and one that has no value."""
    for number in range(MESSAGES):
        if number % 10 == 3:
            yield b""
        elif number % 97 == 5:
            yield None
        else:
            yield f"W{number % 7} w{number % 13} same".encode()


def expected():
    counts = {}
    for message in messages():
        for word in (message or b"").upper().split():
            counts[word] = counts.get(word, 0) + 1
            yield b"%s=%d" % (word, counts[word])


def fill(bootstrap, source, target):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = admin.create_topics([NewTopic(source, 2, 1), NewTopic(target, 2, 1)])
    for future in made.values():
        future.result(PATIENCE)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for message in messages():
        producer.produce(source, message, partition=0)
    for _ in range(20):
        producer.produce(source, b"elsewhere", partition=1)
    left = producer.flush(PATIENCE)
    assert left == 0, f"{left} messages were not taken"


def check(bootstrap, target):
    """Reads what is committed until all is there, and then to the end."""
    wanted = list(expected())
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{target}-check",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(target, partition, 0) for partition in (0, 1)])
    found, elsewhere, ended, began = [], 0, set(), time.monotonic()
    while len(ended) < 2 or len(found) < len(wanted):
        assert time.monotonic() < began + PATIENCE, f"{len(found)} of {len(wanted)} came"
        for message in consumer.consume(1_000, timeout=0.1):
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
            elif message.partition() == 0:
                ended.discard(0)
                found.append(message.value())
            else:
                elsewhere += 1
    consumer.close()
    differ = next((at for at, (a, b) in enumerate(zip(found, wanted)) if a != b), None)
    assert differ is None, f"output {differ} is {found[differ]}, not {wanted[differ]}"
    print(json.dumps({"inputs": MESSAGES, "outputs": len(found), "wanted": len(wanted), "elsewhere": elsewhere}))


def main(step, bootstrap, source, target):
    fill(bootstrap, source, target) if step == "fill" else check(bootstrap, target)


main(*sys.argv[1:])
