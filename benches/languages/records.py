# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The records of the workloads `money` and `keyed-count` as `function-stream bench` makes them: 100 bytes, and keys that are as uneven."""

import random
from bisect import bisect_left
from itertools import accumulate

KEYS = 1_000_000
SIZE = 100


# As many as are handed over at a time.
BATCH = 1000


def batches(workload, count):
    """Yields lists of (key, value) pairs."""
    # Zipf 1.0; the rank is scattered, as there.
    weights = list(accumulate(1 / rank for rank in range(1, KEYS + 1))) if workload == "keyed-count" else None
    chance = random.Random(1)
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        if weights is None:
            yield [(None, _person(number)) for number in numbers]
        else:
            yield [(_key(weights, chance), number.to_bytes(8, "little") + b"x" * (SIZE - 8)) for number in numbers]


def _key(weights, chance):
    rank = bisect_left(weights, chance.random() * weights[-1]) + 1
    return (rank * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")


def _person(number):
    head, tail = b'{"name":"%d-' % number, b'","money":2}'
    return head + b"x" * (SIZE - len(head) - len(tail)) + tail
