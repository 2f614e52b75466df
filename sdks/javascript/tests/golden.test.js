// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Values and states have the bytes that all SDKs give them: those of tests/sdk/golden/states.json. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { codecOf } from "functionstream/codecs";
import {
  AggregatingState,
  ListState,
  MapState,
  PriorityQueueState,
  ReducingState,
  ValueState,
} from "functionstream/states";
import { Harness } from "functionstream/testing";

const GOLDEN = JSON.parse(readFileSync(new URL("../../../tests/sdk/golden/states.json", import.meta.url), "utf8"));

const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

const integer = (text) => {
  const exact = BigInt(text);
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact;
};

// How the values of each codec are read as text, and its name here if it has another.
const CODECS = {
  bool: [(text) => text === "true"],
  int8: [integer], int16: [integer], int32: [integer], int64: [integer], int: [integer, "int64"],
  uint8: [integer], uint16: [integer], uint32: [integer], uint64: [integer], uint: [integer, "uint64"],
  float32: [float], float64: [float],
  string: [(text) => text],
  bytes: [bytes],
  json: [(value) => value],
};

function float(text) {
  return Number(text.replace(/^([+-]?)inf$/i, "$1Infinity"));
}

const MEAN = {
  create: () => ({ sum: 0, n: 0 }),
  add: (value, { sum, n }) => ({ sum: sum + value, n: n + 1 }),
  result: ({ sum, n }) => sum / n,
};

const each = (values) => (state) => values.forEach((value) => state.add(value));
const got = (state) => state.get();

// Of each state its class and types, what is done to it, how it is read, and what is read then.
const STATES = {
  "value of string": [ValueState, ["string"], (state) => state.set("hello"), got, "hello"],
  "list of int16": [ListState, ["int16"], each([1, -1, 300]), got, [1, -1, 300]],
  "list of string": [ListState, ["string"], each(["ab", "", "c"]), got, ["ab", "", "c"]],
  "map of int32 to string": [
    MapState, ["int32", "string"],
    (state) => [[7, "seven"], [-1, "minus"], [0, ""]].forEach(([key, value]) => state.put(key, value)),
    (state) => [...state], [[-1, "minus"], [0, ""], [7, "seven"]],
  ],
  "priority queue of int64": [PriorityQueueState, ["int64"], each([5, -3, 5]), (state) => [...state], [-3, 5]],
  "aggregating mean of int64": [AggregatingState, ["json", MEAN], each([1, 2, 6]), got, 3],
  "reducing maximum of int64": [ReducingState, ["int64", Math.max], each([3, 9, 4]), got, 9],
};

test("all that is golden is read", () => {
  const named = (of) => [...new Set(of)].sort();
  assert.deepEqual(named(GOLDEN.codecs.map(({ codec }) => codec)), Object.keys(CODECS).sort());
  assert.deepEqual(named(GOLDEN.states.map(({ state }) => state)), Object.keys(STATES).sort());
});

for (const of of GOLDEN.codecs) {
  test(`the ${of.codec} ${JSON.stringify(of.value)} has the bytes of all SDKs`, () => {
    const [parse, name] = CODECS[of.codec];
    const codec = codecOf(name ?? of.codec);
    const [value, data] = [parse(of.value), bytes(of.bytes)];
    const decoded = codec.decode(data);
    if (of["read-only"]) {
      assert.deepEqual(decoded, value);
      return;
    }
    assert.deepEqual(codec.encode(value), data);
    // A float32 is not exactly its text.
    assert.deepEqual(codec.encode(decoded), data);
    if (of.codec !== "float32") {
      assert.deepEqual(decoded, value);
    }
    assert.ok(codec.size === null || codec.size === data.length);
  });
}

for (const of of GOLDEN.states) {
  test(`the state ${of.state}${of.keyed ? " by key" : ""} has the pairs of all SDKs`, async () => {
    const [State, types, write, read, wanted] = STATES[of.state];

    class Use {
      init(ctx) {
        this.place = ctx.store("s");
        this.state = of.keyed
          ? State.keyed(ctx, "s", ...types, { group: "group" })(bytes("6b00ff"), "n")
          : new State(ctx, "s", ...types);
      }

      process() {}

      custom(payload) {
        // What is stored is read as it was meant, whoever wrote it.
        if (payload.length > 0) {
          write(this.state);
        } else {
          for (const pair of of.pairs) {
            const part = this.place.part(bytes(pair["key-group"]), bytes(pair.key), bytes(pair.namespace));
            part.put(bytes(pair["user-key"]), bytes(pair.value));
          }
        }
        assert.deepEqual(read(this.state), wanted);
        return "";
      }
    }

    const [written, placed] = [await Harness.start(Use), await Harness.start(Use)];
    await written.custom("write");
    await placed.custom("");
    assert.equal(placed.state("s").size, of.pairs.length);
    assert.deepEqual(written.state("s"), placed.state("s"));
  });
}
