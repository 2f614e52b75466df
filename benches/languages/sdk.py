# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The examples `money` and `keyed-count` with their SDK by an interpreter of its own, without a server: sdk.py WORKLOAD RECORDS.

All is as in the engine, frames included. The host is the least that there can be: it forgets what is emitted, and keeps state in a
dictionary. How long it takes to read what it is given is not counted. Prints the processor time of a record in microseconds.
"""

import importlib.util
import sys
import time
from pathlib import Path

import records

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "sdks" / "python" / "src"))

from functionstream import frame, lists  # noqa: E402
from functionstream.context import Metadata  # noqa: E402
from functionstream.driver import Driver  # noqa: E402
from functionstream.function import find  # noqa: E402


class Host:
    def __init__(self):
        self.state = {}
        self.get = lambda _store, key: self.state.get(key)
        self.own_time = 0.0

    def open(self, _name):
        return 0

    def emit_frame(self, _data):
        pass

    def write(self, _store, ops):
        began = time.process_time()
        self.state.update((key, value) for _put, key, value in lists.read_ops(ops))
        self.own_time += time.process_time() - began


def main(workload, count):
    spec = importlib.util.spec_from_file_location("app", ROOT / "examples" / workload / "python" / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    host = Host()
    driver = Driver(find(module), host, {}, Metadata("bench", 1, 0, ["output"]), None)
    took = 0.0
    for batch in records.batches(workload, count):
        data = frame.build((0, 0, key, b"", value) for key, value in batch)
        began = time.process_time()
        driver.process_batch(data)
        took += time.process_time() - began
    print(f"{(took - host.own_time) / count * 1e6:.3f}")


main(sys.argv[1], int(sys.argv[2]))
