# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Values and states have the bytes that all SDKs give them: those of tests/sdk/golden/states.json."""

import json
from pathlib import Path

import pytest
from functionstream import Function, codecs, states
from functionstream.testing import Harness

GOLDEN = json.loads((Path(__file__).parents[3] / "tests" / "sdk" / "golden" / "states.json").read_text())

# The codec of each name, and how its values are read as text.
CODECS = {
    "bool": (codecs.BoolCodec(), lambda text: {"false": False, "true": True}[text]),
    "int8": (codecs.Int8Codec(), int),
    "int16": (codecs.Int16Codec(), int),
    "int32": (codecs.Int32Codec(), int),
    "int64": (codecs.IntCodec(), int),
    "int": (codecs.IntCodec(), int),
    "uint8": (codecs.Uint8Codec(), int),
    "uint16": (codecs.Uint16Codec(), int),
    "uint32": (codecs.Uint32Codec(), int),
    "uint64": (codecs.Uint64Codec(), int),
    "uint": (codecs.Uint64Codec(), int),
    "float32": (codecs.Float32Codec(), float),
    "float64": (codecs.FloatCodec(), float),
    "string": (codecs.StringCodec(), str),
    "bytes": (codecs.BytesCodec(), bytes.fromhex),
    "json": (codecs.JsonCodec(), lambda value: value),
}


class Mean(states.Aggregate):
    def create(self):
        return {"sum": 0, "n": 0}

    def add(self, value, accumulator):
        return {"sum": accumulator["sum"] + value, "n": accumulator["n"] + 1}

    def result(self, accumulator):
        return accumulator["sum"] / accumulator["n"]


def each(values):
    return lambda state: [state.add(value) for value in values]


def fill(state):
    for key, value in ((7, "seven"), (-1, "minus"), (0, "")):
        state.put(key, value)


# Of each state its class and types, what is done to it, how it is read, and what is read then.
STATES = {
    "value of string": (
        (states.ValueState, str), lambda state: state.set("hello"), lambda state: state.get(), "hello",
    ),
    "list of int16": (
        (states.ListState, codecs.Int16Codec()), each([1, -1, 300]), lambda state: state.get(), [1, -1, 300],
    ),
    "list of string": (
        (states.ListState, str), each(["ab", "", "c"]), lambda state: state.get(), ["ab", "", "c"],
    ),
    "map of int32 to string": (
        (states.MapState, codecs.Int32Codec(), str), fill, lambda state: list(state.items()),
        [(-1, "minus"), (0, ""), (7, "seven")],
    ),
    "priority queue of int64": ((states.PriorityQueueState, int), each([5, -3, 5]), list, [-3, 5]),
    "aggregating mean of int64": (
        (states.AggregatingState, dict, Mean()), each([1, 2, 6]), lambda state: state.get(), 3.0,
    ),
    "reducing maximum of int64": (
        (states.ReducingState, int, max), each([3, 9, 4]), lambda state: state.get(), 9,
    ),
}


def test_all_that_is_golden_is_read():
    assert {of["codec"] for of in GOLDEN["codecs"]} == CODECS.keys()
    assert {(of["state"], of["keyed"]) for of in GOLDEN["states"]} == {(name, k) for name in STATES for k in (False, True)}


@pytest.mark.parametrize("of", GOLDEN["codecs"], ids=lambda of: f"{of['codec']} {of['value']}")
def test_values_have_the_bytes_of_all_sdks(of):
    codec, parse = CODECS[of["codec"]]
    value, data = parse(of["value"]), bytes.fromhex(of["bytes"])
    decoded = codec.decode(data)
    if of.get("read-only"):
        assert decoded == value
        return
    assert codec.encode(value) == data
    # Equal numbers may differ in their bits: 0 and -0. A float32 is not exactly its text.
    assert codec.encode(decoded) == data
    assert of["codec"] == "float32" or decoded == value
    assert codec.size in (None, len(data))


@pytest.mark.parametrize("of", GOLDEN["states"], ids=lambda of: f"{of['state']}{' by key' if of['keyed'] else ''}")
def test_states_have_the_pairs_of_all_sdks(of):
    (kind, *types), write, read, wanted = STATES[of["state"]]

    class Use(Function):
        def init(self, ctx):
            self.place = ctx.store("s")
            if of["keyed"]:
                self.state = kind.keyed(ctx, "s", *types, group=b"group")(b"k\x00\xff", b"n")
            else:
                self.state = kind(ctx, "s", *types)

        def custom(self, ctx, payload):
            # What is stored is read as it was meant, whoever wrote it.
            if payload == b"write":
                write(self.state)
            else:
                for pair in of["pairs"]:
                    group, key, namespace = (bytes.fromhex(pair[name]) for name in ("key-group", "key", "namespace"))
                    part = self.place.part(group, key, namespace)
                    part.put(bytes.fromhex(pair["user-key"]), bytes.fromhex(pair["value"]))
            assert read(self.state) == wanted
            return b""

    written, placed = Harness(Use), Harness(Use)
    written.custom(b"write")
    placed.custom(b"place")
    assert len(placed.state("s")) == len(of["pairs"])
    assert written.state("s") == placed.state("s")
