# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The work of the examples `money` and `keyed-count` by an interpreter of its own, without a server: loop.py WORKLOAD RECORDS.

It imports the examples as they are. Their SDK is a stand-in that does what cannot be left out: a record that is made of bytes, JSON that
is read and written, a dictionary as the store, a list that takes what is emitted. Prints the processor time of a record in microseconds.
"""

import json
import runpy
import sys
import time
import types
from pathlib import Path

import records

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


class Record:
    __slots__ = ("key", "value")

    def __init__(self, key, value):
        self.key, self.value = key, value

    def json(self):
        return json.loads(self.value)


class Store(dict):
    put = dict.__setitem__


class Context:
    def __init__(self):
        self.emitted = []

    def store(self, _name):
        return Store()

    def emit(self, value, key=None):
        self.emitted.append((key, value))


def main(workload, count):
    found = []
    sdk = types.ModuleType("functionstream")
    sdk.function = lambda run: found.append(run) or run
    sdk.Function = type("Function", (), {"__init_subclass__": classmethod(lambda cls: found.append(cls))})
    sys.modules["functionstream"] = sdk
    runpy.run_path(str(EXAMPLES / workload / "python" / "app.py"))
    context, dumps = Context(), json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    if workload == "money":
        process = lambda _, record: context.emitted.append((None, dumps(found[0](record)).encode()))
    else:
        driver = found[0]()
        driver.init(context)
        process = driver.process
    took = 0.0
    for batch in records.batches(workload, count):
        began = time.process_time()
        for key, value in batch:
            process(context, Record(key, value))
        context.emitted.clear()
        took += time.process_time() - began
    print(f"{took / count * 1e6:.3f}")


main(sys.argv[1], int(sys.argv[2]))
