# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""A producer that numbers its events, and a reader that counts them, with nothing but Python's standard library.

    producer.py produce URL TOPIC NAME EVENTS BATCH SEED    sends event-0 to event-(EVENTS-1), on from where NAME stands
    producer.py verify URL TOPIC EVENTS                     each of them is there once, in order within its partition

`produce` says a line for each answer, so that whoever kills it knows how far it is.
"""

import http.client
import json
import random
import struct
import sys
import urllib.parse


def ask(connection, method, path, body=None, content_type=None):
    headers = {"Content-Type": content_type} if content_type else {}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def connect(url):
    return http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)


def produce(url, topic, name, events, batch, seed):
    chance = random.Random(seed)
    connection = connect(url)
    answer, body = ask(connection, "GET", f"/api/v1/topic/{topic}/producer/{name}")
    if answer.status == 404 and json.loads(body)["code"] == "FS-1331":
        following = 0
    else:
        assert answer.status == 200, body
        following = json.loads(body)["next_sequence"]
    print(f"at {following}", flush=True)
    while following < events:
        # Some of what is there already is sent again: only the rest may be appended.
        first = max(0, following - chance.choice([0, 0, 1, batch]))
        end = min(events, following + chance.randint(1, batch))
        lines = "\n".join(f"event-{number}" for number in range(first, end))
        query = {"producer": name, "sequence": first}
        if chance.random() < 0.5:
            query["key"] = f"key-{chance.randint(0, 9)}"
        path = f"/api/v1/produce/{topic}?{urllib.parse.urlencode(query)}"
        answer, body = ask(connection, "PUT", path, lines, "application/x-ndjson")
        assert answer.status == 200, body
        produced = json.loads(body)
        assert produced["count"] + produced.get("duplicates", 0) == end - first, produced
        following = produced["next_sequence"]
        assert following >= end, produced
        print(f"at {following}", flush=True)
    print("done", flush=True)


def values(frame):
    """The values of the records of a packed frame."""
    magic, count, flags, _ = struct.unpack_from("<4sIII", frame)
    assert magic == b"FSF\x01" and flags == 0, frame[:16]
    header_ends = struct.unpack_from(f"<{count}I", frame, 16 + 20 * count)
    value_ends = struct.unpack_from(f"<{count}I", frame, 16 + 24 * count)
    payload = memoryview(frame)[16 + 28 * count :]
    return [bytes(payload[start:end]).decode() for start, end in zip(header_ends, value_ends)]


def verify(url, topic, events):
    connection = connect(url)
    answer, body = ask(connection, "GET", f"/api/v1/topic/{topic}")
    assert answer.status == 200, body
    seen = [0] * events
    for partition in json.loads(body)["partitions"]:
        position, last = partition["earliest"], -1
        while position != partition["end"]:
            query = {"from": position, "partition": partition["partition"], "format": "frame", "max": 10000}
            path = f"/api/v1/consume/{topic}?{urllib.parse.urlencode(query)}"
            answer, body = ask(connection, "GET", path)
            assert answer.status == 200, body
            for value in values(body):
                number = int(value.removeprefix("event-"))
                assert number > last, f"{value} comes behind event-{last}"
                last = number
                seen[number] += 1
            position = answer.headers["fs-next-position"]
    lost = [number for number, times in enumerate(seen) if times == 0]
    doubled = [number for number, times in enumerate(seen) if times > 1]
    assert not lost and not doubled, f"lost {lost[:10]} ({len(lost)}), doubled {doubled[:10]} ({len(doubled)})"
    print(f"{events} events, each once")


def main():
    verb, url, topic, *rest = sys.argv[1:]
    if verb == "produce":
        produce(url, topic, rest[0], *map(int, rest[1:]))
    else:
        verify(url, topic, int(rest[0]))


main()
