# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What the scripts beside this one share: Apache Pulsar's own client, its admin API, and records that a seed makes.

Record n of a workload is a function of the seed and n alone: its key is one of `keys`, its event time is EPOCH + n milliseconds, and
its property `number` is n. `money` and `copy` carry n in the name, `keyed-count` in the first 8 bytes.
"""

import bisect
import itertools
import json
import os
import random
import sys
import urllib.error
import urllib.request

import pulsar

PATIENCE = 60

# The event time of the first record, in milliseconds.
EPOCH = 1_700_000_000_000


def connect(url):
    """A client of the broker; with TLS it trusts the CA of the file that FNSTREAM_PULSAR_CA names."""
    options = {"logger": pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)}
    if url.startswith("pulsar+ssl:"):
        options |= {"tls_trust_certs_file_path": os.environ["FNSTREAM_PULSAR_CA"], "tls_validate_hostname": True}
    return pulsar.Client(url, operation_timeout_seconds=PATIENCE, **options)


def admin(url, method, path, body=None):
    """What the admin API answers; None for an object that is not there, or that is there already."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/admin/v2/{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            said = answer.read()
            return json.loads(said) if said else {}
    except urllib.error.HTTPError as error:
        if error.code in (404, 409):
            return None
        raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()[:300]}") from None


def create(url, topic, partitions):
    """Makes a partitioned topic, and its namespace: what is read is kept, and repeats are dropped."""
    tenant, namespace, name = topic.split("/")
    within = f"{tenant}/{namespace}"
    if admin(url, "PUT", f"namespaces/{within}", {}) is not None:
        admin(url, "POST", f"namespaces/{within}/retention", {"retentionTimeInMinutes": -1, "retentionSizeInMB": -1})
        admin(url, "POST", f"namespaces/{within}/deduplication", True)
    if admin(url, "PUT", f"persistent/{within}/{name}/partitions", partitions) is None:
        raise RuntimeError(f"the topic {topic} is there already")


def grow(url, topic, partitions):
    """Gives a topic more partitions."""
    if admin(url, "POST", f"persistent/{topic}/partitions", partitions) is None:
        raise RuntimeError(f"there is no topic {topic}")


def delete(url, topic):
    """Deletes a topic with all that is in it, and those who read it."""
    if admin(url, "DELETE", f"persistent/{topic}/partitions?force=true") is None:
        raise RuntimeError(f"there is no topic {topic}")


def unload(url, topic):
    """Has the broker give a topic up, as when it moves."""
    if admin(url, "PUT", f"persistent/{topic}/unload") is None:
        raise RuntimeError(f"there is no topic {topic}")


def hold(url, topic):
    """Gives a topic that has messages a subscription that nobody reads, and its namespace a quota of one byte: none may write any more."""
    if admin(url, "PUT", f"persistent/{topic}/subscription/held", {"ledgerId": -1, "entryId": -1}) is None:
        raise RuntimeError(f"there is no topic {topic}, or it is held")
    quota = {"limitSize": 1, "limitTime": -1, "policy": "producer_exception"}
    admin(url, "POST", f"namespaces/{topic.rpartition('/')[0]}/backlogQuota", quota)
    # The broker asks for room when a producer comes.
    unload(url, topic)


def free(url, topic):
    """Takes the quota away."""
    admin(url, "DELETE", f"namespaces/{topic.rpartition('/')[0]}/backlogQuota")


def messages(client, topic):
    """The partition and the message of each record that is there now, in the order of its partition."""
    for partition, name in enumerate(client.get_topic_partitions(topic)):
        reader = client.create_reader(name, pulsar.MessageId.earliest, receiver_queue_size=10_000)
        while reader.has_message_available():
            yield partition, reader.read_next(PATIENCE * 1_000)
        reader.close()


def records(client, topic):
    """The partition, key and value of each record."""
    for partition, message in messages(client, topic):
        yield partition, message.partition_key(), message.data()


class Workload:
    """The records of a workload."""

    def __init__(self, work, seed, keys, zipf=0.0, size=0):
        if work not in ("money", "copy", "keyed-count"):
            sys.exit(f"unknown workload '{work}'")
        self.counted, self.keys, self.size = work == "keyed-count", keys, size
        self.rng = random.Random(seed)
        self.weights = list(itertools.accumulate(1 / rank**zipf for rank in range(1, keys + 1))) if zipf else None
        self.filler = random.Random(seed).randbytes(max(size, 8))[8:]

    def skip(self, count):
        for _ in range(count):
            self.rng.random()

    def key(self):
        """The key of the next record. Ranks are scattered, so that frequent keys do not lie side by side in the state."""
        at = self.rng.random()
        if self.weights is None:
            return f"key{int(at * self.keys)}"
        rank = bisect.bisect(self.weights, at * self.weights[-1])
        return f"{rank * 0x9E3779B97F4A7C15 % (1 << 64):016x}"

    def value(self, number):
        if self.counted:
            return number.to_bytes(8, "little") + self.filler
        end = f'","money":{number % 1_000}}}'
        return f'{{"name":"{number}-'.ljust(self.size - len(end), "x").encode() + end.encode()


def percentile(values, share):
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]
