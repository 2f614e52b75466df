# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Consumers that take, hang and die, with nothing but Python's standard library.

    consumers.py URL EVENTS SEED [early]

Events are produced to a topic of four partitions. Consumers, each a process of its own, take them in batches, note what they
processed, and acknowledge. By chance, which the seed fixes, a consumer kills itself after it has taken, or after it has processed and
before it acknowledges; hangs until it is killed; hangs until its lease is over, and goes on then; or gives events back. A new one takes
the place of each that dies. It ends when the group has acknowledged all.

Then every event must have been processed, and none may have been given to anybody by a take that began after its acknowledgement was
answered. With `early` consumers acknowledge before they process: events must be lost then, or the test proves nothing.

Nothing here waits for time to pass: consumers tell what they do over a pipe, and what happens to them follows from that.
"""

import http.client
import json
import os
import random
import selectors
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

TOPIC, GROUP, CONSUMERS, LEASE = "events", "workers", 8, "700ms"


class Server:
    """A connection to the server."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)

    def ask(self, method, path, body=None, content_type="application/json", accepted=(200,)):
        headers = {} if body is None else {"content-type": content_type}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status in accepted, f"{method} {path}: {answer.status} {text}"
        return text

    def group(self, verb, **body):
        path = f"/api/v1/topic/{TOPIC}/group/{GROUP}/{verb}"
        return json.loads(self.ask("POST", path, json.dumps(body), accepted=(200, 409)))


def tell(word, names):
    """One line to whoever watches: when, what, of which events."""
    line = f"{time.monotonic_ns()} {word} {' '.join(names)}\n".encode()
    while line:
        line = line[os.write(1, line):]


def consume(url, seed, early):
    chance, server = random.Random(seed), Server(url)
    path = f"/api/v1/topic/{TOPIC}/group/{GROUP}/take?format=ndjson&lease={LEASE}&wait=300ms&max="
    while True:
        tell("asks", [])
        lines = server.ask("POST", path + str(chance.randint(1, 250))).splitlines()
        events = [json.loads(line) for line in lines]
        names = [event["value"] for event in events]
        receipts = [event["receipt"] for event in events]
        tell("took", names)
        if not events:
            continue
        fate = chance.random()
        if early:
            refused = set(server.group("ack", receipts=receipts)["refused"])
            tell("acked", [name for name, receipt in zip(names, receipts) if receipt not in refused])
        if fate < 0.06:
            os.kill(os.getpid(), signal.SIGKILL)
        if fate < 0.12:
            tell("hangs", [])
            # Whoever watches writes a line when the leases are over, or kills.
            os.read(0, 1)
        tell("did", names)
        if early:
            continue
        if 0.12 <= fate < 0.16:
            os.kill(os.getpid(), signal.SIGKILL)
        if 0.16 <= fate < 0.26:
            some = chance.randint(1, len(events))
            server.group("nack", receipts=receipts[:some], delay=chance.choice(["0ms", "50ms", "400ms"]))
            names, receipts = names[some:], receipts[some:]
            if not receipts:
                continue
        refused = set(server.group("ack", receipts=receipts)["refused"])
        tell("acked", [name for name, receipt in zip(names, receipts) if receipt not in refused])
        if refused:
            tell("refused", [name for name, receipt in zip(names, receipts) if receipt in refused])


class Watcher:
    """Keeps consumers running and notes what they tell."""

    def __init__(self, url, seed, early):
        self.url, self.chance, self.early = url, random.Random(seed), early
        self.selector = selectors.DefaultSelector()
        self.processes, self.rest, self.asked = {}, {}, {}
        self.did, self.acked, self.taken_after_ack = set(), {}, []
        self.counts = dict.fromkeys(["took", "again", "died", "hung", "woken", "refused"], 0)
        self.seen, self.hanging, self.lines = set(), {}, 0
        for _ in range(CONSUMERS):
            self.start()

    def start(self):
        seed = self.chance.getrandbits(32)
        arguments = [sys.executable, __file__, "consume", self.url, str(seed), "early" if self.early else ""]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        stream = process.stdout.fileno()
        self.processes[stream], self.rest[stream] = process, b""
        self.selector.register(stream, selectors.EVENT_READ)

    def step(self):
        for key, _ in self.selector.select(timeout=120) or sys.exit("nothing happens any more"):
            data = os.read(key.fd, 1 << 16)
            if not data:
                self.ended(key.fd)
                continue
            *lines, self.rest[key.fd] = (self.rest[key.fd] + data).split(b"\n")
            for line in lines:
                self.heard(key.fd, *line.decode().split(" ", 2))
        # Of those who hang, some are killed, and some go on when others have done a lot meanwhile.
        for stream, since in list(self.hanging.items()):
            if self.lines - since > 30:
                del self.hanging[stream]
                if self.chance.random() < 0.5:
                    self.processes[stream].kill()
                else:
                    self.counts["woken"] += 1
                    self.processes[stream].stdin.write(b"\n")

    def heard(self, stream, when, word, names):
        when, names = int(when), names.split()
        self.lines += 1
        if word == "asks":
            self.asked[stream] = when
        elif word == "took":
            self.counts["took"] += len(names)
            self.counts["again"] += sum(name in self.seen for name in names)
            self.seen.update(names)
            began = self.asked[stream]
            self.taken_after_ack += [name for name in names if self.acked.get(name, began) < began]
        elif word == "did":
            self.did.update(names)
        elif word == "acked":
            for name in names:
                self.acked.setdefault(name, when)
        elif word == "refused":
            self.counts["refused"] += len(names)
        elif word == "hangs":
            self.counts["hung"] += 1
            self.hanging[stream] = self.lines

    def ended(self, stream):
        process = self.processes.pop(stream)
        self.selector.unregister(stream)
        self.hanging.pop(stream, None)
        process.stdin.close()
        process.stdout.close()
        code = process.wait()
        assert code == -signal.SIGKILL, f"a consumer failed with {code}"
        self.counts["died"] += 1
        self.start()

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


def main(url, events, seed, early):
    server, began = Server(url), time.monotonic()
    server.ask("POST", f"/api/v1/topic/{TOPIC}", json.dumps({"partitions": 4}))
    for first in range(0, events, 1000):
        lines = "\n".join(str(n) for n in range(first, min(first + 1000, events)))
        path = f"/api/v1/produce/{TOPIC}?partition={first // 1000 % 4}"
        server.ask("PUT", path, lines, "application/x-ndjson")
    watcher, lag = Watcher(url, seed, early), events
    try:
        while lag:
            for _ in range(20):
                watcher.step()
            group = f"/api/v1/topic/{TOPIC}/group/{GROUP}"
            lag = json.loads(server.ask("GET", group, accepted=(200, 404))).get("lag", events)
    finally:
        watcher.end()
    lost = events - len(watcher.did & {str(n) for n in range(events)})
    took = ", ".join(f"{word} {count}" for word, count in watcher.counts.items())
    print(f"events {events}, seed {seed}: lost {lost}, given after their acknowledgement {len(watcher.taken_after_ack)}; "
          f"{took}; {time.monotonic() - began:.1f} s")
    return lost == 0 and not watcher.taken_after_ack


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        consume(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "early")
    else:
        is_good = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["early"])
        sys.exit(0 if is_good else 1)
